package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// slot keeps one worker running until it is retired.
type slot struct {
	number int
	pool   Pool
	log    *slog.Logger
	// launch spawns a worker and returns it when it is ready; nil, with an
	// error, when it did not become ready and is gone, also because the slot was retired.
	launch func(sl *slot, id string) (*Worker, error)
	// stopping gives the time a worker has to stop.
	stopping func() (context.Context, context.CancelFunc)
	// starting is told once how the first launch went; nil for a slot that was
	// added later. When that launch failed the slot is done.
	starting chan<- error
	// lost is told why a worker that cannot be replaced is gone, on the slot's goroutine; nil where it can be.
	lost func(cause error)

	retired chan struct{} // closed by retire
	once    sync.Once
	done    chan struct{} // closed when run has returned

	mu       sync.Mutex
	worker   *Worker // the present one, or the last
	launches int
}

// retire makes run stop its worker and return.
func (sl *slot) retire() { sl.once.Do(func() { close(sl.retired) }) }

func (sl *slot) isRetired() bool {
	select {
	case <-sl.retired:
		return true
	default:
		return false
	}
}

// run is the slot's goroutine.
func (sl *slot) run() {
	defer close(sl.done)
	var back backoff
	for {
		w, err := sl.launch(sl, sl.nextID())
		if sl.starting != nil {
			sl.starting <- err // has room for every slot
			sl.starting = nil
			if err != nil {
				return
			}
		}
		if err != nil && sl.isRetired() {
			return
		}
		var wait time.Duration
		if err != nil {
			wait = back.next(false, 0)
			sl.logFailure(err, wait)
		} else {
			sl.serve(w)
			if sl.isRetired() {
				level := slog.LevelInfo
				if !errors.Is(w.cause, ErrStopped) {
					level = slog.LevelWarn
				}
				sl.log.Log(context.Background(), level, w.cause.Error())
				return
			}
			if sl.lost != nil {
				sl.lost(w.cause)
				return
			}
			wait = back.next(true, time.Since(w.Readied))
			sl.log.Error(w.cause.Error(), "replaced_in", wait.Round(time.Millisecond))
		}
		if !sl.pause(wait) {
			return
		}
	}
}

// serve lends a ready worker to the pool until it is gone.
func (sl *slot) serve(w *Worker) {
	sl.pool.Add(w)
	select {
	case <-w.gone:
	case <-sl.retired:
		ctx, cancel := sl.stopping()
		w.compareAndSwap(Ready, Draining)
		w.retire(ctx, sl.pool.Drain(w))
		cancel()
	}
	sl.pool.Lost(w, w.cause)
}

// pause is false when the slot was retired meanwhile.
func (sl *slot) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return !sl.isRetired()
	case <-sl.retired:
		return false
	}
}

// logFailure tells why a worker did not become ready, its traceback line by line.
func (sl *slot) logFailure(err error, wait time.Duration) {
	if e, ok := errors.AsType[*StartupError](err); ok {
		for _, line := range e.tracebackLines() {
			sl.log.Error(line, "worker", e.Worker)
		}
	}
	sl.log.Error(err.Error(), "slot", sl.number, "next_try_in", wait.Round(time.Millisecond))
}

// nextID is "2" for the first worker of slot 2, then "2.2", "2.3".
func (sl *slot) nextID() string {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.launches++
	if sl.launches == 1 {
		return fmt.Sprint(sl.number)
	}
	return fmt.Sprintf("%d.%d", sl.number, sl.launches)
}

func (sl *slot) setWorker(w *Worker) {
	sl.mu.Lock()
	sl.worker = w
	sl.mu.Unlock()
}

// status is false before the first worker was spawned.
func (sl *slot) status() (Status, bool) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.worker == nil {
		return Status{}, false
	}
	w := sl.worker
	st := Status{ID: w.ID, Slot: w.Slot, PID: w.PID, State: w.State(), Started: w.Started, Launches: sl.launches}
	if st.State == Ready || st.State == Draining {
		st.Info = w.Info
	}
	return st, true
}
