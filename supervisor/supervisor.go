package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Settings say what to run.
type Settings struct {
	Python    string   // path, or name to find on PATH
	Directory string   // the workers' working directory, absolute; "" for the gateway's
	Env       []string // KEY=VALUE, added to the gateway's environment
	// Start is the `start` message of docs/internals.md without cmd and
	// worker_id.
	Start map[string]any
	Count int // workers; at least 1
	// StartupTimeout is how long a worker may take to become ready; 0: 60 s.
	StartupTimeout time.Duration
	// ImportTimeout and LifespanTimeout bound parts of that; 0: no bound of their own.
	ImportTimeout, LifespanTimeout time.Duration
	// ShutdownTimeout is how long a worker may take to finish its requests and
	// exit; 0: 30 s.
	ShutdownTimeout time.Duration
	Archive         []byte       // the shim's zip
	Log             *slog.Logger // nil: none
	// Attached is the one worker where none is to be spawned; Count is then 1, and Python, Directory,
	// Env, Archive and StartupTimeout are not used.
	Attached *Attached
}

// Pool is where ready workers go. The supervisor calls it on the goroutine of
// the worker's slot; no method may block, and one worker's calls never overlap:
// Add, then at most one Drain, then Lost.
type Pool interface {
	// Add takes a worker that is ready for requests. Its Data connection is
	// unused, its Marks are 0.
	Add(w *Worker)
	// Drain asks to give w no more requests. The channel is closed when w holds
	// none; it need not be closed when w dies first.
	Drain(w *Worker) (empty <-chan struct{})
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
	python   string // absolute

	// life ends when stopping has to hurry: workers are then killed.
	life  context.Context
	hurry context.CancelFunc

	deadline atomic.Pointer[time.Time] // of the context that Stop was given, if it has one
	leaving  atomic.Bool               // the gateway stops, and takes along what workers leave behind
	detached chan error                // nil unless a worker is attached

	mu      sync.Mutex
	phase   phase
	slots   map[int]*slot // by number; a removed slot stays until its worker is gone
	archive *archive
	spawner *spawner
	stopped chan struct{} // closed when Stop is through
}

type phase uint8

const (
	unused phase = iota
	running
	ended // or about to
)

// New checks nothing yet; Start does.
func New(settings Settings, pool Pool) *Supervisor {
	if settings.StartupTimeout <= 0 {
		settings.StartupTimeout = 60 * time.Second
	}
	if settings.ShutdownTimeout <= 0 {
		settings.ShutdownTimeout = 30 * time.Second
	}
	if settings.Log == nil {
		settings.Log = slog.New(slog.DiscardHandler)
	}
	life, hurry := context.WithCancel(context.Background())
	s := &Supervisor{
		settings: settings, log: settings.Log, pool: pool, life: life, hurry: hurry,
		slots: make(map[int]*slot), stopped: make(chan struct{}),
	}
	if settings.Attached != nil {
		s.settings.Count = 1
		s.detached = make(chan error, 1)
	}
	return s
}

