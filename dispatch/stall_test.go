package dispatch

import (
	"testing"
	"time"
)

// TestStall: a worker hangs; what it gives back goes to another, in order, and it gets nothing until it
// is heard of again.
func TestStall(t *testing.T) {
	r := newRig(t, Settings{InFlight: 10})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	var a []*recorder
	var requests []asked
	for i := range 5 {
		r.clock.advance(1)
		_, o := r.ask(nonce(i))
		a, requests = append(a, o), append(requests, w.request())
	}
	w.marks[requests[0].id] = 1 // this one holds the others up
	if ids := r.Silent(time.Second); len(ids) != 0 {
		t.Errorf("%v are silent already", ids)
	}
	r.clock.advance(time.Second)
	if ids := r.Silent(time.Second); len(ids) != 1 || ids[0] != "1" {
		t.Errorf("silent are %v", ids)
	}
	if !r.Suspend("1") || r.Suspend("1") {
		t.Error("Suspend does not tell the first time from the second")
	}
	_, late := r.ask("/late")
	// It cannot give back what it began, nor what it does not have.
	ids := []uint16{requests[0].id, requests[3].id, requests[1].id, 0, 99, 65535, requests[1].id}
	if n := r.Reclaimed("1", ids); n != 2 {
		t.Errorf("%d moved", n)
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	for _, o := range []*recorder{a[1], a[3], late} {
		req := other.request()
		if req.nonce != o.nonce {
			t.Errorf("%s came, want %s", req.nonce, o.nonce)
		}
		other.answer(req.id, req.nonce)
		o.want(200, o.nonce)
	}
	w.none()
	// It goes on, and takes requests again.
	for _, i := range []int{0, 2, 4} {
		w.answer(requests[i].id, requests[i].nonce)
		a[i].want(200, nonce(i))
	}
	<-r.Drain("2")
	_, o := r.ask("/again")
	req := w.request()
	w.answer(req.id, "")
	o.want(200, "")
}

// TestStallIsOver: the worker answers everything just before it is suspended, so that nothing it
// could still send tells that it lives.
func TestStallIsOver(t *testing.T) {
	r := newRig(t, Settings{InFlight: 10})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	_, b := r.ask("/b")
	first, second := w.request(), w.request()
	w.answer(first.id, "")
	a.want(200, "")
	r.Suspend("1")
	r.Reclaimed("1", []uint16{second.id})
	again := w.request() // there is no other worker
	if again.nonce != "/b" {
		t.Errorf("%s came", again.nonce)
	}
	w.answer(again.id, "")
	b.want(200, "")
}

func TestHung(t *testing.T) {
	r := newRig(t, Settings{InFlight: 2})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	gone, b := r.ask("/b")
	_, c := r.ask("/c")
	w.marks[w.request().id] = 1
	second := w.request()
	r.Suspend("1")
	gone.x.Source.Cancelled()
	r.Reclaimed("1", []uint16{second.id})
	if o := b.wait(); !o.aborted || o.status != 0 {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	r.Hung("1")
	w.die()
	r.Lost("1")
	a.want(504, "")
	c.open()
	if r.Reclaimed("1", []uint16{1}) != 0 || r.Suspend("1") {
		t.Error("a worker that is gone gives back")
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	req := other.request()
	other.answer(req.id, "")
	c.want(200, "")
}

// TestCrowded: of a worker whose threads all run requests, others take over what waits behind these, where they have
// threads left and fewer requests.
func TestCrowded(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{Threads: 2})
	asked := map[string]*recorder{}
	for i := range 2 {
		_, asked[nonce(i)] = r.ask(nonce(i))
		w.marks[w.request().id] = 1
	}
	r.mu.Lock()
	r.workers[0].window = 4 // as it had grown
	r.mu.Unlock()
	var behind []uint16
	for i := 2; i < 4; i++ {
		r.clock.advance(1)
		_, asked[nonce(i)] = r.ask(nonce(i))
		behind = append(behind, w.request().id)
	}
	if r.Crowded("1") || r.Crowded("nobody") {
		t.Error("there is nobody else")
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{Threads: 1})
	if !r.Crowded("1") {
		t.Fatal("the other has nothing to do")
	}
	if n := r.Reclaimed("1", behind); n != 2 {
		t.Errorf("%d moved", n)
	}
	// Not back to the first, although that had room for four.
	for i := 2; i < 4; i++ {
		req := other.request()
		if req.nonce != nonce(i) {
			t.Errorf("%s came, want %s", req.nonce, nonce(i))
		}
		if r.Crowded("1") {
			t.Error("the other has no thread left")
		}
		if i == 3 {
			break
		}
		other.answer(req.id, req.nonce)
		asked[req.nonce].want(200, req.nonce)
	}
	w.none()
}
