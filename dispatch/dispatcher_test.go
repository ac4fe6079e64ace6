package dispatch

import (
	"slices"
	"testing"
	"time"

	"pyspeed/fcgi"
)

func TestAnswer(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/a")
	req := w.request()
	if req.nonce != "/a" || req.open || len(req.body) != 0 {
		t.Errorf("the worker got %+v", req)
	}
	w.answer(req.id, "hello")
	a.want(200, "hello")
	if c.x.Worker != "1" {
		t.Errorf("Worker is %q", c.x.Worker)
	}

	// In parts, on the same connection.
	a = c.get("/b")
	req = w.request()
	w.write(appendResponse(nil, req.id, 0, 201, "one "))
	a.streamed(4)
	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, req.id, []byte("two")))
	a.streamed(7)
	a.open()
	w.end(req.id, 0)
	a.want(201, "one two")
}

// TestInterleaved: 1,000 requests at once, each answered in many records, those of all
// requests mixed.
func TestInterleaved(t *testing.T) { eachLoop(t, interleaved) }

func interleaved(t *testing.T, s Settings) {
	const n, parts = 1000, 5
	rnd, _ := newRand(t)
	r := newRig(t, Settings{InFlight: n, Loop: s.Loop})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	answers := make([]*recorder, n)
	for i := range answers {
		_, answers[i] = r.ask(nonce(i))
	}
	requests := make([]asked, n)
	ids := map[uint16]bool{}
	for i := range requests {
		requests[i] = w.request()
		ids[requests[i].id] = true
	}
	if len(ids) != n || ids[0] {
		t.Fatalf("%d ids for %d requests, 0 among them: %v", len(ids), n, ids[0])
	}
	for part := range parts {
		var b []byte
		rnd.Shuffle(n, func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
		for _, req := range requests {
			switch part {
			case 0:
				b = appendResponse(b, req.id, 0, 200, req.nonce)
			case parts - 1:
				b = fcgi.AppendEndRequest(b, req.id, fcgi.EndRequest{})
			default:
				b = fcgi.AppendStream(b, fcgi.TypeStdout, req.id, []byte(req.nonce))
			}
		}
		w.write(b)
	}
	for i, a := range answers {
		x := nonce(i)
		a.want(200, x+x+x+x)
	}
}

// TestIDIsNotReusedEarly: an id is in use until the end of its request was read, also when
// the client left long ago.
func TestIDIsNotReusedEarly(t *testing.T) {
	r := newRig(t, Settings{InFlight: 3})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, left := r.ask("/left")
	req := w.request()
	c.x.Source.Cancelled()
	c.x.Source.Cancelled() // once is enough
	if rec := w.next(fcgi.TypeAbortRequest); rec.ID != req.id {
		t.Errorf("ABORT_REQUEST for %d, want %d", rec.ID, req.id)
	}
	for i := range 200 {
		_, a := r.ask(nonce(i))
		other := w.request()
		if other.id == req.id {
			t.Fatalf("id %d was given again before its end", req.id)
		}
		w.answer(other.id, other.nonce)
		a.want(200, nonce(i))
	}
	left.open()
	w.write(fcgi.AppendStream(appendResponse(nil, req.id, 0, 200, "too "), fcgi.TypeStdout, req.id, []byte("late")))
	w.end(req.id, 2)
	if o := left.wait(); !o.aborted {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	// Now it may come again: three more at once need it.
	ids := map[uint16]bool{}
	for i := range 3 {
		r.ask(nonce(i))
		ids[w.request().id] = true
	}
	if !ids[req.id] {
		t.Errorf("id %d is lost; in use are %v", req.id, ids)
	}
}

// TestNextRequestInsideEnd: a pipelining edge responds again from inside Answer.
func TestNextRequestInsideEnd(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c := r.client()
	first := c.prepare("/first", nil, 0)
	second := make(chan *recorder, 1)
	first.atEnd = func(outcome) { second <- c.get("/second") }
	r.Respond(&c.x)
	req := w.request()
	w.answer(req.id, "1")
	first.want(200, "1")
	again := w.request()
	if again.nonce != "/second" {
		t.Errorf("the worker got %q", again.nonce)
	}
	w.answer(again.id, "2")
	(<-second).want(200, "2")
}

func TestQueueFull(t *testing.T) {
	r := newRig(t, Settings{Queue: 2, InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, running := r.ask("/running")
	_, one := r.ask("/one")
	_, two := r.ask("/two")
	_, three := r.ask("/three")
	three.want(503, "")
	if n := r.count(FailQueueFull); n != 1 {
		t.Errorf("%d failures were counted", n)
	}
	for _, a := range []*recorder{running, one, two} { // in order of arrival
		req := w.request()
		if req.nonce != a.nonce {
			t.Errorf("the worker got %s, want %s", req.nonce, a.nonce)
		}
		w.answer(req.id, req.nonce)
		a.want(200, a.nonce)
	}
}

func TestQueueTimeout(t *testing.T) {
	r := newRig(t, Settings{QueueTimeout: 10 * time.Second, InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, running := r.ask("/running")
	_, old := r.ask("/old")
	r.clock.advance(6 * time.Second)
	_, young := r.ask("/young")
	r.clock.advance(4*time.Second - 1)
	r.expire()
	old.open()
	r.clock.advance(1)
	r.expire()
	old.want(503, "")
	young.open()
	running.open()
	if n := r.count(FailQueueTime); n != 1 {
		t.Errorf("%d failures were counted", n)
	}
	for _, a := range []*recorder{running, young} {
		req := w.request()
		w.answer(req.id, req.nonce)
		a.want(200, a.nonce)
	}
}

func TestClientLeavesQueue(t *testing.T) {
	r := newRig(t, Settings{InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, running := r.ask("/running")
	gone, a := r.ask("/gone")
	_, next := r.ask("/next")
	gone.x.Source.Cancelled()
	if o := a.wait(); !o.aborted || o.status != 0 {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	for _, a := range []*recorder{running, next} {
		req := w.request()
		if req.nonce != a.nonce {
			t.Errorf("the worker got %s, want %s", req.nonce, a.nonce)
		}
		w.answer(req.id, req.nonce)
		a.want(200, a.nonce)
	}
	w.none()
}

func TestLeastOutstanding(t *testing.T) {
	r := newRig(t, Settings{InFlight: 100})
	one := startWorker(t, r.Dispatcher, "1", Worker{})
	two := startWorker(t, r.Dispatcher, "2", Worker{})
	a := make([]*recorder, 6)
	for i := range a {
		_, a[i] = r.ask(nonce(i))
	}
	requests := map[*fakeWorker][]asked{}
	for _, w := range []*fakeWorker{one, two} {
		for range 3 {
			requests[w] = append(requests[w], w.request())
		}
	}
	// The second becomes free: the next three are its.
	for _, req := range requests[two] {
		two.answer(req.id, req.nonce)
	}
	for i := 1; i < 6; i += 2 {
		a[i].want(200, nonce(i))
	}
	for i := range 3 {
		r.ask(nonce(10 + i))
		two.request()
	}
	one.none()
}

func TestWindowAdapts(t *testing.T) {
	r := newRig(t, Settings{Queue: 5000})
	w := startWorker(t, r.Dispatcher, "1", Worker{Threads: 2})
	size := func() int {
		_, loads := r.State()
		return loads[0].Window
	}
	if size() != 2 {
		t.Fatalf("the window starts at %d", size())
	}
	// Short requests, and more of them waiting: it grows.
	for i := range 400 {
		r.ask(nonce(i))
	}
	for range 50 {
		req := w.request()
		w.answer(req.id, "")
	}
	for range 52 {
		w.request() // the window's worth
	}
	w.none()
	if size() != 52 {
		t.Errorf("after 50 short requests the window is %d, want 52", size())
	}
	// Long ones: it shrinks, but not below the threads. Of the ids, the last 50 were given again.
	r.clock.advance(short + 1)
	for id := range 52 {
		w.answer(uint16(id+1), "")
	}
	w.request() // by now all were read
	if size() > 10 {
		t.Errorf("after 52 long requests the window is %d", size())
	}
	for size() > 2 {
		r.clock.advance(short + 1)
		w.answer(w.request().id, "")
	}
}

func TestFixedWindow(t *testing.T) {
	f := func(inFlight, want int) {
		t.Helper()
		r := newRig(t, Settings{InFlight: inFlight, Queue: 1})
		startWorker(t, r.Dispatcher, "1", Worker{})
		sent := 0
		for i := range want + 2 {
			r.ask(nonce(i))
			if waiting, loads := r.State(); waiting == 0 {
				sent = loads[0].Outstanding
			}
		}
		if sent != want {
			t.Errorf("InFlight %d: %d were sent, want %d", inFlight, sent, want)
		}
	}
	f(1, 1)
	f(3, 3)
	f(5000, 5000)
}

func TestDrain(t *testing.T) {
	r := newRig(t, Settings{InFlight: 10})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	req := w.request()
	empty := r.Drain("1")
	select {
	case <-empty:
		t.Error("a worker with a request is empty")
	default:
	}
	_, b := r.ask("/b")
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	w.answer(req.id, "1")
	a.want(200, "1")
	<-empty
	req = other.request()
	other.answer(req.id, "2")
	b.want(200, "2")
	w.none()
	w.die()
	<-w.served
	if w.err != nil {
		t.Errorf("the orderly end of a drained worker: %v", w.err)
	}
	if r.mu.Lock(); len(r.broken) != 0 {
		t.Errorf("broken: %v", r.broken)
	}
	r.mu.Unlock()
	<-r.Drain("never heard of")
}

// TestEarly: the supervisor may speak of a worker before its goroutine came to Serve.
func TestEarly(t *testing.T) {
	t.Run("lost", func(t *testing.T) {
		r := newRig(t, Settings{})
		_, a := r.ask("/a")
		r.Lost("1")
		w := newFakeWorker(t, "1")
		w.serve(r.Dispatcher, Worker{})
		w.die()
		<-w.served
		if _, loads := r.State(); len(loads) != 0 {
			t.Errorf("a lost worker stays: %+v", loads)
		}
		a.open()
		other := startWorker(t, r.Dispatcher, "2", Worker{})
		req := other.request()
		other.answer(req.id, "2")
		a.want(200, "2")
	})
	t.Run("drained", func(t *testing.T) {
		r := newRig(t, Settings{})
		_, a := r.ask("/a")
		<-r.Drain("1")
		w := newFakeWorker(t, "1")
		w.serve(r.Dispatcher, Worker{})
		other := startWorker(t, r.Dispatcher, "2", Worker{})
		req := other.request()
		other.answer(req.id, "2")
		a.want(200, "2")
		w.none()
	})
	t.Run("handshake fails", func(t *testing.T) {
		r := newRig(t, Settings{})
		ours, theirs := socketpair(t)
		_ = theirs.Close()
		if err := r.Serve(Worker{ID: "1", Conn: ours, Marks: make([]byte, 1<<16)}, time.Minute); err == nil {
			t.Error("no error")
		}
		r.Lost("1")
		if _, loads := r.State(); len(loads) != 0 {
			t.Errorf("it stays: %+v", loads)
		}
		_ = ours.Close()
	})
	t.Run("interface", func(t *testing.T) {
		r := newRig(t, Settings{})
		_, a := r.ask("/a") // nobody knows yet that it will be ASGI
		w := startWorker(t, r.Dispatcher, "1", Worker{ASGI: true})
		req := w.request()
		if len(req.head) == 0 || req.head[0].Key != "type" {
			t.Errorf("an ASGI worker got %v", req.head)
		}
		w.answer(req.id, "")
		a.want(200, "")
	})
}

func TestStop(t *testing.T) {
	r := newRig(t, Settings{InFlight: 2})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, running := r.ask("/running")
	_, also := r.ask("/also")
	_, waiting := r.ask("/waiting")
	r.Stop()
	waiting.want(503, "")
	req := w.request()
	w.answer(req.id, "")
	running.want(200, "")
	_, late := r.ask("/late") // there would be room
	late.want(503, "")
	w.request()
	w.die()
	<-w.served
	r.Lost("1")
	also.want(502, "") // not begun, but there is nobody to move it to
}

func TestRingOfQueue(t *testing.T) {
	q := newQueue(1 << 20)
	var model []*call
	check := func(step int) {
		t.Helper()
		if q.len != len(model) {
			t.Fatalf("step %d: length %d, want %d", step, q.len, len(model))
		}
		if q.len > 0 && q.first() != model[0] {
			t.Fatalf("step %d: another is first", step)
		}
		for i, p := 0, q.head; p < q.tail; p++ {
			if c := *q.at(p); c != nil {
				if c != model[i] || c.position != p {
					t.Fatalf("step %d: place %d is wrong", step, i)
				}
				i++
			}
		}
	}
	r, _ := newRand(t)
	for step := range 6000 {
		bias := step / 1000 % 2 * 3
		switch n := r.IntN(10); {
		case n < 3+bias:
			c := &call{}
			q.push(c)
			model = append(model, c)
		case n == 6:
			c := &call{}
			q.pushFront(c)
			model = slices.Insert(model, 0, c)
		case n == 7 && len(model) > 0:
			i := r.IntN(len(model))
			q.remove(model[i])
			model = slices.Delete(model, i, i+1)
		case n == 8:
			c := q.pop()
			if (c == nil) != (len(model) == 0) || c != nil && c != model[0] {
				t.Fatalf("step %d: popped another", step)
			}
			if c != nil {
				model = model[1:]
			}
		}
		check(step)
	}
	// Places left by removed calls do not make it grow.
	q = newQueue(100)
	q.push(&call{})
	for range 10000 {
		c := &call{}
		q.push(c)
		q.remove(c)
	}
	if len(q.ring) > 64 {
		t.Errorf("the ring of a queue of two has %d places", len(q.ring))
	}
	small := newQueue(1)
	if !small.push(&call{}) || small.push(&call{}) {
		t.Error("a queue of one takes two")
	}
}

func TestFailures(t *testing.T) {
	names := map[string]bool{}
	for _, f := range Failures() {
		if f.Metric() == "" || names[f.Metric()] || f.Status() < 500 || f.Status() > 599 {
			t.Errorf("failure %d: metric %q, status %d", f, f.Metric(), f.Status())
		}
		names[f.Metric()] = true
	}
}
