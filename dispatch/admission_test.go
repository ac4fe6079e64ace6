package dispatch

import (
	"testing"
	"time"
)

// TestOverload: open-loop clients at three times what a worker can do. What it can do it does; who cannot be served
// within QueueTimeout is refused, most of them at once; nobody waits for longer.
func TestOverload(t *testing.T) {
	const timeout = 2 * time.Second
	r := newRig(t, Settings{InFlight: 1, Queue: 1 << 20, QueueTimeout: timeout})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	start := r.clock.Now()
	type waiting struct {
		a  *recorder
		at time.Duration
	}
	open := map[string]waiting{}
	var answered, refusedAtOnce, refusedLate int
	var longest time.Duration
	// One request in 10 ms is answered, three come; as if for a minute.
	for i := range 6000 {
		for j := range 3 {
			name := nonce(3*i + j)
			_, a := r.ask(name)
			if len(a.done) > 0 {
				if o := a.wait(); o.status != 503 {
					t.Fatalf("%+v", o)
				}
				refusedAtOnce++
				continue
			}
			open[name] = waiting{a, r.clock.Now()}
		}
		req := w.request()
		w.marks[req.id] = 1
		r.clock.advance(10 * time.Millisecond)
		r.expire()
		w.answer(req.id, "")
		o := open[req.nonce]
		o.a.want(200, "")
		delete(open, req.nonce)
		answered++
		if r.clock.Now()-start > 2*timeout {
			longest = max(longest, r.clock.Now()-o.at)
		}
		if i%20 == 0 {
			for name, o := range open {
				if len(o.a.done) > 0 {
					o.a.want(503, "")
					refusedLate++
					delete(open, name)
				}
			}
		}
	}
	t.Logf("%d answered after at most %s; %d refused at once, %d after %s; %v", answered, longest, refusedAtOnce, refusedLate, timeout, r.counts())
	if longest > timeout {
		t.Errorf("somebody waited for %s", longest)
	}
	// In the first two seconds nobody knows.
	if refusedLate > 500 || refusedAtOnce < 11000 {
		t.Errorf("%d were refused at once, %d late", refusedAtOnce, refusedLate)
	}
	if n := r.count(FailOverload); n != refusedAtOnce {
		t.Errorf("%d are counted as refused", n)
	}
	r.Stop()
}

// TestAfterTheOverload: once the queue was empty, it takes as many as ever.
func TestAfterTheOverload(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1, Queue: 100, QueueTimeout: time.Second})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	refused := func() (n int) {
		for i := range 50 {
			_, a := r.ask(nonce(i))
			if len(a.done) > 0 {
				a.want(503, "")
				n++
			}
		}
		return n
	}
	if n := refused(); n != 0 { // a burst is none of its business
		t.Errorf("%d were refused", n)
	}
	busy := w.request()
	// Nothing is answered for long: whoever comes is refused, but one.
	for range 8 {
		r.clock.advance(250 * time.Millisecond)
		r.expire()
		r.ask("/more")
	}
	if n := refused(); n < 45 {
		t.Errorf("%d were refused", n)
	}
	for r.queueLength() > 0 {
		w.answer(busy.id, "")
		busy = w.request()
	}
	w.answer(busy.id, "")
	if n := refused(); n != 0 {
		t.Errorf("%d were refused afterwards", n)
	}
	r.Stop()
}

// TestOverloadWithoutWorkers: nothing is learnt while requests are held, or no worker serves.
func TestOverloadWithoutWorkers(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1, Queue: 100, QueueTimeout: time.Second})
	for range 20 {
		r.clock.advance(200 * time.Millisecond)
		r.expire()
		if _, a := r.ask("/a"); len(a.done) > 0 {
			t.Fatal("refused while no worker serves")
		}
	}
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	w.request()
	r.Hold()
	for range 20 {
		r.clock.advance(200 * time.Millisecond)
		r.expire()
		if _, a := r.ask("/a"); len(a.done) > 0 {
			t.Fatal("refused while requests are held")
		}
	}
	r.Stop()
}

func (r *rig) queueLength() int {
	n, _ := r.Waiting()
	return n
}
