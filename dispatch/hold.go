package dispatch

import (
	"slices"
	"time"
)

// Hold keeps every request in the queue until Release: none goes to a worker, none has waited too long. One
// that does not fit gets 503, and Stop refuses all. What workers have goes on. Once is enough, whoever else asked.
func (d *Dispatcher) Hold() {
	d.mu.Lock()
	d.held = true
	d.mu.Unlock()
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
