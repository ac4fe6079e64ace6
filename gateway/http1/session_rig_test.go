package http1

import (
	"bytes"
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// fakeTransport takes what a test lets it take. Its methods are called by the session's
// owner; the rest by the test.
type fakeTransport struct {
	session *Session

	mu       sync.Mutex
	out      []byte
	room     int // bytes that Write takes; -1: any number
	failing  error
	slowFIN  bool // CloseWrite has to wait
	waiting  int  // WaitWritable calls not answered
	fins     int
	closes   int
	spilling bool
	after    []byte // written after FIN or Close, which must not happen
}

func (f *fakeTransport) Write(a, b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing != nil {
		return 0, f.failing
	}
	n := len(a) + len(b)
	if f.room >= 0 {
		n = min(n, f.room)
		f.room -= n
	}
	na := min(n, len(a))
	to := &f.out
	if f.fins > 0 || f.closes > 0 {
		to = &f.after
	}
	*to = append(append(*to, a[:na]...), b[:n-na]...)
	return n, nil
}

func (f *fakeTransport) WaitWritable() {
	f.mu.Lock()
	f.waiting++
	f.mu.Unlock()
}

func (f *fakeTransport) CloseWrite() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.slowFIN {
		return false
	}
	f.fins = 1
	return true
}

func (f *fakeTransport) Spilling() { f.spilling = true }

func (f *fakeTransport) Close() {
	f.mu.Lock()
	f.closes++
	f.mu.Unlock()
	f.session.Closed()
}

// give lets the client take n more bytes.
func (f *fakeTransport) give(n int) {
	f.mu.Lock()
	f.room = n
	waiting := f.waiting
	f.waiting = 0
	f.mu.Unlock()
	if waiting > 0 {
		f.session.Writable()
	}
}

func (f *fakeTransport) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return plainText(f.out)
}

var fillers = regexp.MustCompile("Date: [^\r]*\r\nServer: pyspeed\r\n|Content-Type: text/plain; charset=utf-8\r\n")

// plainText leaves out the fields that every answer has.
func plainText(out []byte) string { return string(fillers.ReplaceAll(out, nil)) }

// responder is a function that is one.
type responder func(x *exchange.Exchange)

func (f responder) Respond(x *exchange.Exchange) { f(x) }

// source counts what the session reports back.
type source struct {
	mu        sync.Mutex
	drained   int
	cancelled int
	onDrained func(n int)
	onCancel  func()
}

func (s *source) Drained(n int) {
	s.mu.Lock()
	s.drained += n
	f := s.onDrained
	s.mu.Unlock()
	if f != nil {
		f(n)
	}
}

func (s *source) Cancelled() {
	s.mu.Lock()
	s.cancelled++
	f := s.onCancel
	s.mu.Unlock()
	if f != nil {
		f()
	}
}

// ended is one call of Config.Done.
type ended struct {
	method, target string
	status         int
}

// rig is a session between a fake client and a fake responder.
type rig struct {
	t        *testing.T
	cfg      *Config
	all      *Shared
	registry *Registry
	tr       *fakeTransport
	s        *Session
	done     []ended
	now      time.Duration
}

func newRig(t *testing.T, respond responder, set func(*Config)) *rig {
	t.Helper()
	clock := NewClock()
	r := &rig{t: t, registry: NewRegistry(clock, 10)}
	r.cfg = &Config{
		Body: 1 << 20, BodyMemory: 64 << 10, SpoolDir: t.TempDir(),
		HeaderTimeout: 10 * time.Second, BodyTimeout: 20 * time.Second,
		IdleTimeout: 30 * time.Second, WriteTimeout: 40 * time.Second,
		Responder: respond, Budget: exchange.NewBudget(64 << 20), Clock: clock,
		Done: func(x *exchange.Exchange) {
			r.done = append(r.done, ended{string(x.Request.Method), string(x.Request.Target), x.Status})
		},
	}
	if set != nil {
		set(r.cfg)
	}
	r.all = NewShared(r.cfg)
	r.connect()
	return r
}

// connect gives the rig a new connection.
func (r *rig) connect() {
	r.t.Helper()
	r.tr = &fakeTransport{room: -1}
	r.s = NewSession(r.all, r.tr, exchange.Peer{RemoteAddr: "192.0.2.1"})
	r.tr.session = r.s
	if !r.registry.Add(r.s) {
		r.t.Fatal("the registry refused a session")
	}
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	for end := r.now + d; r.now < end; {
		r.now = min(r.now+tick, end)
		r.cfg.Clock.turn(r.cfg.Clock.start.Add(r.now))
		r.registry.expire()
	}
}

