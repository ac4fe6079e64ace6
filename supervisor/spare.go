package supervisor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// spareAfter is how long after a start the next spare is begun: the worker that was started has work to do.
	spareAfter = 200 * time.Millisecond
	// sparePatience is how long a spare may take to import what it is told to, and so how long a start may wait for it.
	sparePatience = 10 * time.Second
	// spareAttempts is how many processes are begun for one spare: each may find modules that cannot be imported by
	// themselves, and what that left behind must not meet the application.
	spareAttempts = 3
)

// spare is a worker process that was begun before it is needed (Launch.Spare): it has the shim imported, and what the last
// worker had of modules that are not the application's, and waits for its start message. It is of one slot, whose next launch takes it.
type spare struct {
	generation *generation
	giveUp     context.CancelFunc
	begun      chan struct{} // closed when there is a process
	prepared   chan struct{} // closed when worker is final
	worker     *Worker       // nil: there is none; valid when prepared
}

// fits is whether a worker of g would have been begun in the same way.
func (sp *spare) fits(g *generation) bool {
	o := sp.generation
	return o.Python == g.Python && o.Directory == g.Directory && slices.Equal(o.Env, g.Env)
}

// known is what workers said of the modules that spares may import.
type known struct {
	modules []string
	kind    string          // the interface
	unfit   map[string]bool // that cannot be imported by themselves
}

// learn takes what a worker that is ready says.
func (s *Supervisor) learn(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.modules, s.known.kind = e.texts("modules"), e.text("interface")
}

// wantSpare begins a spare for a slot, unless there is one.
func (s *Supervisor) wantSpare(number int, g *generation) {
	if !g.Spare || g.zygote != nil || s.attached() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running || s.spares[number] != nil {
		return
	}
	ctx, giveUp := context.WithCancel(s.active)
	sp := &spare{generation: g, giveUp: giveUp, begun: make(chan struct{}), prepared: make(chan struct{})}
	if s.spares == nil {
		s.spares = map[int]*spare{}
	}
	s.spares[number] = sp
	launches := s.launches[number]
	s.changes.Go(func() {
		defer close(sp.prepared)
		select {
		case <-ctx.Done():
			return
		case <-time.After(spareAfter):
		}
		for range spareAttempts {
			w, again := s.beginSpare(ctx, sp, workerID(number, launches.Add(1)), number)
			if !again {
				sp.worker = w
				return
			}
		}
	})
}

// beginSpare begins a process and has it import; again: it found modules that it must not.
func (s *Supervisor) beginSpare(ctx context.Context, sp *spare, id string, number int) (w *Worker, again bool) {
	w, err := s.spawn(ctx, id, number, sp.generation)
	if err != nil {
		return nil, false // which the next launch will tell
	}
	select {
	case <-sp.begun:
	default:
		close(sp.begun)
	}
	s.mu.Lock()
	modules := slices.DeleteFunc(slices.Clone(s.known.modules), func(name string) bool { return s.known.unfit[name] })
	command := map[string]any{"cmd": "prepare", "modules": modules, "interface": s.known.kind, "watched": sp.generation.watched()}
	s.mu.Unlock()
	inTime, cancel := context.WithTimeout(ctx, sparePatience)
	defer cancel()
	answer, err := w.control.ask(inTime, command, "prepared")
	if err != nil {
		s.endSpare(w)
		return nil, false
	}
	if unfit := answer.texts("unfit"); len(unfit) > 0 {
		s.endSpare(w)
		s.mu.Lock()
		if s.known.unfit == nil {
			s.known.unfit = map[string]bool{}
		}
		for _, name := range unfit {
			s.known.unfit[name] = true
		}
		s.mu.Unlock()
		return nil, true
	}
	return w, false
}

// watched are the folders of the start message whose modules are the application's.
func (g *generation) watched() []string {
	folders, _ := g.Start["watched"].([]string)
	return folders
}

// takeSpare returns the slot's spare as a worker of g that is as if just spawned; nil where there is none.
func (s *Supervisor) takeSpare(ctx context.Context, number int, g *generation) *Worker {
	s.mu.Lock()
	sp := s.spares[number]
	delete(s.spares, number)
	s.mu.Unlock()
	if sp == nil {
		return nil
	}
	select {
	case <-sp.begun:
	default:
		sp.giveUp() // there is no process yet: one that begins with the application is as soon there
	}
	if sp.fits(g) {
		select {
		case <-sp.prepared:
		case <-ctx.Done():
		}
	} else {
		sp.giveUp()
	}
	select {
	case <-sp.prepared:
	default:
		s.changes.Go(func() { s.dropSpare(sp) })
		return nil
	}
	w := sp.worker
	if w == nil {
		return nil
	}
	select {
	case <-w.gone:
		w.Release()
		return nil
	default:
	}
	if !sp.fits(g) {
		s.changes.Go(func() { s.endSpare(w) })
		return nil
	}
	w.Started = time.Now()
	w.join(g)
	return w
}

// join makes w a worker of g.
func (w *Worker) join(g *generation) {
	w.generation, w.lifetime = g, g.lifetime()
	w.Generation, w.Warmup, w.MaxRequests = g.number, g.Warmup, g.maxRequests()
}

// dropSpare ends a spare that nobody wants any more.
func (s *Supervisor) dropSpare(sp *spare) {
	sp.giveUp()
	<-sp.prepared
	if sp.worker != nil {
		s.endSpare(sp.worker)
	}
}

// endSpare ends a process that was told nothing.
func (s *Supervisor) endSpare(w *Worker) {
	w.Kill(ReasonReload, "it was not needed")
	<-w.gone
	w.Release()
}

// dropSpares ends all of them. After phase has become ended.
func (s *Supervisor) dropSpares() {
	s.mu.Lock()
	all := maps.Clone(s.spares)
	clear(s.spares)
	s.mu.Unlock()
	for _, sp := range all {
		s.dropSpare(sp)
	}
}

// workerID is "2" for the first process of slot 2, then "2.2", "2.3".
func workerID(slot int, n int64) string {
	if n == 1 {
		return fmt.Sprint(slot)
	}
	return fmt.Sprintf("%d.%d", slot, n)
}
