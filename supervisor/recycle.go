package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// recycleEvery is how often the workers' age and memory are looked at.
	recycleEvery = time.Second
	// recycleAgainFirst and Most bound how long a successor that failed is not tried again. The
	// worker goes on meanwhile.
	recycleAgainFirst = time.Second
	recycleAgainMost  = time.Minute
	// askedAfter is how long a worker serves before its application's wish is heeded: one that always
	// asks at once would keep the machine busy with starts.
	askedAfter = time.Second
)

// wish is that a worker be replaced.
type wish struct {
	ending
	since time.Time
}

// recycling is the replacement that is under way, until the successor serves.
type recycling struct {
	giveUp context.CancelCauseFunc
	done   chan struct{}
}

// Recycle has the worker with that id replaced: its successor serves before it drains. It does not wait for
// that; one worker is replaced at a time, and none during a reload.
func (s *Supervisor) Recycle(id string, why Reason) error {
	if s.attached() {
		return fmt.Errorf("cannot replace the worker: %w", errAttached)
	}
	_, w := s.find(id)
	if w == nil {
		return fmt.Errorf("cannot replace worker %q: there is no such worker", id)
	}
	if now := w.State(); now != Ready {
		return fmt.Errorf("cannot replace worker %q: it is %v", id, now)
	}
	w.want(ending{reason: why})
	return nil
}

// Spent is called by the Pool when the worker was given MaxRequests requests.
func (w *Worker) Spent() { w.want(ending{reason: ReasonMaxRequests}) }

// applicationWants is pyspeed.recycle(reason).
func (w *Worker) applicationWants(reason string) {
	if w.attached {
		w.log.Warn("the application asked for another worker in the place of its own: " + errAttached.Error())
		return
	}
	w.want(ending{ReasonApplication, reason})
}

// want notes that the worker is to be replaced; the first reason counts. It does not block.
func (w *Worker) want(why ending) {
	if w.wishes == nil || !w.wish.CompareAndSwap(nil, &wish{why, time.Now()}) {
		return
	}
	poke(w.wishes)
}

func (s *Supervisor) wish() { poke(s.wishes) }

func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// recycle replaces workers, one after the other, until the supervisor stops. Runs on a goroutine of its own.
func (s *Supervisor) recycle() {
	tick := time.NewTicker(recycleEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.active.Done():
			return
		case <-s.wishes:
		case <-tick.C:
			s.examine()
		}
		for s.recycleNext() {
		}
	}
}

// examine looks at the age and the memory of all workers that serve.
func (s *Supervisor) examine() {
	for _, sl := range s.slotsNow() {
		w := sl.ready()
		if w == nil {
			continue
		}
		g := w.generation
		if g.MaxLifetime > 0 && time.Since(w.Started) >= w.lifetime {
			w.want(ending{reason: ReasonMaxLifetime})
		}
		if g.MaxRSS <= 0 {
			continue
		}
		w.measure(s.active)
		if rss := w.resident(); rss >= g.MaxRSS {
			w.want(ending{ReasonMaxRSS, fmt.Sprintf("%d MiB", rss>>20)})
		}
	}
}

// recycleNext replaces the worker whose turn it is; false when there is none.
func (s *Supervisor) recycleNext() bool {
	var sl *slot
	var w *Worker
	for _, o := range s.slotsNow() {
		r := o.ready()
		if r == nil || !r.isDue() {
			continue
		}
		if w == nil || r.wish.Load().since.Before(w.wish.Load().since) {
			sl, w = o, r
		}
	}
	if w == nil {
		return false
	}
	ctx, giveUp := context.WithCancelCause(s.active)
	defer giveUp(nil)
	r := &recycling{giveUp, make(chan struct{})}
	s.mu.Lock()
	if s.present != nil || s.phase != running {
		s.mu.Unlock()
		return false // a reload replaces them all
	}
	s.recycling = r
	s.mu.Unlock()
	gone := s.replace(ctx, sl, w)
	s.mu.Lock()
	s.recycling = nil
	s.mu.Unlock()
	close(r.done)
	if gone != nil {
		select { // else several could drain at once, and need memory
		case <-gone:
		case <-s.active.Done():
		}
	}
	return true
}

// isDue is whether w is to be replaced, and may be now.
func (w *Worker) isDue() bool {
	wish := w.wish.Load()
	if wish == nil || time.Now().Before(w.notBefore) {
		return false
	}
	return wish.reason != ReasonApplication || time.Since(w.Readied) >= askedAfter
}

// replace starts a successor and gives it the slot; gone is closed when w is, nil when all is as before.
func (s *Supervisor) replace(ctx context.Context, sl *slot, w *Worker) (gone <-chan struct{}) {
	why := w.wish.Load().ending
	w.log.Info("replacing a worker: "+why.String(), "reason", why.reason.Label())
	successor, err := s.launch(ctx, sl, sl.generationNow())
	if err != nil {
		if errors.Is(err, errToldToStop) {
			return nil
		}
		w.retry = min(max(2*w.retry, recycleAgainFirst), recycleAgainMost)
		w.notBefore = time.Now().Add(w.retry)
		LogStartup(s.log, fmt.Errorf("cannot replace worker %s, which goes on: %w", w.ID, err), "slot", sl.number, "next_try_in", w.retry)
		return nil
	}
	gone, ok := sl.swap(successor, w, why)
	if !ok {
		s.discard(sl, successor, why)
		return nil
	}
	return gone
}

func (s *Supervisor) slotsNow() []*slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.going()
}

// ready is the slot's worker that serves, or nil.
func (sl *slot) ready() *Worker {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.current == nil || sl.current.State() != Ready {
		return nil
	}
	return sl.current
}
