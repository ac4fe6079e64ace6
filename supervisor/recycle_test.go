package supervisor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// recycled waits until the workers that were added first are gone, and returns why.
func (z zoo) recycled(t *testing.T, n int) (causes []string) {
	t.Helper()
	for range n {
		l := z.pool.nextLost(t)
		if !errors.Is(l.cause, ErrStopped) {
			t.Errorf("lost %s: %v", l.w.ID, l.cause)
		}
		causes = append(causes, l.cause.Error())
	}
	return causes
}

// TestRecycle: for each reason the successor is there first.
func TestRecycle(t *testing.T) {
	f := func(target, words string, want Reason, change func(*Settings), act func(zoo, *Worker)) {
		t.Helper()
		t.Run(want.Label(), func(t *testing.T) {
			var e ends
			z := newZoo(t, target, 1, e.settings, change)
			z.mustStart(t)
			w := z.pool.nextAdded(t)
			act(z, w)
			second := z.pool.nextAdded(t)
			if second.ID != "1.2" || second.Generation != 1 {
				t.Errorf("%s of generation %d came", second.ID, second.Generation)
			}
			causes := z.recycled(t, 1)
			if !strings.Contains(causes[0], "stopped as asked: "+words) {
				t.Errorf("it ended because %s", causes[0])
			}
			if err := z.Stop(deadline(t)); err != nil {
				t.Fatal(err)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.count[want] < 1 {
				t.Errorf("ends: %v", e.count)
			}
		})
	}
	nothing := func(zoo, *Worker) {}
	same := func(*Settings) {}
	recycle := func(why Reason) func(zoo, *Worker) {
		return func(z zoo, w *Worker) {
			if err := z.Recycle(w.ID, why); err != nil {
				t.Error(err)
			}
		}
	}
	f("good", "it has had its requests (workers.max_requests)", ReasonMaxRequests, same, func(_ zoo, w *Worker) { w.Spent() })
	f("good", "it has reached its age (workers.max_lifetime)", ReasonMaxLifetime, func(s *Settings) { s.MaxLifetime = time.Millisecond }, nothing)
	f("grows once", "it has grown too large (workers.max_rss): ", ReasonMaxRSS, func(s *Settings) { s.MaxRSS = 64 << 20 }, nothing)
	f("asks for its end", `the application asked for it: the cache\x1b is full`, ReasonApplication, same, nothing)
	f("good", "pyspeed-gw ctl asked for it", ReasonControl, same, recycle(ReasonControl))
	f("ends with the code", "a request took too long (server.timeouts.request)", ReasonRequestTimeout, same, recycle(ReasonRequestTimeout))
}

func TestRecycleIsRefused(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.pool.hold = true
	z.mustStart(t)
	if err := z.Recycle("9", ReasonControl); err == nil || !strings.Contains(err.Error(), "there is no such worker") {
		t.Error(err)
	}
	if err := z.Recycle("1", ReasonControl); err != nil {
		t.Error(err)
	}
	<-z.pool.drains
	if err := z.Recycle("1", ReasonControl); err == nil || !strings.Contains(err.Error(), "it is draining") {
		t.Error(err)
	}
	z.inStates(t, map[string]State{"1": Draining, "1.2": Ready})
	for _, st := range z.Workers() {
		if want := map[string]string{"1": "pyspeed-gw ctl asked for it", "1.2": ""}[st.ID]; st.Ending != want {
			t.Errorf("%s ends because %q", st.ID, st.Ending)
		}
	}
	if err := z.Kill("1"); err != nil {
		t.Error(err)
	}
	if l := z.pool.nextLost(t); l.w.ID != "1" || l.w.reason != ReasonKilled {
		t.Errorf("lost %s: %v, %v", l.w.ID, l.w.reason, l.cause)
	}
	z.pool.hold = false // the other one need not wait for its end
}

// inStates waits until these workers are there and in these states.
func (z zoo) inStates(t *testing.T, want map[string]State) {
	t.Helper()
	z.until(t, func() bool {
		all := z.Workers()
		return len(all) == len(want) && !slices.ContainsFunc(all, func(st Status) bool {
			state, ok := want[st.ID]
			return !ok || state != st.State
		})
	}, func() string { return "as wanted" })
}

// TestRecycleOneAtATime: also where all are due at once; the ready never are fewer.
func TestRecycleOneAtATime(t *testing.T) {
	z := newZoo(t, "good", 3)
	z.mustStart(t)
	for range 3 {
		z.pool.nextAdded(t).Spent()
	}
	stop, watched, most, fewest := make(chan struct{}), make(chan struct{}), 0, 3
	go func() {
		defer close(watched)
		for {
			alive, ready := 0, 0
			for _, st := range z.Workers() {
				if !st.State.Final() {
					alive++
				}
				if st.State == Ready {
					ready++
				}
			}
			most, fewest = max(most, alive), min(fewest, ready)
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	z.recycled(t, 3)
	z.serving(t, "1.2", "2.2", "3.2")
	close(stop)
	<-watched
	if most != 4 || fewest != 3 {
		t.Errorf("up to %d at once and at least %d ready, want 4 and 3", most, fewest)
	}
}

// TestSuccessorFails: the worker goes on, and it is tried again.
func TestSuccessorFails(t *testing.T) {
	z := newZoo(t, "starts once", 1)
	z.mustStart(t)
	z.pool.nextAdded(t).Spent()
	z.log.waitFor(t, "cannot replace worker 1, which goes on: cannot import the application: SyntaxError: x slot=1 next_try_in=1s")
	z.log.waitFor(t, "cannot replace worker 1, which goes on: cannot import the application: SyntaxError: x slot=1 next_try_in=2s")
	if len(z.pool.drains) > 0 || z.Workers()[0].State != Ready {
		t.Errorf("%+v", z.Workers())
	}
	// Working code ends that.
	if err := z.Reload(deadline(t), z.to("good")); err != nil {
		t.Fatal(err)
	}
	z.recycled(t, 1)
	if w := z.pool.nextAdded(t); w.Generation != 2 {
		t.Errorf("generation %d", w.Generation)
	}
}

// TestReloadDoesNotWaitForASuccessor: whose start hangs; and what was to be replaced has been.
func TestReloadDoesNotWaitForASuccessor(t *testing.T) {
	z := newZoo(t, "hangs the second time", 2)
	z.mustStart(t)
	z.pool.nextAdded(t).Spent()
	z.pool.nextAdded(t).Spent()
	z.log.waitFor(t, ".2 pid=") // its successor starts
	if err := z.Reload(deadline(t), z.to("good")); err != nil {
		t.Fatal(err)
	}
	z.recycled(t, 2)
	z.until(t, func() bool {
		all := z.Workers()
		return len(all) == 2 && all[0].Generation == 2 && all[1].Generation == 2
	}, func() string { return "all of generation 2" })
	for _, st := range z.Workers() {
		if st.Ending != "" {
			t.Errorf("%+v", st)
		}
	}
}

// TestWorkerDiesBeforeItsSuccessorServes: the slot has one worker afterwards.
func TestWorkerDiesBeforeItsSuccessorServes(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	z.pool.nextAdded(t)
	z.openGate(t)
	if err := z.Reload(deadline(t), z.to("waits for the gate")); err != nil {
		t.Fatal(err)
	}
	z.recycled(t, 1)
	w := z.pool.nextAdded(t)
	z.closeGate(t)
	w.Spent()
	z.log.waitFor(t, "worker started worker=1.3")
	w.Kill(ReasonKilled, "")
	z.pool.nextLost(t)
	z.log.waitFor(t, "worker started worker=1.4") // its replacement
	z.openGate(t)
	z.until(t, func() bool {
		all := z.Workers()
		return len(all) == 1 && all[0].State == Ready
	}, func() string { return "one is left" })
}

// TestRecycledWorkerThatHangs: it has the shutdown's time, then it is killed; the successor serves meanwhile.
func TestRecycledWorkerThatHangs(t *testing.T) {
	var e ends
	z := newZoo(t, "ignores stop and TERM", 1, e.settings, func(s *Settings) { s.ShutdownTimeout = 400 * time.Millisecond })
	z.mustStart(t)
	z.pool.nextAdded(t)
	if err := z.Recycle("1", ReasonRequestTimeout); err != nil {
		t.Fatal(err)
	}
	z.pool.nextAdded(t)
	if l := z.pool.nextLost(t); l.w.ID != "1" || !strings.HasSuffix(l.cause.Error(), "was killed: it did not stop in time, nor on SIGTERM") {
		t.Errorf("lost %s: %v", l.w.ID, l.cause)
	}
	z.serving(t, "1.2")
	e.want(t, map[Reason]int{ReasonRequestTimeout: 1})
}

func TestJitter(t *testing.T) {
	g := &generation{Launch: Launch{MaxRequests: 100, MaxRequestsJitter: 20, MaxLifetime: time.Hour}}
	fewest, most, shortest, longest := 1000, 0, 2*time.Hour, time.Duration(0)
	for range 10000 {
		n, d := g.maxRequests(), g.lifetime()
		fewest, most = min(fewest, n), max(most, n)
		shortest, longest = min(shortest, d), max(longest, d)
	}
	if fewest != 100 || most != 120 {
		t.Errorf("%d to %d requests", fewest, most)
	}
	if shortest < 54*time.Minute || shortest > 55*time.Minute || longest > time.Hour || longest < 59*time.Minute {
		t.Errorf("%v to %v", shortest, longest)
	}
	if g := new(generation); g.maxRequests() != 0 || g.lifetime() != 0 {
		t.Error("a limit though there is none")
	}
}

func TestReasons(t *testing.T) {
	labels := map[string]bool{}
	for _, r := range Reasons() {
		if r.Label() == "" || r.String() == "" || labels[r.Label()] {
			t.Errorf("%d is %q, %q", r, r.Label(), r.String())
		}
		labels[r.Label()] = true
		if want := map[Reason]int{ReasonRequestTimeout: 5}[r]; r.ExitCode() != want {
			t.Errorf("%v has exit code %d", r, r.ExitCode())
		}
	}
	if len(labels) != int(reasons)-1 {
		t.Errorf("%d labels", len(labels))
	}
}
