package dispatch

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestSetQueue: the bounds of the queue change while requests wait, for those too.
func TestSetQueue(t *testing.T) {
	r := newRig(t, Settings{Queue: 1, QueueTimeout: 10 * time.Second, InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, running := r.ask("/running")
	_, one := r.ask("/one")
	_, full := r.ask("/full")
	full.want(503, "")
	r.SetQueue(3, 20*time.Second)
	r.clock.advance(6 * time.Second)
	_, two := r.ask("/two")
	_, three := r.ask("/three")
	_, full = r.ask("/full")
	full.want(503, "")
	r.clock.advance(13 * time.Second)
	r.expire()
	one.open()
	r.SetQueue(1, 5*time.Second) // what waits may stay, though not so long
	_, full = r.ask("/full")
	full.want(503, "")
	r.expire()
	for _, late := range []*recorder{one, two, three} {
		late.want(503, "")
	}
	_, next := r.ask("/next")
	next.open()
	if most, timeout := r.QueueLimits(); most != 1 || timeout != 5*time.Second {
		t.Errorf("the limits are %d, %s", most, timeout)
	}
	for _, a := range []*recorder{running, next} {
		req := w.request()
		w.answer(req.id, req.nonce)
		a.want(200, a.nonce)
	}
}

// TestSetRequestTimeouts: they change for requests that run, and also from none.
func TestSetRequestTimeouts(t *testing.T) {
	var o told
	r := newRig(t, o.settings(0, 0))
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	w.marks[w.request().id] = 1
	r.pass(time.Hour)
	r.SetRequestTimeouts(10*time.Second, time.Minute)
	r.pass(time.Second) // from here on it counts
	r.pass(10 * time.Second)
	o.want(t, []string{"1 GET /a"}, nil)
	r.SetRequestTimeouts(10*time.Second, 20*time.Second)
	a.open()
	r.pass(10 * time.Second)
	a.want(504, "")
	o.want(t, []string{"1 GET /a"}, []string{"1 GET /a"})
	if soft, hard := r.RequestTimeouts(); soft != 10*time.Second || hard != 20*time.Second {
		t.Errorf("the timeouts are %s, %s", soft, hard)
	}
}

// TestSettingsChangeUnderRun: the watch goes by new settings, without a race.
func TestSettingsChangeUnderRun(t *testing.T) {
	r := newRig(t, Settings{QueueTimeout: 24 * time.Hour, InFlight: 1})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	defer running.Wait()
	defer cancel()
	_, begun := r.ask("/begun")
	_, waits := r.ask("/waits")
	req := w.request()
	r.clock.advance(time.Minute)
	r.SetRequestTimeouts(time.Hour, time.Hour)
	r.SetQueue(10, time.Second)
	waits.want(503, "")
	w.answer(req.id, req.nonce)
	begun.want(200, begun.nonce)
}
