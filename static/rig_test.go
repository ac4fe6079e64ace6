package static

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// edge is a Writer and what a session does around it: a client that takes everything at once, or step bytes at a time.
type edge struct {
	mu     sync.Mutex
	x      *exchange.Exchange
	status int
	fields []string
	body   []byte
	held   int  // not taken yet
	lazy   bool // the client takes only what the test takes
	most   int  // that was ever held
	cut    bool
	ended  chan struct{}
}

func (e *edge) Head(status int, fields []exchange.Field) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.fields = status, nil
	for _, f := range fields {
		e.fields = append(e.fields, string(f.Name)+": "+string(f.Value))
	}
	return nil
}

func (e *edge) Answer(status int, fields []exchange.Field, body []byte) error {
	_ = e.Head(status, append(fields[:len(fields):len(fields)], field("Content-Length", fmt.Sprint(len(body)))))
	e.mu.Lock()
	e.body = append(e.body, body...)
	e.mu.Unlock()
	close(e.ended)
	return nil
}

func (e *edge) Body(p []byte) {
	e.mu.Lock()
	e.body = append(e.body, p...)
	e.held += len(p)
	e.most = max(e.most, e.held)
	lazy := e.lazy
	e.mu.Unlock()
	if !lazy {
		e.take(len(p))
	}
}

// take lets the client take n bytes.
func (e *edge) take(n int) {
	e.mu.Lock()
	n = min(n, e.held)
	e.held -= n
	source := e.x.Source
	e.mu.Unlock()
	if n > 0 {
		source.Drained(n)
	}
}
func (e *edge) Flush() {}
func (e *edge) End()   { close(e.ended) }
func (e *edge) Abort(status int, _ string) {
	e.mu.Lock()
	if e.status == 0 {
		e.status = status
	} else {
		e.cut = true
	}
	e.mu.Unlock()
	close(e.ended)
}

func (e *edge) field(name string) string {
	for _, f := range e.fields {
		if n, v, _ := strings.Cut(f, ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

func (e *edge) wait(t testing.TB) *edge {
	t.Helper()
	select {
	case <-e.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the answer does not end")
	}
	return e
}

// start gives one request to r; lines are its fields.
func start(r exchange.Responder, lazy bool, method, path string, lines ...string) *edge {
	return startAt(r, 0, lazy, method, path, lines...)
}

// startAt is start at that time of the gateway's clock.
func startAt(r exchange.Responder, now time.Duration, lazy bool, method, path string, lines ...string) *edge {
	x := &exchange.Exchange{Accepted: now}
	e := &edge{x: x, lazy: lazy, ended: make(chan struct{})}
	x.Writer = e
	x.Request.Method, x.Request.RawPath, x.Request.Path = []byte(method), []byte(path), []byte(path)
	if decoded, ok := unescape(path); ok {
		x.Request.Path = decoded
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		x.Request.Fields = append(x.Request.Fields, field(name, value))
	}
	r.Respond(x)
	return e
}

func unescape(s string) ([]byte, bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		var c byte
		if s[i] == '%' && i+2 < len(s) {
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &c); err == nil {
				b = append(b, c)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b, true
}

// app stands for the application.
type app struct{}

func (app) Respond(x *exchange.Exchange) {
	x.Source = nothing{}
	_ = x.Writer.Answer(200, []exchange.Field{field("Content-Type", "text/x-app")}, []byte("the application"))
}

// site is a folder, its files, and its responder.
type site struct {
	t    testing.TB
	root string
	set  *Set
	r    exchange.Responder
}

func newSite(t testing.TB, files map[string]string, change func(*Settings)) *site {
	t.Helper()
	s := &site{t: t, root: filepath.Join(t.TempDir(), "root")}
	if err := os.Mkdir(s.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for n, content := range files {
		s.write(n, content)
	}
	settings := Settings{Route: "/static", Root: s.root, Index: []string{"index.html"}, Immutable: true, Precompressed: true, Compress: true, Charset: "utf-8"}
	if change != nil {
		change(&settings)
	}
	set, err := Open([]Settings{settings}, 16<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.set = set
	t.Cleanup(set.Close)
	s.r = set.Sites(app{})[0]
	return s
}

func (s *site) write(name, content string) {
	s.t.Helper()
	full := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// get asks, and waits for the end.
func (s *site) get(path string, lines ...string) *edge {
	s.t.Helper()
	return start(s.r, false, "GET", path, lines...).wait(s.t)
}

// kept is what is known under a path, if it is not old.
func (set *Set) kept(path []byte) *entry {
	if e := set.recall(path); e != nil && e.fresh() {
		return e
	}
	return nil
}

// kept asks until the file is in memory.
func (s *site) kept(path string) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for s.set.kept([]byte(path)) == nil {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is not kept", path)
		}
		s.get(path)
	}
}

// admitted asks until the file's body is in memory.
func (s *site) admitted(path string) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s.kept(path)
		if e := s.set.kept([]byte(path)); e != nil && e.variants[identity].Load().body != nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the body of %s is not kept", path)
		}
		s.get(path)
	}
}

func text(n int) string { return string(bytes.Repeat([]byte("All work and no play. "), n/22+1)[:n]) }

// edgeless is an exchange whose answer goes nowhere.
type edgeless struct{ exchange.Exchange }

func (*edgeless) Head(int, []exchange.Field) error           { return nil }
func (*edgeless) Answer(int, []exchange.Field, []byte) error { return nil }
func (*edgeless) Body([]byte)                                {}
func (*edgeless) Flush()                                     {}
func (*edgeless) End()                                       {}
func (*edgeless) Abort(int, string)                          {}
