package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pyspeed/dispatch"
	"pyspeed/gateway/scaling"
	"pyspeed/internal/config"
	"pyspeed/internal/process"
	"pyspeed/supervisor"
)

// fakeCrew is a supervisor and a dispatcher whose workers the test makes: they start when ready says so, and wait for nothing.
type fakeCrew struct {
	mu       sync.Mutex
	count    int
	ready    int
	demand   dispatch.Demand
	fail     error         // of TryAdd
	takes    time.Duration // TryAdd and Add
	tries    []time.Duration
	removed  []string
	starting int
	refused  int
	began    time.Time
	size     atomic.Int64 // of each
}

func (c *fakeCrew) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func (c *fakeCrew) Workers() (all []supervisor.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ready {
		all = append(all, supervisor.Status{ID: id(i), PID: i + 1, State: supervisor.Ready})
	}
	return all
}

func id(i int) string { return string(rune('1' + i)) }

func (c *fakeCrew) Add(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count += n
	time.AfterFunc(c.takes, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ready += n
	})
	return nil
}

func (c *fakeCrew) TryAdd(ctx context.Context) error {
	c.mu.Lock()
	c.count++
	c.tries = append(c.tries, time.Since(c.began))
	c.mu.Unlock()
	var err error
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.fail
	}
	if err != nil {
		c.count--
		return err
	}
	c.ready++
	c.demand.Waiting, c.demand.Oldest = 0, 0
	return nil
}

func (c *fakeCrew) Remove(n, leave int, load func(id string) int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; n > 0 && c.count > leave; n-- {
		least := id(0)
		for i := range c.ready {
			if load(id(i)) < load(least) {
				least = id(i)
			}
		}
		c.removed = append(c.removed, least)
		c.count--
		c.ready = min(c.ready, c.count)
	}
	return nil
}

func (c *fakeCrew) Demand() dispatch.Demand {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.demand
	for i := range c.ready {
		d.Workers = append(d.Workers, dispatch.Busyness{ID: id(i), Threads: 1, InFlight: c.ready - 1 - i})
	}
	return d
}

func (c *fakeCrew) Starting(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting = n
}

func (c *fakeCrew) NoWorker() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused += c.demand.Waiting
	c.demand.Waiting = 0
}

// change changes what the dispatcher says.
func (c *fakeCrew) change(f func(d *dispatch.Demand)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.demand)
}

// scaled runs a scaler over a fake crew, in time that the test makes pass.
func scaled(t *testing.T, w config.Workers, test func(t *testing.T, s *scaler, c *fakeCrew, log *output)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if w.IdleTimeout == 0 {
			w.IdleTimeout = 10 * time.Second
		}
		_, first := bounds(&w)
		c := &fakeCrew{count: first, ready: first, takes: time.Second, began: time.Now()}
		log := &output{changed: make(chan struct{})}
		var events []string
		s := newScaler(&w, c, c, func(direction, reason string) { events = append(events, direction+" "+reason) },
			slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})))
		c.size.Store(100 << 20)
		s.look.usage = func(int) (process.Usage, error) { return process.Usage{Resident: c.size.Load()}, nil }
		s.look.share = func(int) (int64, error) { return 0, errors.New("not here") }
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.run(ctx) })
		test(t, s, c, log)
		cancel()
		running.Wait()
		if lines := strings.Count(log.text.String(), "reason="); lines != len(events) {
			t.Errorf("%d changes were logged, %d counted: %q\n%s", lines, len(events), events, log.text.String())
		}
	})
}

// seen is what the scaler has done so far: workers said to be on their way, requests refused, starts of the first worker.
func (c *fakeCrew) seen() (starting, refused int, tries []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.starting, c.refused, c.tries
}

func (c *fakeCrew) want(t *testing.T, what string, count int) {
	t.Helper()
	synctest.Wait()
	if n := c.Count(); n != count {
		t.Errorf("%s: %d workers, want %d", what, n, count)
	}
}

