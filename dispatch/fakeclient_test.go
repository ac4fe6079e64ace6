package dispatch

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// clock is a clock that only the test moves.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Duration       { return time.Duration(c.now.Load()) }
func (c *clock) advance(d time.Duration)  { c.now.Add(int64(d)) }
func newClock() *clock                    { c := &clock{}; c.advance(time.Hour); return c }
func quiet() *slog.Logger                 { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
func budget(bytes int64) *exchange.Budget { return exchange.NewBudget(bytes) }

// rig is a dispatcher under test.
type rig struct {
	*Dispatcher
	t     testing.TB
	clock *clock

	mu     sync.Mutex
	failed []Failure
	broken []string
	// closing: workers that end are not replaced.
	closing bool
}

func newRig(t testing.TB, s Settings) *rig {
	r := &rig{t: t, clock: newClock()}
	if s.Queue == 0 {
		s.Queue = 1000
	}
	if s.QueueTimeout == 0 {
		s.QueueTimeout = 10 * time.Second
	}
	if s.Budget == nil {
		s.Budget = budget(1 << 30)
	}
	s.Now, s.Log = r.clock.Now, quiet()
	s.Failed = func(f Failure) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed = append(r.failed, f)
	}
	s.Broken = func(id string, _ error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.broken = append(r.broken, id)
	}
	r.Dispatcher = New(s)
	return r
}

func (r *rig) count(f Failure) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.failed {
		if o == f {
			n++
		}
	}
	return n
}

// counts is how often each failure was counted.
func (r *rig) counts() map[string]int {
	counts := map[string]int{}
	for _, f := range Failures() {
		if n := r.count(f); n > 0 {
			counts[f.Metric()] = n
		}
	}
	return counts
}

// outcome is how an exchange ended.
type outcome struct {
	status  int // 0: the client left
	body    string
	aborted bool
	cut     bool // aborted after a head
}

// client is one connection: one exchange after the other, all with one Slot.
type client struct {
	t       testing.TB
	d       *Dispatcher
	clock   *clock
	x       exchange.Exchange
	current *recorder
}

func (r *rig) client() *client {
	return &client{t: r.t, d: r.Dispatcher, clock: r.clock}
}

// prepare makes the next exchange; nonce travels as its path.
func (c *client) prepare(nonce string, body *exchange.Body, length int64) *recorder {
	c.current = &recorder{t: c.t, nonce: nonce, done: make(chan outcome, 1), changed: make(chan struct{}, 1)}
	c.x.Request = exchange.Request{
		Method: []byte("GET"), Target: []byte(nonce), RawPath: []byte(nonce), Path: []byte(nonce), Minor: 1, ContentLength: length,
	}
	c.x.Peer = &exchange.Peer{RemoteAddr: "127.0.0.1", RemotePort: "5", ServerName: "localhost", ServerPort: "80"}
	c.x.Writer, c.x.Source, c.x.Body = c.current, nil, body
	c.x.Accepted = c.clock.Now()
	return c.current
}

func (c *client) get(nonce string) *recorder {
	w := c.prepare(nonce, nil, 0)
	c.d.Respond(&c.x)
	return w
}

// post sends body whole, or, when open, leaves its end to the caller.
func (c *client) post(nonce string, body *exchange.Body, length int64) *recorder {
	w := c.prepare(nonce, body, length)
	c.d.Respond(&c.x)
	return w
}

// ask sends a GET over a connection of its own.
func (r *rig) ask(nonce string) (*client, *recorder) {
	c := r.client()
	return c, c.get(nonce)
}

func newBody(data string, done bool) *exchange.Body {
	b := exchange.NewBody(1<<20, nil, "")
	_ = b.Append([]byte(data)) // stays in memory
	if done {
		b.Finish()
	}
	return b
}

// recorder is the Writer of one exchange. It checks the order of the calls.
type recorder struct {
	t       testing.TB
	nonce   string
	done    chan outcome
	changed chan struct{} // has an item when something was flushed
	inside  atomic.Bool

	mu      sync.Mutex
	ended   bool
	status  int
	infos   []int
	body    []byte
	flushed int
	onBody  func()        // called before Body takes anything
	atEnd   func(outcome) // called inside End and Abort, as a pipelining edge would
}

func (w *recorder) call(name string, f func()) {
	if !w.inside.CompareAndSwap(false, true) {
		w.t.Errorf("%s: %s while another call is under way", w.nonce, name)
	}
	w.mu.Lock()
	if w.ended {
		w.t.Errorf("%s: %s after the end", w.nonce, name)
	}
	f()
	w.mu.Unlock()
	w.inside.Store(false)
}

var errField = errors.New("cannot send the answer: a field is not allowed")

func (w *recorder) Head(status int, fields []exchange.Field) (err error) {
	w.call("Head", func() {
		if w.status != 0 {
			w.t.Errorf("%s: a second head, status %d", w.nonce, status)
		}
		for _, f := range fields {
			if string(f.Name) == "bad name" {
				err = errField
				return
			}
		}
		if status < 200 {
			w.infos = append(w.infos, status)
			return
		}
		w.status = status
	})
	return err
}

func (w *recorder) Answer(status int, fields []exchange.Field, body []byte) error {
	if err := w.Head(status, fields); err != nil {
		return err
	}
	if status < 200 {
		w.t.Errorf("%s: Answer with status %d", w.nonce, status)
	}
	w.Body(body)
	w.End()
	return nil
}

func (w *recorder) Body(p []byte) {
	if w.onBody != nil {
		w.onBody()
	}
	w.call("Body", func() {
		if w.status == 0 {
			w.t.Errorf("%s: Body before Head", w.nonce)
		}
		w.body = append(w.body, p...)
	})
}

func (w *recorder) Flush() {
	w.call("Flush", func() { w.flushed = len(w.body) })
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *recorder) End() { w.finish("End", false, 0) }

func (w *recorder) Abort(status int, _ string) { w.finish("Abort", true, status) }

func (w *recorder) finish(name string, aborted bool, status int) {
	var o outcome
	var next func(outcome)
	w.call(name, func() {
		if !aborted && w.status == 0 {
			w.t.Errorf("%s: End before Head", w.nonce)
		}
		w.ended = true
		o = outcome{status: w.status, body: string(w.body), aborted: aborted, cut: aborted && w.status != 0}
		if aborted && w.status == 0 {
			o.status = status
		}
		next = w.atEnd
	})
	w.done <- o
	if next != nil {
		next(o)
	}
}

// wait returns how the exchange ended.
func (w *recorder) wait() outcome {
	w.t.Helper()
	select {
	case o := <-w.done:
		return o
	case <-time.After(time.Minute):
		w.t.Fatalf("%s: no answer", w.nonce)
	}
	return outcome{}
}

// want waits for the end and compares it.
func (w *recorder) want(status int, body string) {
	w.t.Helper()
	o := w.wait()
	if o.status != status || body != "" && o.body != body {
		w.t.Errorf("%s: status %d, body %.40q; want %d, %.40q", w.nonce, o.status, o.body, status, body)
	}
}

// open checks that the exchange has not ended.
func (w *recorder) open() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		w.t.Errorf("%s: ended already", w.nonce)
	}
}

// streamed waits until that much of the body was flushed.
func (w *recorder) streamed(n int) {
	w.t.Helper()
	for {
		w.mu.Lock()
		have := w.flushed
		w.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-w.changed:
		case <-time.After(time.Minute):
			w.t.Fatalf("%s: %d bytes were flushed, want %d", w.nonce, have, n)
		}
	}
}

func nonce(i int) string { return fmt.Sprintf("/n/%d", i) }
