package cache

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// rig is a cache in front of an application that answers what a test says.
type rig struct {
	t        *testing.T
	cache    *Cache
	settings *Settings
	next     exchange.Responder // the cache

	mu     sync.Mutex
	now    time.Duration
	answer func(x *exchange.Exchange) // of the application
	calls  int
	last   exchange.Request // the application's latest
	counts map[string]int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Hour, counts: map[string]int{}}
	c, err := New(16<<20, Runtime{
		Budget: exchange.NewBudget(64 << 20), Now: func() time.Duration { r.mu.Lock(); defer r.mu.Unlock(); return r.now },
		Count: func(result string) { r.mu.Lock(); r.counts[result]++; r.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.cache = c
	r.settings = &Settings{Policy: Policy{ClientControl: true}, MaxEntry: 1 << 20, Wait: time.Minute, Status: true, Strip: Strip{Tags: true}}
	r.next = c.Wrap(r.settings, application{r})
	r.answers(200, "", "")
	return r
}

// application answers as rig.answer does.
type application struct{ r *rig }

func (a application) Respond(x *exchange.Exchange) {
	a.r.mu.Lock()
	a.r.calls++
	a.r.last = x.Request
	answer := a.r.answer
	a.r.mu.Unlock()
	x.Source = nothing{}
	answer(x)
}

// answers has the application answer so: "Name: value" lines as fields.
func (r *rig) answers(status int, fields, body string) {
	list := parseFields(fields, "\n")
	r.mu.Lock()
	r.answer = func(x *exchange.Exchange) {
		if err := x.Writer.Answer(status, list, []byte(body)); err != nil {
			x.Writer.Abort(500, err.Error())
		}
	}
	r.mu.Unlock()
}

func parseFields(text, separator string) []exchange.Field {
	var list []exchange.Field
	for line := range strings.SplitSeq(text, separator) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			list = append(list, exchange.Field{Name: []byte(name), Value: []byte(strings.TrimSpace(value))})
		}
	}
	return list
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	r.now += d
	r.mu.Unlock()
}

func (r *rig) called() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// recorder is an edge's Writer.
type recorder struct {
	mu      sync.Mutex
	x       *exchange.Exchange
	status  int
	fields  map[string]string // lower case; several joined
	body    []byte
	aborted bool
	ended   chan struct{}
}

func (w *recorder) Head(status int, fields []exchange.Field) error {
	for _, f := range fields {
		if strings.ContainsAny(string(f.Value), "\r\n") {
			return fmt.Errorf("bad value of %s", f.Name)
		}
	}
	if status < 200 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status, w.fields = status, map[string]string{}
	for _, f := range fields {
		name := strings.ToLower(string(f.Name))
		if w.fields[name] != "" {
			w.fields[name] += ", "
		}
		w.fields[name] += string(f.Value)
	}
	return nil
}

func (w *recorder) Answer(status int, fields []exchange.Field, body []byte) error {
	if err := w.Head(status, fields); err != nil {
		return err
	}
	w.Body(body)
	w.End()
	return nil
}

func (w *recorder) Body(p []byte) {
	w.mu.Lock()
	w.body = append(w.body, p...)
	source := w.x.Source
	w.mu.Unlock()
	if source != nil && len(p) > 0 {
		go source.Drained(len(p))
	}
}
func (w *recorder) Flush() {}
func (w *recorder) End()   { close(w.ended) }
func (w *recorder) Abort(status int, _ string) {
	w.mu.Lock()
	if w.status == 0 {
		w.status = status
	}
	w.aborted = true
	w.mu.Unlock()
	close(w.ended)
}

// exchange makes one of "METHOD target" and fields.
func newExchange(request string, fields []exchange.Field) (*exchange.Exchange, *recorder) {
	method, target, _ := strings.Cut(strings.TrimSpace(request), " ")
	host := "example.com"
	if h, rest, ok := strings.Cut(strings.TrimPrefix(target, "//"), "/"); ok && strings.HasPrefix(target, "//") {
		host, target = h, "/"+rest
	}
	path, query, found := strings.Cut(target, "?")
	q := exchange.Request{
		Method: []byte(method), Target: []byte(target), RawPath: []byte(path), Path: []byte(path), Authority: []byte(host), Minor: 1,
		Fields: append([]exchange.Field{{Name: []byte("Host"), Value: []byte(host)}}, fields...),
	}
	if found {
		q.Query = []byte(query)
	}
	for _, f := range fields {
		if strings.EqualFold(string(f.Name), "content-length") {
			q.ContentLength, _ = strconv.ParseInt(string(f.Value), 10, 64)
		}
	}
	w := &recorder{ended: make(chan struct{})}
	x := &exchange.Exchange{Request: q, Peer: &exchange.Peer{}, Writer: w}
	w.x = x
	return x, w
}

// ask sends a request and waits for the end of the answer.
func (r *rig) ask(request, fields string) *recorder {
	r.t.Helper()
	x, w := newExchange(request, parseFields(fields, "\n"))
	r.next.Respond(x)
	r.wait(w)
	return w
}

func (r *rig) wait(w *recorder) {
	r.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(30 * time.Second):
		r.t.Fatal("the exchange does not end")
	}
}
