package dispatch

import (
	"slices"
	"testing"
	"time"
)

func TestDemand(t *testing.T) {
	r := newRig(t, Settings{InFlight: 2})
	want := func(what string, want Demand) {
		t.Helper()
		got := r.Demand()
		if got.Held {
			t.Errorf("%s: it is held", what)
		}
		if got.Requests != want.Requests || got.Waiting != want.Waiting || got.Oldest != want.Oldest || !slices.Equal(got.Workers, want.Workers) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	want("nothing", Demand{})
	_, first := r.ask("/first")
	r.clock.advance(3 * time.Second)
	want("no worker", Demand{Requests: 1, Waiting: 1, Oldest: 3 * time.Second})
	w := startWorker(t, r.Dispatcher, "1", Worker{Threads: 1})
	a := w.request()
	want("it has one", Demand{Requests: 1, Waiting: 1, Oldest: 3 * time.Second, Workers: []Busyness{{"1", 1, 1, 0}}})
	w.marks[a.id] = 1
	r.clock.advance(time.Second)
	want("it runs", Demand{Requests: 1, Waiting: 0, Oldest: 0, Workers: []Busyness{{"1", 1, 1, time.Second}}})
	_, second := r.ask("/second")
	b := w.request()
	_, third := r.ask("/third")
	r.clock.advance(time.Second)
	want("one waits in the worker, one for it", Demand{Requests: 3, Waiting: 2, Oldest: time.Second, Workers: []Busyness{{"1", 2, 1, 2 * time.Second}}})
	w.answer(a.id, "")
	first.want(200, "")
	c := w.request()
	w.marks[b.id] = 1
	w.marks[c.id] = 1
	r.clock.advance(time.Second)
	want("it says that both run", Demand{Requests: 3, Waiting: 0, Oldest: 0, Workers: []Busyness{{"1", 2, 1, 3 * time.Second}}})
	w.answer(b.id, "")
	w.answer(c.id, "")
	second.want(200, "")
	third.want(200, "")
	r.clock.advance(time.Hour)
	want("idle", Demand{Requests: 3, Waiting: 0, Oldest: 0, Workers: []Busyness{{"1", 0, 1, 3 * time.Second}}})

	loop := startWorker(t, r.Dispatcher, "2", Worker{ASGI: true})
	r.Drain("1")
	client, left := r.ask("/left")
	d := loop.request()
	r.clock.advance(time.Second)
	want("a loop that does not turn", Demand{Requests: 4, Waiting: 1, Oldest: time.Second, Workers: []Busyness{{"2", 1, 0, 0}}})
	client.x.Source.Cancelled()
	want("its client left", Demand{Requests: 4, Waiting: 0, Oldest: 0, Workers: []Busyness{{"2", 1, 0, 0}}})
	loop.end(d.id, 2)
	left.wait()
	r.Hold()
	if !r.Demand().Held {
		t.Error("nothing says that it is held")
	}
}

// TestAwaited: who starts workers is told of requests that find none, and of no others.
func TestAwaited(t *testing.T) {
	told := 0
	r := newRig(t, Settings{InFlight: 1, Queue: 2, Awaited: func() { told++ }})
	want := func(what string, n int) {
		t.Helper()
		if told != n {
			t.Errorf("%s: told %d times, want %d", what, told, n)
		}
	}
	_, first := r.ask("/first")
	want("no worker", 1)
	_, second := r.ask("/second")
	want("still none", 2)
	_, third := r.ask("/third")
	third.want(503, "")
	want("no room", 2)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	w.answer(w.request().id, "")
	first.want(200, "")
	b := w.request()
	_, fourth := r.ask("/fourth")
	want("the worker is busy", 2)
	r.Drain("1")
	_, fifth := r.ask("/fifth")
	want("the only worker drains", 3)
	w.answer(b.id, "")
	second.want(200, "")

	r.NoWorker()
	fourth.want(503, "")
	fifth.want(503, "")
	if n := r.count(FailNoWorker); n != 2 {
		t.Errorf("%d were counted as without a worker", n)
	}
	if waiting, _ := r.State(); waiting != 0 {
		t.Errorf("%d still wait", waiting)
	}
	_, sixth := r.ask("/sixth")
	want("a later one", 4)
	v := startWorker(t, r.Dispatcher, "2", Worker{})
	v.answer(v.request().id, "")
	sixth.want(200, "")
}
