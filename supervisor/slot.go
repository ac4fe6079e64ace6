package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// slot keeps one worker running until it is retired. Its goroutine, run, waits for nothing but events:
//
//	launched ──> serve, or wait and launch again
//	gone     ──> launch again, after the back-off
//	swap     ──> serve the successor; its predecessor drains on a goroutine of its own
//	retire   ──> end what there is, and return
//
// So a successor never waits behind a start or a stop that takes long.
type slot struct {
	number int
	pool   Pool
	log    *slog.Logger
	// launches counts those with this number, also of slots that are no more: no id is ever used twice.
	launches *atomic.Int64
	// launch spawns a worker and returns it when it is ready; nil, with an
	// error, when it did not become ready and is gone, also because ctx ended.
	launch func(ctx context.Context, sl *slot, g *generation) (*Worker, error)
	// drain has a worker get no more requests.
	drain func(w *Worker, why ending, within time.Duration)
	// end drains and stops a worker and waits until it is gone.
	end func(w *Worker, why ending, within time.Duration)
	// over is told of each worker that is gone, after the Pool was.
	over func(sl *slot, w *Worker)
	// starting is told once how the first launch went; nil for a slot that was
	// added later. When that launch failed the slot is done, or, if it is patient, waits for a swap.
	starting chan<- error
	patient  bool
	// lost is told why a worker that cannot be replaced is gone, on the slot's goroutine; nil where it can be.
	lost func(cause error)

	swaps   chan swap
	retired chan struct{} // closed by retire, and when run is about to return
	done    chan struct{} // closed when run has returned

	// Of run.
	serving *Worker
	start   *start           // nil: none is under way
	again   <-chan time.Time // when to launch again
	back    backoff
	ending  sync.WaitGroup // predecessors that drain, starts that were given up

	mu         sync.Mutex
	why        ending // of retire
	generation *generation
	current    *Worker   // as serving, for others
	workers    []*Worker // all that are not gone, in the order of their start; the last one that is where there is no other
}

// start is a launch by the slot itself.
type start struct {
	giveUp context.CancelCauseFunc
	done   chan launched
}

type launched struct {
	worker *Worker
	err    error
}

// swap puts a successor that is ready in the place of the slot's worker.
type swap struct {
	successor *Worker
	instead   *Worker // when another serves meanwhile, there is no swap; nil: whatever serves
	why       ending
	taken     chan<- bool   // has room for one
	gone      chan struct{} // closed when the predecessor is gone
}

// retire makes run stop its workers and return.
func (sl *slot) retire(why ending) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.why.reason == noReason {
		sl.why = why
		close(sl.retired)
	}
}

func (sl *slot) isRetired() bool {
	select {
	case <-sl.retired:
		return true
	default:
		return false
	}
}

// swap waits for run; false when the slot has no use for the successor, which is then the caller's to end.
func (sl *slot) swap(successor, instead *Worker, why ending) (gone <-chan struct{}, ok bool) {
	taken := make(chan bool, 1)
	x := swap{successor, instead, why, taken, make(chan struct{})}
	select {
	case sl.swaps <- x:
		return x.gone, <-taken
	case <-sl.retired:
		return nil, false
	}
}

// run is the slot's goroutine.
func (sl *slot) run() {
	defer close(sl.done)
	defer sl.ending.Wait()
	defer sl.retire(ending{reason: ReasonFailedStart}) // so that nobody waits for a slot that has given up
	sl.begin()
	for {
		var done <-chan launched
		var gone <-chan struct{}
		if sl.start != nil {
			done = sl.start.done
		}
		if sl.serving != nil {
			gone = sl.serving.gone
		}
		select {
		case <-sl.retired:
			sl.leave()
			return
		case l := <-done:
			if !sl.began(l) {
				return
			}
		case <-gone:
			if !sl.died() {
				return
			}
		case x := <-sl.swaps:
			sl.take(x)
		case <-sl.again:
			sl.begin()
		}
	}
}

// begin launches a worker of the slot's generation.
func (sl *slot) begin() {
	sl.again = nil
	ctx, giveUp := context.WithCancelCause(context.Background())
	st := &start{giveUp, make(chan launched, 1)}
	sl.start = st
	g := sl.generationNow()
	go func() {
		w, err := sl.launch(ctx, sl, g)
		st.done <- launched{w, err}
	}()
}

