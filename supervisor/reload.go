package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// turn is a reload that one or more callers wait for.
type turn struct {
	launch  Launch // the latest caller's
	callers int
	ctx     context.Context // ends when no caller waits any more, or the supervisor stops
	giveUp  context.CancelCauseFunc
	done    chan struct{}
	err     error // valid when done
}

var errAttached = errors.New("the application runs in the process that started the gateway (run_app), which cannot be replaced; " +
	"run it by its import path, with pyspeed-gw or python -m pyspeed, to reload it")

// Reload replaces all workers by those of a new generation. Those are started beside the old ones, Overlap at a
// time; each serves when it and all that were started with it are ready and warmed up, and only then its
// predecessor drains. It returns when all serve; predecessors may still drain.
//
// When a worker of the new generation does not become ready, or ctx ends, all serve that did before: slots that have
// exchanged their worker get another of the generation before. The error is then a *StartupError (errors.As) where
// a worker was the reason.
//
// One reload runs at a time. Calls that come meanwhile wait and are one: the latest Launch, for all of them.
func (s *Supervisor) Reload(ctx context.Context, l Launch) error {
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return errors.New("cannot reload: the supervisor is not running")
	}
	if s.attached() {
		s.mu.Unlock()
		return fmt.Errorf("cannot reload: %w", errAttached)
	}
	t := s.next
	if t == nil {
		t = &turn{done: make(chan struct{})}
		t.ctx, t.giveUp = context.WithCancelCause(s.active)
		s.next = t
	}
	t.launch = l
	t.callers++
	if s.present == nil {
		s.nextTurn()
	}
	s.mu.Unlock()
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	t.callers--
	last, waiting := t.callers == 0, s.next == t
	if last {
		t.giveUp(givenUp{ending{ReasonReload, "given up"}})
		if waiting {
			s.next = nil
		}
	}
	s.mu.Unlock()
	if last && !waiting {
		<-t.done
		if t.err == nil {
			return nil // it was through just before
		}
	}
	return fmt.Errorf("cannot reload: %w", ctx.Err())
}

// nextTurn begins the reload that waits, if one does. The caller holds mu.
func (s *Supervisor) nextTurn() {
	t := s.next
	s.present, s.next = t, nil
	if t == nil {
		s.wish() // replacing single workers had to wait
		return
	}
	before := s.recycling
	s.changes.Go(func() {
		defer close(t.done)
		if before != nil {
			before.giveUp(givenUp{ending{reason: ReasonReload}})
			<-before.done
		}
		t.err = s.reload(t.ctx, t.launch)
		s.restZygotes()
		t.giveUp(nil)
		if s.settings.Reloaded != nil {
			s.settings.Reloaded(t.err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.nextTurn()
	})
}

// swapped is a slot that has its new worker, and what it ran before.
type swapped struct {
	slot   *slot
	before *generation
}

func (s *Supervisor) reload(ctx context.Context, l Launch) error {
	g, err := s.newGeneration(l)
	if err != nil {
		return err
	}
	s.watchOrphans(g)
	s.log.Info("reloading", "generation", g.number)
	var through []swapped
	var leaving []<-chan struct{}
	for {
		batch, err := s.behind(g)
		if err != nil {
			return err
		}
		if batch == nil {
			s.log.Info("reloaded", "generation", g.number)
			return nil
		}
		if g.Overlap > 0 {
			for _, gone := range leaving { // no more than so many beside the others
				select {
				case <-gone:
				case <-ctx.Done():
				}
			}
			leaving = nil
		}
		workers, err := s.prepare(ctx, g, batch)
		if err != nil {
			s.goBack(through, max(1, g.Overlap))
			return err
		}
		for i, sl := range batch {
			before := sl.generationNow()
			gone, ok := sl.swap(workers[i], nil, ending{reason: ReasonReload})
			if !ok { // it was retired meanwhile
				s.discard(sl, workers[i], ending{reason: ReasonScaledDown})
				continue
			}
			through = append(through, swapped{sl, before})
			leaving = append(leaving, gone)
		}
	}
}

// behind returns the slots that are next to get a worker of g. When there are none g is what serves: it makes the
// number of slots what g wants, and returns none.
func (s *Supervisor) behind(g *generation) ([]*slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return nil, errors.New("cannot reload: the server stops")
	}
	slots := s.going()
	stay := len(slots)
	if g.Count > 0 {
		stay = min(stay, g.Count)
	}
	var batch []*slot
	for _, sl := range slots[:stay] {
		if sl.generationNow() != g && (g.Overlap == 0 || len(batch) < g.Overlap) {
			batch = append(batch, sl)
		}
	}
	if batch != nil {
		return batch, nil
	}
	s.generation = g
	for _, sl := range slots[stay:] {
		s.retire(sl, ending{reason: ReasonScaledDown})
	}
	for n := stay; n < g.Count; n++ {
		s.addSlot(nil, false)
	}
	return nil, nil
}

// prepare starts a worker of g for each of the slots and returns them when all are ready; they do not serve yet. On
// an error all of them are gone.
func (s *Supervisor) prepare(ctx context.Context, g *generation, slots []*slot) ([]*Worker, error) {
	launching, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	type result struct {
		at  int
		w   *Worker
		err error
	}
	results := make(chan result, len(slots))
	for i, sl := range slots {
		go func() {
			w, err := s.launch(launching, sl, g)
			results <- result{i, w, err}
		}()
	}
	failed := ending{ReasonReload, "it failed"}
	workers := make([]*Worker, len(slots))
	var failure error
	for range slots {
		r := <-results
		workers[r.at] = r.w
		if r.err != nil && failure == nil {
			failure = r.err
			giveUp(givenUp{failed})
		}
	}
	for _, w := range workers { // one that was ready may have died while it waited for the others
		if failure == nil && w.State().Final() {
			<-w.gone
			failure = w.diedStarting()
		}
	}
	if failure == nil {
		return workers, nil
	}
	var discarding sync.WaitGroup
	for i, w := range workers {
		if w != nil {
			discarding.Go(func() { s.discard(slots[i], w, failed) })
		}
	}
	discarding.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cannot reload: it was given up: %w", ctx.Err())
	}
	return nil, failure
}

// discard ends a worker that was ready and never served.
func (s *Supervisor) discard(sl *slot, w *Worker, why ending) { sl.stop(w, why, 0) }

// goBack gives slots a worker of the generation they had before, some at once. Where that cannot be started
// any more the new one stays: it serves.
func (s *Supervisor) goBack(through []swapped, atOnce int) {
	room := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, x := range through {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if x.slot.isRetired() {
				return
			}
			w, err := s.launch(s.active, x.slot, x.before)
			if err != nil {
				LogStartup(s.log, fmt.Errorf("cannot go back to the generation before, a worker of the new one stays: %w", err), "slot", x.slot.number)
				return
			}
			if gone, ok := x.slot.swap(w, nil, ending{ReasonReload, "it failed"}); ok {
				<-gone
			} else {
				s.discard(x.slot, w, ending{reason: ReasonScaledDown})
			}
		})
	}
	all.Wait()
}
