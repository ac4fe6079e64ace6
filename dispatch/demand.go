package dispatch

import "time"

// Demand is what is asked of the workers, for who decides how many there should be.
type Demand struct {
	Requests uint64 // that came so far
	Held     bool   // by Hold: what waits says nothing
	// Waiting is how many requests the application was not called for yet: in the queue, or in a worker. Oldest is how long
	// the first of them has waited.
	Waiting int
	Oldest  time.Duration
	// Workers are those that take requests.
	Workers []Busyness
}

// Busyness is what one worker has to do.
type Busyness struct {
	ID       string
	InFlight int
	Threads  int           // 0: it runs any number at once
	Busy     time.Duration // of all its threads together, since it serves
}

// Demand looks at the queue and at all workers. It is made for a few calls a second.
func (d *Dispatcher) Demand() Demand {
	now := d.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := Demand{Requests: d.requests, Held: d.held, Waiting: d.queue.len}
	if c := d.queue.first(); c != nil {
		all.Oldest = now - c.since
	}
	for _, w := range d.workers {
		if !w.serving {
			continue
		}
		w.count(now)
		all.Workers = append(all.Workers, Busyness{w.id, w.outstanding, w.threads, w.busy})
		for id, left := 1, w.outstanding; id < w.ids && left > 0; id++ {
			c := w.calls[id].Load()
			if c == nil {
				continue
			}
			left--
			if w.marks[id] == 0 && !c.cancelled {
				all.Waiting++
				all.Oldest = max(all.Oldest, now-c.since)
			}
		}
	}
	return all
}
