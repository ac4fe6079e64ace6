package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Add starts n more workers and does not wait for them: one that fails is
// logged and tried again.
func (s *Supervisor) Add(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayAdd(); err != nil {
		return err
	}
	for range n {
		s.addSlot(nil, false)
	}
	return nil
}

// mayAdd is why no worker can be added. The caller holds mu.
func (s *Supervisor) mayAdd() error {
	switch {
	case s.phase != running:
		return errors.New("cannot add workers: the supervisor is not running")
	case s.attached():
		return errors.New("cannot add workers: the process that started the gateway is the only one")
	}
	return nil
}

// TryAdd starts one more worker and waits until it serves. When it does not, or ctx ends, all is as before; the error is
// a *StartupError (errors.As) where the worker was the reason, and ErrStopped (errors.Is) where nobody wants it any more. A worker that is the first one is of a new generation: what
// the launch names is looked up anew, unless a zygote has it.
func (s *Supervisor) TryAdd(ctx context.Context) error {
	sl, started, err := s.try()
	if err != nil {
		return err
	}
	select {
	case err = <-started:
	case <-ctx.Done():
		sl.retire(ending{reason: ReasonScaledDown})
		if err = <-started; err == nil {
			err = ctx.Err()
		}
	}
	if err == nil {
		return nil
	}
	<-sl.done
	s.mu.Lock()
	s.forget(sl)
	s.mu.Unlock()
	if errors.Is(err, errToldToStop) {
		return fmt.Errorf("cannot start a worker: %w", ErrStopped)
	}
	return err
}

func (s *Supervisor) try() (sl *slot, started <-chan error, err error) {
	s.mu.Lock()
	err = s.mayAdd()
	present, none := s.generation, len(s.going()) == 0
	s.mu.Unlock()
	g := present
	if err == nil && none && g.zygote == nil {
		g, err = s.newGeneration(present.asked)
	}
	if err != nil {
		return nil, nil, err
	}
	result := make(chan error, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayAdd(); err != nil {
		return nil, nil, err
	}
	if s.generation == present { // else a reload was faster
		s.generation = g
	}
	return s.addSlot(result, false), result, nil
}

// Remove drains and stops n workers, and does not wait for them; it leaves so many. Those that do not serve go
// first, then those with the least load, of equal ones those with the highest slots. load is asked with a lock held; nil: all
// have the same.
func (s *Supervisor) Remove(n, leave int, load func(id string) int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return errors.New("cannot remove workers: the supervisor is not running")
	}
	if s.attached() {
		return fmt.Errorf("cannot remove workers: %w", errAttached)
	}
	type candidate struct {
		slot *slot
		load int
	}
	var all []candidate
	for _, sl := range s.going() {
		c := candidate{sl, -1}
		if id := sl.servingID(); id != "" {
			c.load = 0
			if load != nil {
				c.load = load(id)
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.load, b.load), cmp.Compare(b.slot.number, a.slot.number))
	})
	for _, c := range all[:max(0, min(n, len(all)-leave))] {
		s.retire(c.slot, ending{reason: ReasonScaledDown})
	}
	return nil
}

// servingID is the id of the worker that serves; "" when none does.
func (sl *slot) servingID() string {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.current == nil || sl.current.State() != Ready {
		return ""
	}
	return sl.current.ID
}
