package dispatch

import (
	"cmp"
	"slices"
	"time"
)

// Silent returns the workers that have requests and have sent nothing for that long: they may
// be busy, or hang. The caller finds out, and then calls Suspend or nothing.
func (d *Dispatcher) Silent(long time.Duration) (ids []string) {
	now := d.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.workers {
		if w.serving && w.outstanding > 0 && now-max(time.Duration(w.heard.Load()), w.busySince) >= long {
			ids = append(ids, w.id)
		}
	}
	return ids
}

// Suspend gives a worker that hangs no more requests until it sends something; false if it is
// so already, or is gone.
//
// Reclaimed must follow, with what the worker gave back, if anything.
func (d *Dispatcher) Suspend(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.find(id)
	if w == nil || !w.serving || w.suspended.Load() {
		return false
	}
	w.suspended.Store(true)
	return true
}

// Crowded is asked when all threads of a worker run requests and others wait behind these. True: another worker has
// threads left and fewer requests, and the caller is to take back what this one has not begun; Reclaimed must follow.
func (d *Dispatcher) Crowded(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.find(id)
	if w == nil || !w.serving || w.suspended.Load() {
		return false
	}
	for _, o := range d.workers {
		if o != w && o.serving && !o.suspended.Load() && o.outstanding+1 < w.outstanding && (o.threads == 0 || o.outstanding < o.threads) {
			if d.InFlight == 0 {
				w.window = w.floor // those in front are not short
			}
			return true
		}
	}
	return false
}

// Hung says that a worker is about to be killed because it hangs.
func (d *Dispatcher) Hung(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.find(id); w != nil {
		w.hung = true
		w.serving = false
	}
}

// Reclaimed takes back the requests that a worker gave back: it will not run them. They go to
// the front of the queue.
func (d *Dispatcher) Reclaimed(id string, ids []uint16) (moved int) {
	d.mu.Lock()
	w := d.find(id)
	if w == nil {
		d.mu.Unlock()
		return 0
	}
	now := d.Now()
	var back, left []*call
	for _, id := range ids {
		if int(id) >= len(w.calls) {
			continue
		}
		c := w.calls[id].Load()
		switch {
		case c == nil || w.marks[id] != 0:
			// Not its to give back, or begun, whatever it says: never run twice.
		case c.abandoned:
			w.take(c, now)
		case c.cancelled || c.bound || d.stopping:
			w.take(c, now)
			d.finish(c)
			left = append(left, c)
		default:
			w.take(c, now)
			back = append(back, c)
		}
	}
	d.requeue(back)
	if w.outstanding == 0 {
		// It answered what held it before it was suspended, and has nothing left to be heard with.
		w.suspended.Store(false)
	}
	w.checkEmpty()
	pump := d.feed(now, nil)
	d.mu.Unlock()
	for _, c := range left {
		if c.cancelled {
			c.x.Writer.Abort(0, "")
		} else {
			d.fail(c, FailStopping)
		}
	}
	startPumps(pump)
	return len(back)
}

// requeue puts calls that a worker did not begin before all that wait. With d.mu held.
func (d *Dispatcher) requeue(calls []*call) {
	// The oldest last, so that the queue stays in order of arrival.
	slices.SortFunc(calls, func(a, b *call) int { return cmp.Compare(b.since, a.since) })
	for _, c := range calls {
		c.place = queued
		c.worker = nil
		d.queue.pushFront(c)
	}
}
