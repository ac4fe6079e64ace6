package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Settings say what to run.
type Settings struct {
	Launch               // the first generation's
	Archive []byte       // the shim's zip
	Log     *slog.Logger // nil: none
	// Attached is the one worker where none is to be spawned; Count is then 1, and Python, Directory,
	// Env, Archive, StartupTimeout and all that ends workers are not used.
	Attached *Attached
	// Patient has the slots whose first worker cannot start wait for a Reload; Start's error leaves the Supervisor
	// usable then.
	Patient bool
	// Ended is told of each worker that is gone, whether it ever served or not; nil: nobody. Any of the supervisor's
	// goroutines calls it; it must not block.
	Ended func(Reason)
	// Full is told that all threads of a worker run requests, and that others wait behind these; nil: nobody. It must not
	// block.
	Full func(w *Worker)
	// Debugging is told that a worker's application stands in a debugger on the terminal, or has left it; nil: nobody. It
	// must not block.
	Debugging func(w *Worker, on bool)
	// Reloaded is told of each reload that ended, with what Reload returns; nil: nobody. It must not block.
	Reloaded func(error)
}

// Pool is where workers serve. One worker's calls never overlap: Open, where that succeeds Serve, then at most
// one Drain, then Lost. Only Open may block; it is called on a goroutine of its own.
type Pool interface {
	// Open makes w ready for requests and gives it none but those of its Warmup: it connects, and waits for the
	// answers, until ctx ends at the latest. Its Data connection is unused, its Marks are 0.
	Open(ctx context.Context, w *Worker) error
	// Serve gives w requests from now on.
	Serve(w *Worker)
	// Drain asks to give w no more requests. The channel is closed when w holds
	// none; it need not be closed when w dies first. What w still holds at until, if that is not zero, is cut.
	Drain(w *Worker, until time.Time) (empty <-chan struct{})
	// Lost tells that w is dead for certain and why; errors.Is(cause, ErrStopped)
	// when it ended as asked. Its Marks are final, and Data gives what it had
	// sent, then EOF. The Pool owes one w.Release().
	Lost(w *Worker, cause error)
}

// Supervisor runs workers. Its methods may be called from any goroutine.
type Supervisor struct {
	settings Settings
	log      *slog.Logger
	pool     Pool

	// life ends when stopping has to hurry: workers are then killed.
	life  context.Context
	hurry context.CancelFunc
	// active ends when stopping begins: nothing new is started.
	active  context.Context
	quiesce context.CancelCauseFunc
	changes sync.WaitGroup // goroutines that start or replace workers, besides the slots'

	deadline atomic.Pointer[time.Time] // of the context that Stop was given, if it has one
	leaving  atomic.Bool               // the gateway stops, and takes along what workers leave behind
	detached chan error                // nil unless a worker is attached
	wishes   chan struct{}             // has an element when a worker is to be replaced

	accelerated atomic.Pointer[string] // what the last worker that told had found for json.accelerate

	mu          sync.Mutex
	phase       phase
	generation  *generation           // that new slots start with
	generations int                   // that were tried so far
	slots       map[int]*slot         // by number; a removed slot stays until its worker is gone
	launches    map[int]*atomic.Int64 // by slots' numbers
	present     *turn                 // the reload that is under way
	next        *turn                 // the one that waits for its turn
	recycling   *recycling            // the one worker that is being replaced
	zygotes     []*zygote             // of the generations that may have workers
	spares      map[int]*spare        // by slots' numbers
	known       known
	archive     *archive
	spawner     *spawner
	children    *children
	stopped     chan struct{} // closed when Stop is through
}

type phase uint8

const (
	unused phase = iota
	running
	ended // or about to
)

// New checks nothing yet; Start does.
func New(settings Settings, pool Pool) *Supervisor {
	if settings.Log == nil {
		settings.Log = slog.New(slog.DiscardHandler)
	}
	if settings.Full == nil {
		settings.Full = func(*Worker) {}
	}
	if settings.Debugging == nil {
		settings.Debugging = func(*Worker, bool) {}
	}
	s := &Supervisor{
		settings: settings, log: settings.Log, pool: pool,
		wishes: make(chan struct{}, 1), children: newChildren(),
		slots: make(map[int]*slot), launches: make(map[int]*atomic.Int64), stopped: make(chan struct{}),
	}
	s.life, s.hurry = context.WithCancel(context.Background())
	s.active, s.quiesce = context.WithCancelCause(s.life)
	if s.attached() {
		s.settings.Count = 1
		s.detached = make(chan error, 1)
	}
	return s
}

// attached is whether the one worker is the process that started the gateway.
func (s *Supervisor) attached() bool { return s.settings.Attached != nil }

