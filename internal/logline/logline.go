package logline

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// New makes a logger that writes to w at once: format is text or json, level debug, info, warning or error.
func New(w io.Writer, format, level string) *slog.Logger {
	return newLogger(&lockedWriter{w: w}, newRules(format, level))
}

// rules are what may change while loggers are in use.
type rules struct {
	least slog.LevelVar
	json  atomic.Bool
}

func newRules(format, level string) *rules {
	r := &rules{}
	r.set(format, level)
	return r
}

func (r *rules) set(format, level string) {
	least := slog.LevelInfo
	switch level {
	case "debug":
		least = slog.LevelDebug
	case "warning":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	}
	r.least.Set(least)
	r.json.Store(format == "json")
}

func newLogger(w io.Writer, r *rules) *slog.Logger {
	return slog.New(&handler{
		rules: r, w: w, json: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: &r.least}),
	})
}

// lockedWriter takes one write at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

type handler struct {
	*rules
	w      io.Writer
	attrs  string
	prefix string
	json   slog.Handler // the same, for the other format
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.least.Level() }

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.rules.json.Load() {
		return h.json.Handle(ctx, r)
	}
	b := make([]byte, 0, 256)
	b = r.Time.AppendFormat(b, "2006-01-02 15:04:05.000")
	b = append(b, ' ')
	b = append(b, name(r.Level)...)
	b = append(b, ' ')
	b = appendMessage(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.prefix, a)
		return true
	})
	b = append(b, '\n')
	_, err := h.w.Write(b)
	return err
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b []byte
	for _, a := range attrs {
		b = appendAttr(b, h.prefix, a)
	}
	c.attrs += string(b)
	c.json = h.json.WithAttrs(attrs)
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	c.prefix += name + "."
	c.json = h.json.WithGroup(name)
	return &c
}

func name(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	if a.Equal(slog.Attr{}) {
		return b
	}
	v := a.Value.Resolve()
	b = append(b, ' ')
	b = append(b, prefix...)
	b = append(b, a.Key...)
	b = append(b, '=')
	s := v.String()
	if v.Kind() == slog.KindDuration {
		s = v.Duration().Round(time.Millisecond).String()
	}
	if s == "" || strings.ContainsAny(s, " \t\"=") || s != strconv.QuoteToGraphic(s)[1:len(strconv.QuoteToGraphic(s))-1] {
		return strconv.AppendQuoteToGraphic(b, s)
	}
	return append(b, s...)
}

// appendMessage keeps a record a line: control characters other than TAB are escaped, so that
// nothing a client or an application sends can look like another record.
func appendMessage(b []byte, s string) []byte {
	for _, r := range s {
		if r != '\t' && !strconv.IsGraphic(r) {
			q := strconv.QuoteRuneToGraphic(r)
			b = append(b, q[1:len(q)-1]...)
			continue
		}
		b = append(b, string(r)...)
	}
	return b
}
