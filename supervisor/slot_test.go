package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSlot has a launch that forks nothing: lives says, per launch, how long the worker
// serves; negative, that it does not become ready.
func fakeSlot(lives func(launch int) time.Duration) (sl *slot, pool *testPool, launched *[]time.Time) {
	launched = new([]time.Time)
	pool = newTestPool()
	sl = &slot{
		number: 1, pool: pool, log: slog.New(slog.DiscardHandler),
		launches: new(atomic.Int64), swaps: make(chan swap),
		retired: make(chan struct{}), done: make(chan struct{}),
		over: func(sl *slot, w *Worker) { sl.untrack(w) },
		end: func(w *Worker, _ ending, _ time.Duration) { // it lives to its end
			pool.Drain(w, time.Time{})
			<-w.gone
		},
	}
	sl.launch = func(_ context.Context, sl *slot, _ *generation) (*Worker, error) {
		id := sl.nextID()
		*launched = append(*launched, time.Now())
		life := lives(len(*launched))
		if life < 0 {
			return nil, &StartupError{Stage: "import", Summary: "SyntaxError", Worker: id}
		}
		w := &Worker{ID: id, Readied: time.Now(), gone: make(chan struct{}), cause: errors.New("it died")}
		time.AfterFunc(life, func() { close(w.gone) })
		return w, nil
	}
	return sl, pool, launched
}

func TestBackOff(t *testing.T) {
	const ms = time.Millisecond
	f := func(name string, lives func(int) time.Duration, want ...time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sl, _, launched := fakeSlot(lives)
				go sl.run()
				time.Sleep(45 * time.Second) // of the bubble's time
				sl.retire(ending{reason: ReasonStopped})
				<-sl.done
				for i, w := range want {
					gap := (*launched)[i+1].Sub((*launched)[i]) - max(0, lives(i+1))
					if gap < w*8/10 || gap > w*12/10 {
						t.Errorf("the wait before launch %d was %v, want about %v", i+2, gap, w)
					}
				}
				if n := len(*launched); n > 16 {
					t.Errorf("%d launches in 45 s", n)
				}
			})
		})
	}
	f("never ready", func(int) time.Duration { return -1 },
		100*ms, 200*ms, 400*ms, 800*ms, 1600*ms, 3200*ms, 6400*ms, 10*time.Second)
	f("dies at once when ready", func(int) time.Duration { return 0 },
		0, 100*ms, 200*ms, 400*ms, 800*ms, 1600*ms, 3200*ms, 6400*ms, 10*time.Second)
	f("dies after it had settled", func(int) time.Duration { return settledAfter }, 0, 0, 0, 0, 0, 0, 0)
	f("settles at last", func(n int) time.Duration {
		if n == 4 {
			return settledAfter
		}
		return -1
	}, 100*ms, 200*ms, 400*ms, 0, 100*ms, 200*ms)
}

func TestSlotEndsWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sl, _, launched := fakeSlot(func(int) time.Duration { return -1 })
		go sl.run()
		synctest.Wait()
		sl.retire(ending{reason: ReasonStopped})
		<-sl.done
		if len(*launched) != 1 {
			t.Errorf("%d launches", len(*launched))
		}
	})
}

func TestSlotReportsItsFirstLaunchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starting := make(chan error, 2)
		sl, pool, _ := fakeSlot(func(n int) time.Duration { return -time.Duration(n - 1) }) // ready, then never
		sl.starting = starting
		go sl.run()
		time.Sleep(time.Minute)
		sl.retire(ending{reason: ReasonStopped})
		<-sl.done
		if err := <-starting; err != nil || len(starting) != 0 {
			t.Errorf("reported %v and %d more", err, len(starting))
		}
		if len(pool.added) != 1 || len(pool.lost) != 1 {
			t.Errorf("%d added, %d lost", len(pool.added), len(pool.lost))
		}
	})
}

func TestSlotGivesUpWhenItsFirstLaunchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starting := make(chan error, 1)
		sl, _, launched := fakeSlot(func(int) time.Duration { return -1 })
		sl.starting = starting
		sl.run()
		if err := <-starting; err == nil || len(*launched) != 1 {
			t.Errorf("%v after %d launches", err, len(*launched))
		}
	})
}

func TestWorkerIDs(t *testing.T) {
	sl := &slot{number: 3, launches: new(atomic.Int64)}
	if got := []string{sl.nextID(), sl.nextID(), sl.nextID()}; !slices.Equal(got, []string{"3", "3.2", "3.3"}) {
		t.Errorf("ids %q", got)
	}
}

func TestDrainingWorkerThatDiesIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sl, pool, _ := fakeSlot(func(int) time.Duration { return time.Second })
		go sl.run()
		synctest.Wait()
		sl.retire(ending{reason: ReasonStopped})
		<-sl.done
		if len(pool.drains) != 1 || len(pool.lost) != 1 {
			t.Errorf("%d drains, %d lost", len(pool.drains), len(pool.lost))
		}
	})
}

// TestSwapIntoASlotThatHasGivenUp: nobody waits for it.
func TestSwapIntoASlotThatHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sl, _, _ := fakeSlot(func(int) time.Duration { return -1 })
		starting := make(chan error, 1)
		sl.starting = starting
		go sl.run()
		<-starting
		if _, ok := sl.swap(&Worker{}, nil, ending{reason: ReasonReload}); ok {
			t.Error("it took a worker")
		}
		<-sl.done
	})
}