// Start spawns all workers at once, if any are to begin with, and returns when all are ready. When one of
// them fails, or ctx ends, the others are stopped again. The error is the first
// failure's, a *StartupError (errors.As) where a worker was the reason, so a cause
// that all workers share is reported once. After an error the Supervisor cannot be
// used again, unless it is Patient and a worker was the reason.
func (s *Supervisor) Start(ctx context.Context) error {
	if s.settings.Count < 0 {
		return fmt.Errorf("cannot start %d workers; set workers.count to 0 or more", s.settings.Count)
	}
	results := make(chan error, s.settings.Count)
	if err := s.begin(results); err != nil {
		return err
	}
	var failure error
	for range s.settings.Count {
		select {
		case err := <-results:
			if err != nil && s.settings.Patient {
				failure = cmp.Or(failure, err)
			} else if err != nil {
				s.hurry()
				if stopErr := s.Stop(context.Background()); stopErr != nil {
					s.log.Warn("cannot clean up: " + stopErr.Error())
				}
				return err
			}
		case <-ctx.Done():
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startingGrace)
			defer cancel()
			if stopErr := s.Stop(stopCtx); stopErr != nil {
				s.log.Warn("cannot stop the workers in order: " + stopErr.Error())
			}
			return fmt.Errorf("cannot start the workers: %w", ctx.Err())
		}
	}
	return failure
}

func (s *Supervisor) begin(results chan<- error) error {
	s.mu.Lock()
	first := s.phase == unused
	s.mu.Unlock()
	if !first {
		return errors.New("cannot start the workers: the supervisor was started before")
	}
	g, err := s.newGeneration(s.settings.Launch)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != unused {
		return errors.New("cannot start the workers: the supervisor was stopped")
	}
	s.generation = g
	if !s.attached() {
		if s.archive, err = newArchive(s.settings.Archive); err != nil {
			return err
		}
		s.spawner = newSpawner()
		s.changes.Go(s.recycle)
		s.watchOrphans(g)
	}
	s.phase = running
	for range s.settings.Count {
		s.addSlot(results, s.settings.Patient)
	}
	return nil
}

// addSlot starts a slot with the lowest free number. The caller holds mu.
func (s *Supervisor) addSlot(starting chan<- error, patient bool) *slot {
	number := 1
	for s.slots[number] != nil {
		number++
	}
	if s.launches[number] == nil {
		s.launches[number] = new(atomic.Int64)
	}
	sl := &slot{
		launches: s.launches[number],
		number:   number, pool: s.pool, log: s.log, generation: s.generation,
		launch: s.launch, drain: s.drain, end: s.end, over: s.over,
		starting: starting, patient: patient, swaps: make(chan swap),
		retired: make(chan struct{}), done: make(chan struct{}),
	}
	if s.attached() {
		sl.lost = func(cause error) { s.detached <- cause }
	}
	s.slots[number] = sl
	go sl.run()
	return sl
}

// stopping gives the time a worker has to stop: that, or less where Stop was given less.
func (s *Supervisor) stopping(within time.Duration) (context.Context, context.CancelFunc) {
	end := time.Now().Add(within)
	if at := s.deadline.Load(); at != nil && at.Before(end) {
		end = *at
	}
	return context.WithDeadline(s.life, end)
}

// going are the slots that are not retired, by number. The caller holds mu.
func (s *Supervisor) going() []*slot {
	var slots []*slot
	for _, number := range slices.Sorted(maps.Keys(s.slots)) {
		if sl := s.slots[number]; !sl.isRetired() {
			slots = append(slots, sl)
		}
	}
	return slots
}

// forget lets go of a slot that is done. The caller holds mu.
func (s *Supervisor) forget(sl *slot) {
	if s.phase == running && s.slots[sl.number] == sl {
		delete(s.slots, sl.number)
	}
}

// retire ends a slot and forgets it once its worker is gone. The caller holds mu.
func (s *Supervisor) retire(sl *slot, why ending) {
	sl.retire(why)
	go func() {
		<-sl.done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(sl)
	}()
}

// Stop drains and stops every worker and returns when all are gone: the pool
// drains it, `stop` is sent, SIGTERM near the end of ShutdownTimeout, or of ctx's time where
// that is shorter, SIGKILL at its end. When ctx ends they are killed at once and its
// error is returned; so leave it enough time for the application's own shutdown. A second
// call waits for the first, and makes it hurry when its own ctx ends.
func (s *Supervisor) Stop(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.hurry)()
	s.mu.Lock()
	first := s.phase == running
	never := s.phase == unused
	s.phase = ended
	slots := maps.Clone(s.slots)
	s.mu.Unlock()
	if never {
		close(s.stopped)
		return nil
	}
	if !first {
		<-s.stopped
		return ctx.Err()
	}
	if at, ok := ctx.Deadline(); ok {
		s.deadline.Store(&at)
	}
	s.leaving.Store(true)
	s.quiesce(givenUp{ending{reason: ReasonStopped}})
	for _, sl := range slots {
		sl.retire(ending{reason: ReasonStopped})
	}
	for _, sl := range slots {
		<-sl.done
	}
	s.dropSpares()
	s.changes.Wait()
	var err error
	if !s.attached() {
		s.spawner.close()
		err = s.archive.close()
	}
	close(s.stopped)
	return errors.Join(ctx.Err(), err)
}
