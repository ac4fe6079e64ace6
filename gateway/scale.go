package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/dispatch"
	"pyspeed/gateway/scaling"
	"pyspeed/internal/config"
	"pyspeed/supervisor"
)

const (
	// startAgainFirst and Most bound how long the first worker is not started again after it could not be started. Requests
	// that come meanwhile wait.
	startAgainFirst = 100 * time.Millisecond
	startAgainMost  = 10 * time.Second
	// rarely is how many ticks pass between two looks while there are as many workers as auto wants.
	rarely = 8
)

// crew is the supervisor, as far as the scaler needs it.
type crew interface {
	// Count is how many workers there are meant to be.
	Count() int
	Workers() []supervisor.Status
	// Add starts more, and does not wait for them.
	Add(n int) error
	// TryAdd starts one and waits until it serves. After an error it is as if it never was.
	TryAdd(ctx context.Context) error
	// Remove takes workers away, those with the least load first; it leaves so many.
	Remove(n, leave int, load func(id string) int) error
}

// demander is the dispatcher, as far as the scaler needs it.
type demander interface {
	Demand() dispatch.Demand
	Starting(n int)
	NoWorker()
}

// scaler keeps as many workers as the policy wants.
type scaler struct {
	crew   crew
	queue  demander
	log    *slog.Logger
	scaled func(direction, reason string) // told of each change
	// failed is told why the first worker cannot be started; true: it has seen to the requests that wait. nil: nobody does.
	failed func(err error) bool

	needs   chan struct{} // has an element when a request needs a worker, and none serves
	changes chan struct{} // has an element when it was told something new
	called  atomic.Bool   // a request's body begins, and what reads it is not known
	renewed atomic.Bool   // since the first worker's start was tried last

	// Of run:
	look      lookout
	from      time.Time        // of the samples' clock
	cold      chan error       // how the first worker's start went
	starting  bool             // it is on its way
	failures  int              // of its starts in a row
	notBefore time.Time        // of the next one
	again     <-chan time.Time // that is then; nil: nobody waits for it
	short     bool             // it was said that the memory is short

	mu     sync.Mutex
	policy *scaling.Policy
}

// bounds are what workers.count says. The second number is what to start with.
func bounds(w *config.Workers) (b scaling.Bounds, first int) {
	first, most := w.Processes()
	if w.Count.Max == 0 {
		return scaling.Bounds{Min: 1, Max: most, Eager: true}, first
	}
	return scaling.Bounds{Min: first, Max: most}, first
}

func scalingSettings(w *config.Workers) scaling.Settings {
	return scaling.Settings{CPUs: config.CPULimit(), Memory: w.MemoryBudget(), Idle: w.IdleTimeout}
}

func newScaler(w *config.Workers, c crew, queue demander, scaled func(direction, reason string), log *slog.Logger) *scaler {
	b, _ := bounds(w)
	return &scaler{
		crew: c, queue: queue, scaled: scaled, log: log, look: newLookout(),
		needs: make(chan struct{}, 1), changes: make(chan struct{}, 1), cold: make(chan error, 1),
		policy: scaling.New(scalingSettings(w), b),
	}
}

// await is called when a request comes and no worker serves. It does not block.
func (s *scaler) await() { poke(s.needs) }

// call is called when it takes a worker to know what to do with a request's body. It does not block.
func (s *scaler) call() {
	s.called.Store(true)
	poke(s.needs)
}

// renew says that what the first worker is started from has changed, so that it may be tried again at once.
func (s *scaler) renew() {
	s.renewed.Store(true)
	poke(s.changes)
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// shift makes it n workers more, or fewer, as an operator asks for; see scaling.Bounds.Shift.
func (s *scaler) shift(n int) scaling.Bounds {
	s.mu.Lock()
	b := s.policy.Bounds().Shift(n)
	s.policy.SetBounds(b)
	s.mu.Unlock()
	poke(s.changes)
	return b
}

// configure takes another configuration's numbers. What an operator shifted is forgotten where they are others than before.
func (s *scaler) configure(before, after *config.Workers) {
	s.mu.Lock()
	s.policy.Configure(scalingSettings(after))
	if before.Count != after.Count || before.MaxMemory != after.MaxMemory {
		b, _ := bounds(after)
		s.policy.SetBounds(b)
	}
	s.mu.Unlock()
	poke(s.changes)
}

func (s *scaler) bounds() scaling.Bounds {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy.Bounds()
}

// run looks at the load a few times a second until ctx ends; where the number of workers is fixed, only when it is changed.
func (s *scaler) run(ctx context.Context) {
	s.from = time.Now()
	if s.crew.Count() == 0 {
		s.queue.Starting(1)
	}
	tick := time.NewTicker(scaling.Every)
	defer tick.Stop()
	passed := 0
	var starts sync.WaitGroup
	defer starts.Wait()
	for {
		ticks := tick.C
		b := s.bounds()
		full := s.crew.Count() == b.Max
		if b.Fixed() && full {
			ticks = nil
		}
		look := true
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			// With all that auto wants only their memory is of interest.
			passed++
			look = !b.Eager || !full || passed%rarely == 0
		case <-s.changes:
		case <-s.needs:
			look = s.crew.Count() == 0 // else the supervisor sees to it that one serves again
		case <-s.again:
			s.again = nil
		case err := <-s.cold:
			s.started(err)
		}
		if look && !s.starting && s.decide() {
			s.starting = true
			starts.Go(func() { s.cold <- s.crew.TryAdd(ctx) })
		}
	}
}