// began is what follows a launch; false: the slot is done.
func (sl *slot) began(l launched) bool {
	sl.start.giveUp(nil)
	sl.start = nil
	if l.err == nil {
		sl.serve(l.worker)
	}
	if sl.tellStart(l.err) {
		return l.err == nil || sl.patient
	}
	if l.err != nil && !sl.isRetired() {
		wait := sl.back.next(false, 0)
		LogStartup(sl.log, l.err, "slot", sl.number, "next_try_in", wait.Round(time.Millisecond))
		sl.again = time.After(wait)
	}
	return true
}

// tellStart tells who waits for the first worker; false: nobody does.
func (sl *slot) tellStart(err error) bool {
	if sl.starting == nil {
		return false
	}
	sl.starting <- err // has room for every slot
	sl.starting = nil
	return true
}

func (sl *slot) serve(w *Worker) {
	sl.setServing(w)
	sl.pool.Serve(w)
}

func (sl *slot) setServing(w *Worker) {
	sl.serving = w
	sl.mu.Lock()
	sl.current = w
	sl.mu.Unlock()
}

// died is what follows when the worker is gone without having been asked to; false: the slot is done.
func (sl *slot) died() bool {
	w := sl.serving
	sl.setServing(nil)
	sl.settle(w)
	if sl.lost != nil {
		sl.lost(w.cause)
		return false
	}
	wait := sl.back.next(true, time.Since(w.Readied))
	sl.log.Error(w.cause.Error(), "reason", w.reason.Label(), "replaced_in", wait.Round(time.Millisecond))
	sl.again = time.After(wait)
	return true
}

// settle is the end of every worker that was ready.
func (sl *slot) settle(w *Worker) {
	sl.pool.Lost(w, w.cause)
	sl.over(sl, w)
}

// take puts a successor in its place.
func (sl *slot) take(x swap) {
	if x.instead != nil && sl.serving != nil && sl.serving != x.instead {
		x.taken <- false
		return
	}
	old := sl.serving
	sl.giveUp(x.why)
	sl.back, sl.again = backoff{}, nil
	sl.mu.Lock()
	sl.generation = x.successor.generation
	sl.mu.Unlock()
	sl.serve(x.successor)
	sl.tellStart(nil)
	if old != nil {
		sl.drain(old, x.why, old.generation.DrainTimeout) // before anybody hears of the swap: what comes from then on is the successor's
	}
	x.taken <- true
	if old == nil {
		close(x.gone)
		return
	}
	sl.ending.Go(func() {
		defer close(x.gone)
		sl.stop(old, x.why, old.generation.DrainTimeout)
	})
}

// giveUp ends a start that is under way, on a goroutine of its own.
func (sl *slot) giveUp(why ending) {
	st := sl.start
	if st == nil {
		return
	}
	sl.start = nil
	st.giveUp(givenUp{why})
	sl.ending.Go(func() {
		if l := <-st.done; l.err == nil { // it was ready just before
			sl.stop(l.worker, why, 0)
		}
	})
}

// leave ends all there is because the slot is retired.
func (sl *slot) leave() {
	sl.mu.Lock()
	why := sl.why
	sl.mu.Unlock()
	if sl.starting != nil {
		st := sl.start
		st.giveUp(givenUp{why})
		l := <-st.done
		if l.err == nil {
			sl.serving = l.worker
		}
		sl.tellStart(l.err)
		sl.start = nil
	}
	sl.giveUp(why)
	if sl.serving != nil {
		sl.stop(sl.serving, why, 0)
	}
}

// stop sees a worker that was ready to its end; within bounds that, 0: its generation's time.
func (sl *slot) stop(w *Worker, why ending, within time.Duration) {
	sl.end(w, why, within)
	sl.settle(w)
	level := slog.LevelInfo
	if !errors.Is(w.cause, ErrStopped) {
		level = slog.LevelWarn
	}
	sl.log.Log(context.Background(), level, w.cause.Error(), "reason", w.reason.Label())
}

func (sl *slot) generationNow() *generation {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	return sl.generation
}

// nextID is that of the slot's next process.
func (sl *slot) nextID() string { return workerID(sl.number, sl.launches.Add(1)) }

// track notes a worker that was spawned.
func (sl *slot) track(w *Worker) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.workers = append(slices.DeleteFunc(sl.workers, func(o *Worker) bool { return o.State().Final() }), w)
}

// untrack forgets one that is gone, unless there is no other.
func (sl *slot) untrack(w *Worker) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if len(sl.workers) > 1 {
		sl.workers = slices.DeleteFunc(sl.workers, func(o *Worker) bool { return o == w })
	}
}
