package dispatch

import (
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// TestHold: what comes waits, is not late, may leave or find no room, and goes to the workers in order once released.
func TestHold(t *testing.T) {
	r := newRig(t, Settings{Queue: 4})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, before := r.ask("/before")
	running := w.request()
	r.Hold()
	r.Hold()
	var waiting []*recorder
	var clients []*client
	for i := range 4 {
		r.clock.advance(time.Second)
		c, a := r.ask(nonce(i))
		clients, waiting = append(clients, c), append(waiting, a)
	}
	_, refused := r.ask("/refused")
	refused.want(503, "")
	w.answer(running.id, "") // whose end must not feed the worker
	before.want(200, "")
	if n, longest := r.Waiting(); n != 4 || longest != 3*time.Second {
		t.Errorf("%d wait, the first for %s", n, longest)
	}
	clients[1].x.Source.Cancelled()
	if o := waiting[1].wait(); !o.aborted || o.status != 0 {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	r.clock.advance(time.Hour)
	r.expire()
	startWorker(t, r.Dispatcher, "2", Worker{}).none()
	<-r.Drain("2")
	w.none()

	r.Release()
	r.Release()
	for _, a := range []*recorder{waiting[0], waiting[2], waiting[3]} {
		req := w.request()
		if req.nonce != a.nonce {
			t.Errorf("%s came, want %s", req.nonce, a.nonce)
		}
		w.answer(req.id, req.nonce)
		a.want(200, a.nonce)
	}
	_, a := r.ask("/after")
	w.answer(w.request().id, "")
	a.want(200, "")
}

// TestHoldCountsFromRelease: the time of waiting begins anew, and Stop overrides.
func TestHoldCountsFromRelease(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1, QueueTimeout: 10 * time.Second})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, busy := r.ask("/busy")
	running := w.request()
	r.Hold()
	_, a := r.ask("/a")
	r.clock.advance(time.Minute)
	r.Release()
	r.clock.advance(9 * time.Second)
	r.expire()
	a.open()
	r.clock.advance(time.Second)
	r.expire()
	a.want(503, "")

	r.Hold()
	_, b := r.ask("/b")
	r.Stop()
	b.want(503, "")
	_, c := r.ask("/c")
	c.want(503, "")
	w.answer(running.id, "")
	busy.want(200, "")
	if n, m := r.count(FailQueueTime), r.count(FailStopping); n != 1 || m != 2 {
		t.Errorf("%d were late, %d refused", n, m)
	}
}

// TestHoldFrom: what came before goes to workers, in order, also when the time moves on; what came later waits.
func TestHoldFrom(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	ask := func(path string) *recorder {
		r.clock.advance(time.Second)
		_, a := r.ask(path)
		return a
	}
	answer := func(a *recorder) {
		t.Helper()
		req := w.request()
		if req.nonce != a.nonce {
			t.Errorf("%s came, want %s", req.nonce, a.nonce)
		}
		w.answer(req.id, req.nonce)
		a.want(200, a.nonce)
	}
	busy, early := ask(nonce(0)), ask(nonce(1))
	r.clock.advance(time.Second)
	r.HoldFrom(r.clock.Now())
	late := ask(nonce(2))
	answer(busy)
	answer(early)
	w.none()
	r.clock.advance(time.Second)
	r.HoldFrom(r.clock.Now())
	later := ask(nonce(3))
	answer(late)
	w.none()
	r.clock.advance(time.Hour)
	r.expire()
	r.Release()
	answer(later)
}

// TestDivert: what waits and came before is somebody else's, and the client that leaves too.
func TestDivert(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	r.Hold()
	gone, a := r.ask("/a")
	_, b := r.ask("/b")
	r.clock.advance(time.Second)
	at := r.clock.Now()
	r.clock.advance(time.Second)
	_, c := r.ask("/c")
	first := true
	r.Divert(at, func(x *exchange.Exchange) {
		if first {
			gone.x.Source.Cancelled() // too late: it is being answered
		}
		first = false
		_ = x.Writer.Answer(500, nil, []byte("not here"))
	})
	a.want(500, "not here")
	b.want(500, "not here")
	w.none()
	r.Release()
	w.answer(w.request().id, "")
	c.want(200, "")
}

// TestStarting: while the first worker starts, requests wait for it; once it serves, as long as any.
func TestStarting(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1, QueueTimeout: 10 * time.Second, StartTimeout: time.Minute})
	r.Starting(1)
	var waiting []*recorder
	for i := range 3 {
		_, a := r.ask(nonce(i))
		waiting = append(waiting, a)
	}
	r.clock.advance(59 * time.Second)
	r.expire()
	r.Starting(0) // it is with Serve, or was
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	first := w.request()
	r.clock.advance(9 * time.Second)
	r.expire()
	w.answer(first.id, "")
	waiting[0].want(200, "")
	w.request()
	waiting[2].open()
	r.clock.advance(time.Second)
	r.Starting(1) // one more, beside one that serves
	r.expire()
	waiting[2].want(503, "")
}

// TestStartFailed: nobody waits for a start that is over.
func TestStartFailed(t *testing.T) {
	r := newRig(t, Settings{QueueTimeout: 10 * time.Second, StartTimeout: time.Minute})
	r.Starting(1)
	_, a := r.ask("/a")
	r.clock.advance(11 * time.Second)
	r.expire()
	a.open()
	r.Starting(0)
	r.expire()
	a.want(503, "")
	r.Starting(1)
	_, b := r.ask("/b")
	r.clock.advance(time.Minute)
	r.expire()
	b.want(503, "")
}