func TestScalerFollowsTheLoad(t *testing.T) {
	scaled(t, config.Workers{Count: config.Count{Min: 1, Max: 4}}, func(t *testing.T, _ *scaler, c *fakeCrew, _ *output) {
		time.Sleep(time.Minute)
		c.want(t, "nothing to do", 1)
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 9, time.Second })
		time.Sleep(10 * time.Second)
		c.want(t, "requests wait", 4)
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 0, 0 })
		time.Sleep(11 * time.Second)
		c.want(t, "nothing waits", 3)
		time.Sleep(time.Minute)
		c.want(t, "nothing waits for long", 1)
		c.mu.Lock()
		defer c.mu.Unlock()
		if want := []string{"4", "3", "2"}; strings.Join(c.removed, " ") != strings.Join(want, " ") {
			t.Errorf("taken away were %q, want those with the least to do, %q", c.removed, want)
		}
	})
}

func TestScalerLeavesAFixedNumber(t *testing.T) {
	scaled(t, config.Workers{Count: config.Count{Min: 2, Max: 2}}, func(t *testing.T, s *scaler, c *fakeCrew, _ *output) {
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 9, time.Second })
		time.Sleep(time.Minute)
		c.want(t, "a number is a number", 2)
		if b := s.shift(1); b.Min != 3 || b.Max != 3 {
			t.Errorf("one more: %+v", b)
		}
		c.want(t, "one more", 3)
		s.shift(-5)
		c.want(t, "five fewer", 1)
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 0, 0 })
		after := config.Workers{Count: config.Count{Min: 1, Max: 3}, IdleTimeout: time.Second}
		s.configure(&config.Workers{Count: config.Count{Min: 2, Max: 2}}, &after)
		time.Sleep(time.Minute)
		c.want(t, "a range", 1)
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 9, time.Second })
		time.Sleep(10 * time.Second)
		c.want(t, "a range, and requests wait", 3)
		s.shift(1)
		s.configure(&after, &config.Workers{Count: after.Count, IdleTimeout: time.Minute})
		if b := s.bounds(); b.Min != 2 || b.Max != 3 {
			t.Errorf("another option changed, and the bounds are %+v", b)
		}
	})
}

func TestScalerWaitsWhileRequestsAreHeld(t *testing.T) {
	scaled(t, config.Workers{Count: config.Count{Min: 1, Max: 4}}, func(t *testing.T, _ *scaler, c *fakeCrew, _ *output) {
		c.change(func(d *dispatch.Demand) { d.Held, d.Waiting, d.Oldest = true, 9, time.Hour })
		time.Sleep(time.Minute)
		c.want(t, "a reload", 1)
	})
}

func TestScalerStartsTheFirst(t *testing.T) {
	scaled(t, config.Workers{Count: config.Count{Min: 0, Max: 4}}, func(t *testing.T, s *scaler, c *fakeCrew, _ *output) {
		time.Sleep(time.Minute)
		c.want(t, "nobody came", 0)
		if starting, _, _ := c.seen(); starting != 1 {
			t.Error("a request would wait for workers.queue_timeout only")
		}
		for round := range 2 {
			c.change(func(d *dispatch.Demand) { d.Requests, d.Waiting = d.Requests+1, 1 })
			s.await()
			c.want(t, "a request, at once", 1)
			for range 100 {
				s.await() // others come
			}
			time.Sleep(2 * time.Second)
			c.want(t, "it is ready", 1)
			if starting, refused, tries := c.seen(); starting != 0 || refused != 0 || len(tries) != round+1 {
				t.Errorf("%d on their way, %d refused, %d starts", starting, refused, len(tries))
			}
			time.Sleep(time.Minute)
			c.want(t, "nobody comes", 0)
			if starting, _, _ := c.seen(); starting != 1 {
				t.Error("a request would wait for workers.queue_timeout only")
			}
		}
		// A body whose reader is not known.
		s.call()
		c.want(t, "a body begins", 1)
		time.Sleep(2 * time.Second)
		s.call() // which was on its way
		time.Sleep(time.Minute)
		c.want(t, "nobody comes", 0)
	})
}

