package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Status is one worker as others see it.
type Status struct {
	ID         string // slot, and from the second process on its number
	Slot       int
	PID        int
	Generation int
	State      State
	Ending     string    // in words, what it stops or is about to be replaced for; "" where neither
	Started    time.Time // when it was spawned
	Launches   int       // processes of this slot so far
	RSS        int64     // resident memory in bytes; 0: not known
	Attached   bool      // it is the process that started the gateway
	Info       ReadyInfo // zero unless State is Ready or Draining
}

// Workers describes all workers, in the order of their slots and of their start: one that serves, successors
// that start, predecessors that drain. Of a slot that has none the last one is there.
func (s *Supervisor) Workers() []Status {
	s.mu.Lock()
	slots := maps.Clone(s.slots)
	s.mu.Unlock()
	var all []Status
	for _, number := range slices.Sorted(maps.Keys(slots)) {
		all = append(all, slots[number].status()...)
	}
	return all
}

func (sl *slot) status() []Status {
	sl.mu.Lock()
	workers, launches := slices.Clone(sl.workers), int(sl.launches.Load())
	sl.mu.Unlock()
	var all []Status
	for _, w := range workers {
		st := Status{
			ID: w.ID, Slot: w.Slot, PID: w.PID, Generation: w.Generation, State: w.State(), Started: w.Started,
			Launches: launches, Attached: w.attached,
		}
		if st.State == Ready || st.State == Draining {
			st.Info = w.Info
		}
		if !st.State.Final() {
			st.RSS = w.resident()
		}
		if why := w.stoppingFor(); why.reason != noReason {
			st.Ending = why.String()
		} else if wish := w.wish.Load(); wish != nil {
			st.Ending = wish.String()
		}
		all = append(all, st)
	}
	return all
}

// Generation is the number of the generation that serves: 1 after Start, more after each reload that worked.
func (s *Supervisor) Generation() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation == nil {
		return 0
	}
	return s.generation.number
}

// Count is how many workers there are meant to be.
func (s *Supervisor) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.going())
}

// find returns the worker with that id, and its slot.
func (s *Supervisor) find(id string) (*slot, *Worker) {
	s.mu.Lock()
	slots := maps.Clone(s.slots)
	s.mu.Unlock()
	for _, sl := range slots {
		sl.mu.Lock()
		for _, w := range sl.workers {
			if w.ID == id {
				sl.mu.Unlock()
				return sl, w
			}
		}
		sl.mu.Unlock()
	}
	return nil, nil
}

// Dump makes the worker with that id write its stacks to the log.
func (s *Supervisor) Dump(ctx context.Context, id string) error {
	_, w := s.find(id)
	if w == nil {
		return fmt.Errorf("cannot dump the stacks of worker %q: there is no such worker", id)
	}
	return w.Dump(ctx)
}

// Gone reports whether an error of Dump says that the worker has just ended.
func Gone(err error) bool { return errors.Is(err, errControlEnded) }

// Kill kills the worker with that id at once, as pyspeed-gw ctl may ask; another takes its place.
func (s *Supervisor) Kill(id string) error {
	_, w := s.find(id)
	if w == nil {
		return fmt.Errorf("cannot kill worker %q: there is no such worker", id)
	}
	if w.attached {
		return errors.New("cannot kill the worker: it is the process that started the gateway; end that one")
	}
	w.Kill(ReasonKilled, "")
	return nil
}