// decide takes a sample and does what follows; true: the first worker is to be started.
func (s *scaler) decide() (start bool) {
	demand := s.queue.Demand()
	sample := s.sample(&demand)
	if sample.Count > 0 {
		s.called.Store(false)
		sample.Called = false
	}
	s.mu.Lock()
	if demand.Held {
		s.policy.Pause()
		s.mu.Unlock()
		return false
	}
	d := s.policy.Decide(sample)
	b := s.policy.Bounds()
	s.mu.Unlock()
	s.tellShort(d, &sample)
	switch {
	case d.Change > 0 && sample.Count == 0:
		if s.renewed.Swap(false) {
			s.failures, s.notBefore = 0, time.Time{}
		}
		if wait := time.Until(s.notBefore); wait > 0 {
			if s.again == nil {
				s.again = time.After(wait)
			}
			return false
		}
		s.tell("up", d.Reason, 1, &sample)
		return true
	case d.Change > 0:
		s.change("up", d, &sample, s.crew.Add(d.Change))
	case d.Change < 0:
		load := make(map[string]int, len(demand.Workers))
		for _, w := range demand.Workers {
			load[w.ID] = w.InFlight + 1
		}
		s.change("down", d, &sample, s.crew.Remove(-d.Change, b.Min, func(id string) int { return load[id] }))
		if s.crew.Count() == 0 {
			s.queue.Starting(1) // what comes from now on waits for as long as a start may take
			s.failures = 0
		}
	}
	return false
}

// started is what follows when the first worker serves, or does not.
func (s *scaler) started(err error) {
	s.starting = false
	s.called.Store(false)
	switch {
	case err == nil:
		s.failures = 0
		s.queue.Starting(0)
		return
	case errors.Is(err, supervisor.ErrStopped):
		return
	}
	wait := min(startAgainFirst<<s.failures, startAgainMost)
	if wait < startAgainMost {
		s.failures++
	}
	s.notBefore = time.Now().Add(wait)
	supervisor.LogStartup(s.log, err, "next_try_in", wait)
	if s.failed == nil || !s.failed(err) {
		s.queue.NoWorker()
	}
}

// change tells what was done.
func (s *scaler) change(direction string, d scaling.Decision, sample *scaling.Sample, err error) {
	if err != nil {
		s.log.Debug("cannot change the number of workers", "cause", err) // the gateway stops
		return
	}
	s.tell(direction, d.Reason, max(d.Change, -d.Change), sample)
}

func (s *scaler) tell(direction string, why scaling.Reason, n int, sample *scaling.Sample) {
	s.scaled(direction, string(why))
	message, now := "more workers: "+why.Words(), sample.Count+n
	if direction == "down" {
		message, now = "fewer workers: "+why.Words(), sample.Count-n
	}
	s.log.Info(message, "workers", now, "before", sample.Count, "reason", string(why),
		"waiting", sample.Waiting, "longest", sample.Oldest.Round(time.Millisecond), "busy", fmt.Sprintf("%.1f", sample.Busy()))
}

// tellShort says once that there is no memory for more workers, until that changes.
func (s *scaler) tellShort(d scaling.Decision, sample *scaling.Sample) {
	switch {
	case d.Change > 0:
		s.short = false
	case d.Short && !s.short:
		s.short = true
		s.mu.Lock()
		most := s.policy.Memory
		s.mu.Unlock()
		const mib = 1 << 20
		s.log.Warn("more workers are wanted, but there is no memory for another; raise workers.max_memory if the machine has more",
			"workers", sample.Count, "mib", (sample.Memory+sample.Leaving)/mib, "largest_mib", sample.Largest/mib, "max_memory_mib", most/mib)
	}
}