// Start spawns all workers at once and returns when all are ready. When one of
// them fails, or ctx ends, the others are stopped again. The error is the first
// failure's, a *StartupError (errors.As) where a worker was the reason, so a cause
// that all workers share is reported once. After an error the Supervisor cannot be
// used again.
func (s *Supervisor) Start(ctx context.Context) error {
	if s.settings.Count < 1 {
		return fmt.Errorf("cannot start %d workers; set workers.count to 1 or more", s.settings.Count)
	}
	results := make(chan error, s.settings.Count)
	if err := s.begin(results); err != nil {
		return err
	}
	for range s.settings.Count {
		select {
		case err := <-results:
			if err != nil {
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
	return nil
}

func (s *Supervisor) begin(results chan<- error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != unused {
		return errors.New("cannot start the workers: the supervisor was started before")
	}
	if s.settings.Attached != nil {
		s.phase = running
		s.addSlot(results)
		return nil
	}
	python, err := exec.LookPath(s.settings.Python)
	if err == nil {
		// Absolute, as the worker starts in another directory; not resolved,
		// because a virtual environment is known by its symbolic link.
		python, err = filepath.Abs(python)
	}
	if err != nil {
		return &StartupError{
			ExitCode: ExitCannotStart, Stage: "spawn",
			Summary: fmt.Sprintf("cannot find Python: %v; set app.python", err),
		}
	}
	if dir := s.settings.Directory; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return &StartupError{
				ExitCode: ExitCannotStart, Stage: "spawn",
				Summary: fmt.Sprintf("%s is not a directory that can be used; set app.directory", dir),
			}
		}
	}
	s.python = python
	if s.archive, err = newArchive(s.settings.Archive); err != nil {
		return err
	}
	s.spawner = newSpawner()
	s.phase = running
	for range s.settings.Count {
		s.addSlot(results)
	}
	return nil
}

// addSlot starts a slot with the lowest free number. The caller holds mu.
func (s *Supervisor) addSlot(starting chan<- error) {
	number := 1
	for s.slots[number] != nil {
		number++
	}
	sl := &slot{
		number: number, pool: s.pool, log: s.log,
		launch:   s.launch,
		stopping: s.stopping,
		starting: starting,
		retired:  make(chan struct{}), done: make(chan struct{}),
	}
	if s.detached != nil {
		sl.launch = s.attach
		sl.lost = func(cause error) { s.detached <- cause }
	}
	s.slots[number] = sl
	go sl.run()
}

// stopping gives the time a worker has to stop: ShutdownTimeout, or less where Stop
// was given less.
func (s *Supervisor) stopping() (context.Context, context.CancelFunc) {
	end := time.Now().Add(s.settings.ShutdownTimeout)
	if at := s.deadline.Load(); at != nil && at.Before(end) {
		end = *at
	}
	return context.WithDeadline(s.life, end)
}

// Add starts n more workers and does not wait for them: one that fails is
// logged and tried again.
func (s *Supervisor) Add(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return errors.New("cannot add workers: the supervisor is not running")
	}
	if s.detached != nil {
		return errors.New("cannot add workers: the process that started the gateway is the only one")
	}
	for range n {
		s.addSlot(nil)
	}
	return nil
}

// Remove drains and stops n workers, those with the highest slots, and does
// not wait for them. One worker always stays.
func (s *Supervisor) Remove(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return errors.New("cannot remove workers: the supervisor is not running")
	}
	var numbers []int
	for number, sl := range s.slots {
		if !sl.isRetired() {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for n = min(n, len(numbers)-1); n > 0; n-- {
		sl := s.slots[numbers[len(numbers)-n]]
		sl.retire()
		go func() {
			<-sl.done
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.phase == running {
				delete(s.slots, sl.number)
			}
		}()
	}
	return nil
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
	for _, sl := range slots {
		sl.retire()
	}
	for _, sl := range slots {
		<-sl.done
	}
	var err error
	if s.detached == nil {
		s.spawner.close()
		err = s.archive.close()
	}
	close(s.stopped)
	return errors.Join(ctx.Err(), err)
}

// Status is one worker as others see it.
type Status struct {
	ID       string // slot, and from the second process on its number
	Slot     int
	PID      int
	State    State
	Started  time.Time // when it was spawned
	Launches int       // processes of this slot so far
	Info     ReadyInfo // zero unless State is Ready or Draining
}

// Workers describes the present worker of every slot, in the order of the slots. One that died
// and was not replaced yet is among them.
func (s *Supervisor) Workers() []Status {
	s.mu.Lock()
	slots := maps.Clone(s.slots)
	s.mu.Unlock()
	var all []Status
	for _, number := range slices.Sorted(maps.Keys(slots)) {
		if st, ok := slots[number].status(); ok {
			all = append(all, st)
		}
	}
	return all
}

// Dump makes the worker with that id write its stacks to the log.
func (s *Supervisor) Dump(ctx context.Context, id string) error {
	s.mu.Lock()
	slots := maps.Clone(s.slots)
	s.mu.Unlock()
	for _, sl := range slots {
		sl.mu.Lock()
		w := sl.worker
		sl.mu.Unlock()
		if w != nil && w.ID == id {
			return w.Dump(ctx)
		}
	}
	return fmt.Errorf("cannot dump the stacks of worker %q: there is no such worker", id)
}