func TestScalerCannotStartTheFirst(t *testing.T) {
	scaled(t, config.Workers{Count: config.Count{Min: 0, Max: 4}}, func(t *testing.T, s *scaler, c *fakeCrew, log *output) {
		c.takes = 10 * time.Millisecond
		c.fail = &supervisor.StartupError{Stage: "import", Summary: "NameError: x", Traceback: "Traceback\n  here\n", Worker: "1"}
		ask := func() {
			c.change(func(d *dispatch.Demand) { d.Requests, d.Waiting = d.Requests+1, 1 })
			s.await()
		}
		for range 3000 { // five minutes
			ask()
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		_, refused, tries := c.seen()
		if n := len(tries); n < 25 || n > 45 {
			t.Errorf("%d starts in five minutes", n)
		}
		for i, want := range []time.Duration{0, 110, 320, 730, 1540} {
			if got := tries[i]; got < want*time.Millisecond || got > (want+200)*time.Millisecond {
				t.Errorf("start %d after %v, want %v", i, got, want*time.Millisecond)
			}
		}
		if refused < 25 {
			t.Errorf("%d requests were refused", refused)
		}
		log.mu.Lock()
		for _, want := range []string{"NameError: x", "  here", "next_try_in=100ms", "next_try_in=10s"} {
			if !strings.Contains(log.text.String(), want) {
				t.Errorf("the log has no %q", want)
			}
		}
		log.mu.Unlock()

		// What it is started from has changed.
		c.mu.Lock()
		c.fail = nil
		c.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		s.renew()
		ask()
		time.Sleep(100 * time.Millisecond)
		c.want(t, "it can be started now", 1)
		if _, _, now := c.seen(); len(now) != len(tries)+1 {
			t.Errorf("%d starts", len(now)-len(tries))
		}
	})
}

func TestScalerStopsWhileStarting(t *testing.T) {
	scaled(t, config.Workers{Count: config.Count{Min: 0, Max: 4}}, func(_ *testing.T, s *scaler, c *fakeCrew, _ *output) {
		c.takes = time.Hour
		c.change(func(d *dispatch.Demand) { d.Waiting = 1 })
		s.await()
		synctest.Wait()
	}) // ends the scaler, or the test never does
}

func TestScalerAndMemory(t *testing.T) {
	w := config.Workers{Count: config.Count{Min: 1, Max: 8}, MaxMemory: 350 << 20}
	scaled(t, w, func(t *testing.T, _ *scaler, c *fakeCrew, log *output) {
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 9, time.Second })
		time.Sleep(time.Minute)
		c.want(t, "memory for three", 3)
		if n := strings.Count(log.text.String(), "no memory for another"); n != 1 {
			t.Errorf("it was said %d times:\n%s", n, log.text.String())
		}
	})
	// What they share counts once.
	scaled(t, w, func(t *testing.T, s *scaler, c *fakeCrew, _ *output) {
		looks := 0
		s.look.share = func(int) (int64, error) { looks++; return 50 << 20, nil }
		c.change(func(d *dispatch.Demand) { d.Waiting, d.Oldest = 99, time.Second })
		time.Sleep(time.Minute)
		c.want(t, "memory for seven", 7)
		if looks > 7*32 {
			t.Errorf("%d looks at shares in a minute", looks)
		}
	})
}

// TestScalerAndAuto: all that auto started at once may grow beyond the memory later.
func TestScalerAndAuto(t *testing.T) {
	n := config.CPUs()
	if n < 2 {
		t.Skip("auto is one worker here")
	}
	scaled(t, config.Workers{MaxMemory: int64(n) * 256 << 20}, func(t *testing.T, _ *scaler, c *fakeCrew, _ *output) {
		time.Sleep(time.Minute)
		c.want(t, "there is memory for all", n)
		c.size.Store(300 << 20)
		time.Sleep(time.Minute)
		c.want(t, "they have grown", n-1)
		c.size.Store(100 << 20)
		time.Sleep(time.Minute)
		c.want(t, "there is memory for all again", n)
	})
}

func TestBoundsOfTheConfiguration(t *testing.T) {
	f := func(w config.Workers, want scaling.Bounds, wantFirst int) {
		t.Helper()
		if got, first := bounds(&w); got != want || first != wantFirst {
			t.Errorf("%+v: got %+v, first %d, want %+v, first %d", w.Count, got, first, want, wantFirst)
		}
	}
	n := config.CPUs()
	f(config.Workers{MaxMemory: 1 << 50}, scaling.Bounds{Min: 1, Max: n, Eager: true}, n)
	if n > 1 {
		f(config.Workers{MaxMemory: 1}, scaling.Bounds{Min: 1, Max: n, Eager: true}, 1)
	}
	f(config.Workers{Count: config.Count{Min: 3, Max: 3}}, scaling.Bounds{Min: 3, Max: 3}, 3)
	f(config.Workers{Count: config.Count{Min: 0, Max: 3}}, scaling.Bounds{Min: 0, Max: 3}, 0)
}