// check is called at the end of a test: nothing may be left over.
func (r *rig) check() {
	r.t.Helper()
	if held := r.cfg.Budget.Held(); held != 0 {
		r.t.Errorf("%d bytes of the budget are still held", held)
	}
	if st := r.s.state.Load(); st != 0 {
		r.t.Errorf("the session is still owned or has events: %b", st)
	}
	if len(r.tr.after) > 0 {
		r.t.Errorf("written after the end: %q", r.tr.after)
	}
	if r.tr.closes > 1 {
		r.t.Errorf("closed %d times", r.tr.closes)
	}
}

// end is how the connection is.
func (r *rig) end() string {
	switch {
	case r.tr.closes > 0:
		return "closed"
	case r.tr.fins > 0:
		return "fin"
	}
	return "open"
}

// app answers by the request's path. Its answers are given by run, which a test makes call
// them at once or later.
type app struct {
	run func(job func())
	src source
}

func (a *app) Respond(x *exchange.Exchange) {
	x.Source = &a.src
	path := string(x.Request.Path)
	method := string(x.Request.Method)
	target := string(x.Request.Target)
	if path != "/echo" {
		a.run(func() { answerPath(x, path) })
		return
	}
	var got []byte
	var mu sync.Mutex
	over := false
	take := func() {
		mu.Lock()
		defer mu.Unlock()
		for !over {
			before := len(got)
			var end bool
			var err error
			got, end, err = x.Body.Next(got, 1000)
			switch {
			case err != nil:
				over = true
				a.run(func() { x.Writer.Abort(400, "the body did not arrive") })
			case end:
				over = true
				a.run(func() {
					if string(x.Request.Method) != method || string(x.Request.Target) != target {
						x.Writer.Abort(500, "the request changed")
						return
					}
					_ = x.Writer.Answer(200, nil, got)
				})
			case len(got) == before:
				return
			}
		}
	}
	if x.Body == nil {
		a.run(func() { _ = x.Writer.Answer(200, nil, nil) })
		return
	}
	x.Body.Notify(take)
	take()
}

func field(name, value string) []exchange.Field {
	return []exchange.Field{{Name: []byte(name), Value: []byte(value)}}
}

func answerPath(x *exchange.Exchange, path string) {
	w := x.Writer
	switch path {
	case "/stream":
		_ = w.Head(200, nil)
		w.Body([]byte("one"))
		w.Flush()
		w.Flush()
		w.Body([]byte("three"))
		w.Flush()
		w.End()
	case "/length":
		_ = w.Head(200, field("Content-Length", "5"))
		w.Body([]byte("he"))
		w.Flush()
		w.Body([]byte("llo and more"))
		w.End()
	case "/short":
		_ = w.Head(200, field("Content-Length", "5"))
		w.Body([]byte("he"))
		w.End()
	case "/large":
		_ = w.Head(200, nil)
		w.Body(bytes.Repeat([]byte("x"), directWrite))
		w.End()
	case "/abort":
		w.Abort(502, "")
	case "/abort-gathered":
		_ = w.Head(200, nil)
		w.Body([]byte("never seen"))
		w.Abort(502, "")
	case "/abort-late":
		_ = w.Head(200, nil)
		w.Body([]byte("seen"))
		w.Flush()
		w.Abort(502, "")
	case "/abort-silent":
		w.Abort(0, "")
	case "/hints":
		_ = w.Head(103, field("Link", "</a>"))
		w.Flush()
		_ = w.Answer(200, nil, []byte("ok"))
	case "/204":
		_ = w.Answer(204, nil, []byte("no"))
	case "/304":
		_ = w.Head(304, field("ETag", `"a"`))
		w.Body([]byte("no"))
		w.Flush()
		w.End()
	case "/none":
		w.End()
	case "/bad":
		if err := w.Answer(200, field("A", "b\r\nc: d"), []byte("bad")); err != nil {
			w.Abort(500, "")
		}
	case "/close":
		_ = w.Answer(200, field("Connection", "close"), []byte("bye"))
	default:
		_ = w.Answer(200, nil, []byte(path))
	}
}

var errBroken = errors.New("broken pipe")
