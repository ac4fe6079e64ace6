package dispatch

import (
	"slices"
	"time"

	"pyspeed/gateway/exchange"
)

// Hold keeps every request in the queue until Release: none goes to a worker, none has waited too long. One
// that does not fit gets 503, and Stop refuses all. What workers have goes on. Once is enough, whoever else asked.
func (d *Dispatcher) Hold() { d.HoldFrom(0) }

// HoldFrom is Hold for what comes at a time or later; what came before goes to workers, also if it was held so far.
func (d *Dispatcher) HoldFrom(t time.Duration) {
	d.mu.Lock()
	d.held, d.heldFrom = true, t
	pump := d.feed(d.Now(), nil)
	d.mu.Unlock()
	startPumps(pump)
}

// Release ends Hold. The waiting time of what waited counts from now.
func (d *Dispatcher) Release() {
	d.mu.Lock()
	if !d.held {
		d.mu.Unlock()
		return
	}
	d.held = false
	now := d.Now()
	d.queue.restart(now)
	pump := d.feed(now, nil)
	d.mu.Unlock()
	startPumps(pump)
}

// Divert has somebody else answer what came before a time and waits. to is called on the caller's goroutine, must not
// block, and must leave Exchange.Source as it is.
func (d *Dispatcher) Divert(t time.Duration, to func(x *exchange.Exchange)) {
	var all []*exchange.Exchange
	d.mu.Lock()
	for c := d.queue.first(); c != nil && c.since < t; c = d.queue.first() {
		d.queue.pop()
		d.finish(c)
		all = append(all, c.x)
	}
	d.mu.Unlock()
	for _, x := range all {
		to(x)
	}
}

// Starting says how many workers are on their way; one counts until Serve has it. While there is one and none
// serves, requests wait for as long as a start may take, and their waiting time counts from when the first one serves.
func (d *Dispatcher) Starting(n int) {
	d.mu.Lock()
	d.starting = n
	d.mu.Unlock()
}

// patience is how long a request may wait. With d.mu held.
func (d *Dispatcher) patience() time.Duration {
	if d.StartTimeout > d.QueueTimeout && d.awaiting() {
		d.awaited = true
		return d.StartTimeout
	}
	return d.QueueTimeout
}

// anyServing is whether some worker takes requests. With d.mu held.
func (d *Dispatcher) anyServing() bool {
	return slices.ContainsFunc(d.workers, func(w *worker) bool { return w.serving })
}

// awaiting is whether no worker serves and one is about to. With d.mu held.
func (d *Dispatcher) awaiting() bool {
	coming := d.starting > 0
	for _, w := range d.workers {
		if w.serving {
			return false
		}
		coming = coming || !w.ended && !w.lost && !w.eof && !w.hung
	}
	return coming
}

// serve has w take requests. With d.mu held; the calls returned have a body to pump once it is released.
func (d *Dispatcher) serve(w *worker) []*call {
	now := d.Now()
	if d.awaited {
		d.awaited = false
		d.queue.restart(now)
	}
	w.serving = true
	return d.feed(now, nil)
}

// Waiting is how many requests wait for a worker, and how long the first of them has.
func (d *Dispatcher) Waiting() (n int, longest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.queue.first(); c != nil {
		longest = d.Now() - c.since
	}
	return d.queue.len, longest
}
