package http1

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

// depth is how many frames are on the caller's stack.
func depth() int { return runtime.Callers(0, make([]uintptr, 10_000)) }

func TestPipeliningDoesNotRecurse(t *testing.T) {
	const n = 1000
	var in, want strings.Builder
	for i := range n {
		in.WriteString(get(fmt.Sprintf("/n%d", i)))
		want.WriteString(answer200(fmt.Sprintf("/n%d", i)))
	}
	for name, later := range map[string]bool{"answered at once": false, "answered later": true} {
		t.Run(name, func(t *testing.T) {
			deepest := 0
			var job func()
			a := &app{run: func(f func()) {
				deepest = max(deepest, depth())
				if later {
					job = f
				} else {
					f()
				}
			}}
			r := newRig(t, a.Respond, nil)
			base := depth()
			r.s.Feed([]byte(in.String()))
			for job != nil {
				f := job
				job = nil
				f()
			}
			if got := r.tr.text(); got != want.String() {
				t.Errorf("got %d bytes, want the %d answers in order", len(got), n)
			}
			if deepest > base+20 {
				t.Errorf("the stack grew from %d to %d frames", base, deepest)
			}
			r.s.Closed()
			r.check()
		})
	}
}

// A client that always has a request under way never leaves the buffer empty.
func TestPipeliningForeverKeepsTheBufferSmall(t *testing.T) {
	var job func()
	a := &app{run: func(f func()) { job = f }}
	r := newRig(t, a.Respond, nil)
	r.s.Feed([]byte(get("/a") + get("/a")))
	most := 0
	for range 5000 {
		r.s.Feed([]byte(get("/a")))
		f := job
		job = nil
		f()
		most = max(most, cap(r.s.buf))
	}
	if most > 8*bufferSize {
		t.Errorf("the buffer has grown to %d bytes", most)
	}
}

func TestTooMuchInput(t *testing.T) {
	t.Run("behind an answer", func(t *testing.T) {
		a := &app{run: func(func()) {}}
		r := newRig(t, a.Respond, nil)
		a.src.onCancel = func() { r.s.x.Writer.Abort(0, "") }
		r.s.Feed([]byte(get("/a")))
		part := bytes.Repeat([]byte("x"), 64<<10)
		for range maxCarry/len(part) + 1 {
			r.s.Feed(part)
		}
		if r.end() != "closed" || len(r.done) != 1 {
			t.Errorf("the connection is %s, %v", r.end(), r.done)
		}
		r.check()
	})
	t.Run("without reading", func(t *testing.T) {
		a := &app{run: func(f func()) { f() }}
		r := newRig(t, a.Respond, nil)
		r.tr.room = 0
		fed := 0
		for part := []byte(strings.Repeat(get("/a"), 1000)); r.end() == "open" && fed < 4*maxCarry; fed += len(part) {
			r.s.Feed(part)
		}
		if r.end() != "closed" {
			t.Errorf("%d bytes of requests wait for a client that does not read", fed)
		}
		r.check()
	})
}

// stream is a responder that keeps to its window, as a worker does.
type stream struct {
	t         *testing.T
	x         *exchange.Exchange
	window    int
	credit    int
	left      int
	src       source
	flushed   int
	part      func() int
	exhausted bool
}

func (a *stream) Respond(x *exchange.Exchange) {
	a.x = x
	x.Source = &a.src
	a.credit = a.window
	a.src.onDrained = func(n int) { a.credit += n }
	_ = x.Writer.Head(200, nil)
	x.Writer.Flush()
}

// pump sends what the credit allows, and ends the answer once all has left.
func (a *stream) pump() {
	for a.left > 0 && a.credit > 0 {
		n := min(a.left, a.credit, a.part())
		a.left -= n
		a.credit -= n
		a.flushed += n
		a.x.Writer.Body(bytes.Repeat([]byte{'x'}, n))
		if a.part()%2 == 0 {
			a.x.Writer.Flush()
		}
	}
	a.x.Writer.Flush()
	if a.left == 0 && a.src.drained == a.flushed && !a.exhausted {
		a.exhausted = true
		a.x.Writer.End()
	}
}

func TestSlowClient(t *testing.T) {
	f := func(total, window, mostPart, mostTaken int) {
		t.Helper()
		rnd := rand.New(rand.NewPCG(uint64(total), uint64(window)))
		a := &stream{t: t, left: total, window: window, part: func() int { return 1 + rnd.IntN(mostPart) }}
		r := newRig(t, a.Respond, nil)
		r.tr.room = 0
		r.s.Feed([]byte(get("/a") + get("/b")))
		largest := 0
		for rounds := 0; !a.exhausted; rounds++ {
			a.pump()
			// Of the body no more than the window waits; a chunk of one byte has six.
			waiting := len(r.s.pending) - r.s.pendingAt
			if body := a.flushed - a.src.drained; body > window {
				t.Fatalf("%d bytes of body wait, window %d", body, window)
			}
			if waiting > 6*window+512 {
				t.Fatalf("%d bytes wait, window %d", waiting, window)
			}
			if held := r.cfg.Budget.Held(); held != int64(waiting) {
				t.Fatalf("the budget holds %d bytes, %d wait", held, waiting)
			}
			largest = max(largest, cap(r.s.pending))
			r.tr.give(1 + rnd.IntN(mostTaken))
			if rounds > 10*total+100 {
				t.Fatalf("stuck: %d bytes left, credit %d", a.left, a.credit)
			}
		}
		if a.src.drained != total {
			t.Errorf("drained %d, want %d", a.src.drained, total)
		}
		// Framing of 1-byte chunks is six times their data.
		if most := 40*window + 8192; largest > most {
			t.Errorf("a window of %d bytes has cost %d of memory", window, largest)
		}
		// The next request's answer waits until the client has taken this one.
		r.tr.give(-1)
		a.pump()
		if got := strings.Count(r.tr.text(), "HTTP/1.1 200"); got != 2 {
			t.Errorf("%d answers, want the second to begin", got)
		}
		a.src.onCancel = func() { a.x.Writer.Abort(0, "") }
		r.s.Closed()
		r.check()
	}
	f(1_000, 100, 10, 7)
	f(200_000, 4<<10, 3000, 1500)
	f(2_000_000, 256<<10, 60_000, 100_000)
	f(2_000_000, 64<<10, 60_000, 1_000_000)
	f(100_000, 4<<10, 1, 5000)
}

func TestBudgetAtEveryEnd(t *testing.T) {
	f := func(name string, do func(r *rig)) {
		t.Run(name, func(t *testing.T) {
			a := &app{run: func(f func()) { f() }}
			r := newRig(t, a.Respond, nil)
			r.tr.room = 5
			r.s.Feed([]byte(get("/large")))
			if held := r.cfg.Budget.Held(); held < directWrite-5 {
				t.Fatalf("the budget holds %d bytes", held)
			}
			do(r)
			r.check()
		})
	}
	f("client leaves", func(r *rig) { r.s.Closed() })
	f("write fails", func(r *rig) { r.tr.failing = errBroken; r.tr.give(100) })
	f("client is too slow", func(r *rig) { r.pass(r.cfg.WriteTimeout + 3*tick) })
	f("shutdown and client reads", func(r *rig) { r.registry.Shutdown(); r.tr.give(-1); r.pass(shutdownGrace + 3*tick) })
	f("everything is closed", func(r *rig) { r.registry.CloseAll() })
}
