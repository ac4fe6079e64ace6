package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// to is the zoo's Launch with another character.
func (z zoo) to(target string) Launch {
	l := z.settings.Launch
	l.Start = map[string]any{"target": target}
	l.Count = 0
	return l
}

// serving waits until exactly the workers with these ids are there, all of them ready.
func (z zoo) serving(t *testing.T, ids ...string) {
	t.Helper()
	var last []Status
	z.until(t, func() bool {
		last = z.Workers()
		return slices.EqualFunc(last, ids, func(st Status, id string) bool { return st.ID == id && st.State == Ready })
	}, func() string { return fmt.Sprintf("%q are ready but %+v", ids, last) })
}

// until waits for a condition that no channel tells of.
func (z zoo) until(t *testing.T, condition func() bool, what func() string) {
	t.Helper()
	ctx := deadline(t)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not %s; the log:\n%s", what(), z.log.text())
		}
	}
}

// ends counts what a supervisor tells of workers that are gone.
type ends struct {
	mu    sync.Mutex
	count map[Reason]int
}

func (e *ends) settings(s *Settings) {
	e.count = map[Reason]int{}
	s.Ended = func(r Reason) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.count[r]++
	}
}

func (e *ends) want(t *testing.T, want map[Reason]int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if fmt.Sprint(e.count) != fmt.Sprint(want) {
		t.Errorf("ends %v, want %v", e.count, want)
	}
}

// TestReload: the successors serve before any predecessor drains, and those drain in order.
func TestReload(t *testing.T) {
	var e ends
	z := newZoo(t, "good", 3, e.settings)
	z.mustStart(t)
	old := map[*Worker]bool{z.pool.nextAdded(t): true, z.pool.nextAdded(t): true, z.pool.nextAdded(t): true}
	for round := 2; round <= 4; round++ {
		if err := z.Reload(deadline(t), z.to("good")); err != nil {
			t.Fatal(err)
		}
		if got := z.Generation(); got != round {
			t.Errorf("generation %d, want %d", got, round)
		}
		next := map[*Worker]bool{}
		for range 3 {
			w := z.pool.nextAdded(t)
			if next[w] = true; w.Generation != round || w.State() != Ready {
				t.Errorf("worker %s of generation %d is %v", w.ID, w.Generation, w.State())
			}
		}
		for range 3 {
			l := z.pool.nextLost(t)
			if !old[l.w] || !errors.Is(l.cause, ErrStopped) || l.w.State() != Stopped {
				t.Errorf("lost %s: %v, %v", l.w.ID, l.cause, l.w.State())
			}
			delete(old, l.w)
		}
		old = next
		z.serving(t, fmt.Sprint("1.", round), fmt.Sprint("2.", round), fmt.Sprint("3.", round))
	}
	z.log.wants(t, "INFO reloaded generation=2", "stopped as asked: the workers were reloaded reason=reload")
	e.want(t, map[Reason]int{ReasonReload: 9})
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	e.want(t, map[Reason]int{ReasonReload: 9, ReasonStopped: 3})
}

// TestReloadFails: whatever goes wrong, those that served before serve on, and nobody else ever did.
func TestReloadFails(t *testing.T) {
	f := func(target string, change func(*Launch), open func(context.Context, *Worker) error, want StartupError, gone map[Reason]int) {
		t.Helper()
		t.Run(target, func(t *testing.T) {
			var e ends
			z := newZoo(t, "good", 2, e.settings)
			z.mustStart(t)
			z.pool.nextAdded(t)
			z.pool.nextAdded(t)
			z.pool.open = open
			l := z.to(target)
			if change != nil {
				change(&l)
			}
			err := z.Reload(deadline(t), l)
			got, ok := errors.AsType[*StartupError](err)
			if !ok || got.Stage != want.Stage || !strings.Contains(got.Summary, want.Summary) || !strings.HasPrefix(got.Traceback, want.Traceback) {
				t.Fatalf("Reload: %+v", err)
			}
			z.serving(t, "1", "2")
			if z.Generation() != 1 || len(z.pool.added) > 0 || len(z.pool.drains) > len(z.pool.lost) {
				t.Errorf("generation %d, %d added, %d drained, %d lost", z.Generation(), len(z.pool.added), len(z.pool.drains), len(z.pool.lost))
			}
			if gone != nil {
				e.want(t, gone)
			}
			// What comes after it is not hindered.
			z.pool.open = nil
			if err := z.Reload(deadline(t), z.to("good")); err != nil {
				t.Fatal(err)
			}
			ids := []string{z.pool.nextAdded(t).ID, z.pool.nextAdded(t).ID}
			if z.Generation() < 2 || slices.Contains(ids, "1") || slices.Contains(ids, "2") {
				t.Errorf("generation %d, workers %q", z.Generation(), ids)
			}
		})
	}
	f("import fails", nil, nil, StartupError{Stage: "import", Summary: "NameError: x", Traceback: "Traceback (most recent call last):\n"}, nil)
	f("lifespan fails", nil, nil, StartupError{Stage: "lifespan", Summary: "no database"}, nil)
	f("exits 7", nil, nil, StartupError{Stage: "exit", Summary: "exited with status 7 while starting"}, nil)
	f("hangs", func(l *Launch) { l.StartupTimeout = 300 * time.Millisecond }, nil, StartupError{Stage: "timeout", Summary: "did not become ready within 300ms"}, nil)
	f("no such folder", func(l *Launch) { l.Directory = "/nowhere" }, nil, StartupError{Stage: "spawn", Summary: "/nowhere"}, map[Reason]int{})
	f("no such program", func(l *Launch) { l.Python = "/nowhere/python3" }, nil, StartupError{Stage: "spawn", Summary: "set app.python"}, map[Reason]int{})
	f("fails in slot 2", nil, nil, StartupError{Stage: "import", Summary: "SyntaxError: x", Traceback: "Traceback\n  SyntaxError"}, nil)
	f("good", nil, func(_ context.Context, w *Worker) error {
		if w.Slot == 1 {
			return errors.New("GET /warm: 500")
		}
		return nil
	}, StartupError{Stage: "warmup", Summary: "GET /warm: 500"}, nil)
	f("good", func(l *Launch) { l.StartupTimeout = 3 * time.Second }, func(ctx context.Context, _ *Worker) error {
		<-ctx.Done()
		return errors.New("GET /warm: no answer")
	}, StartupError{Stage: "timeout", Summary: "it was being warmed up: GET /warm: no answer"}, nil)
	f("good", nil, func(ctx context.Context, w *Worker) error {
		if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
			return err
		}
		<-ctx.Done()
		return errors.New("it broke")
	}, StartupError{Stage: "exit", Summary: "was killed by SIGKILL while starting"}, nil)
}

// TestReloadFailsInOneThatWasReady: it dies while it waits for the others.
func TestReloadFailsInOneThatWasReady(t *testing.T) {
	z := newZoo(t, "good", 2)
	z.mustStart(t)
	result := make(chan error, 1)
	go func() { result <- z.Reload(deadline(t), z.to("dies in slot 1 before 2 is ready")) }()
	z.until(t, func() bool {
		for _, st := range z.Workers() {
			if st.ID == "1.2" && st.State == Failed {
				return true
			}
		}
		return false
	}, func() string { return "1.2 has died" })
	z.openGate(t)
	if err := <-result; err == nil || !strings.Contains(err.Error(), "exited with status 9") {
		t.Errorf("Reload: %v", err)
	}
	z.serving(t, "1", "2")
}

func (z zoo) openGate(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(z.settings.Directory, "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (z zoo) closeGate(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(z.settings.Directory, "gate")); err != nil {
		t.Fatal(err)
	}
}

// TestReloadOneAtATime: with Overlap no more than so many are there beside the others, drained ones included.
func TestReloadOneAtATime(t *testing.T) {
	z := newZoo(t, "good", 3)
	z.mustStart(t)
	stop, watched, most := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(watched)
		for {
			alive := 0
			for _, st := range z.Workers() {
				if !st.State.Final() {
					alive++
				}
			}
			most = max(most, alive)
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	l := z.to("good")
	l.Overlap = 1
	if err := z.Reload(deadline(t), l); err != nil {
		t.Fatal(err)
	}
	z.serving(t, "1.2", "2.2", "3.2")
	close(stop)
	<-watched
	if most != 4 {
		t.Errorf("up to %d workers at once, want 4", most)
	}
}

// TestReloadGoesBack: slots that have their new worker already get one of the generation before.
func TestReloadGoesBack(t *testing.T) {
	z := newZoo(t, "good", 2)
	z.mustStart(t)
	l := z.to("fails in slot 2")
	l.Overlap = 1
	if err := z.Reload(deadline(t), l); err == nil {
		t.Fatal("no error")
	}
	z.serving(t, "1.3", "2")
	for _, st := range z.Workers() {
		if st.Generation != 1 {
			t.Errorf("%+v", st)
		}
	}
	z.log.wants(t, "stopped as asked: the workers were reloaded: it failed")
}

// TestReloadCannotGoBack: the new worker stays, as it serves.
func TestReloadCannotGoBack(t *testing.T) {
	z := newZoo(t, "starts once", 2)
	z.mustStart(t)
	l := z.to("fails in slot 2")
	l.Overlap = 1
	if err := z.Reload(deadline(t), l); err == nil {
		t.Fatal("no error")
	}
	z.serving(t, "1.2", "2")
	z.log.wants(t, "cannot go back to the generation before, a worker of the new one stays: cannot import the application: SyntaxError: x slot=1")
	if err := z.Reload(deadline(t), z.to("good")); err != nil {
		t.Fatal(err)
	}
	z.serving(t, "1.4", "2.3")
}

// TestReloadsThatWaitAreOne: the latest of them.
func TestReloadsThatWaitAreOne(t *testing.T) {
	reloaded := make(chan error, 10)
	z := newZoo(t, "good", 1, func(s *Settings) { s.Reloaded = func(err error) { reloaded <- err } })
	z.mustStart(t)
	results := make(chan error, 3)
	reload := func(target string) { go func() { results <- z.Reload(deadline(t), z.to(target)) }() }
	reload("waits for the gate")
	z.log.waitFor(t, "worker started worker=1.2")
	reload("import fails")
	z.until(t, func() bool { return z.waiting() == 1 }, func() string { return "one waits" })
	reload("tells where it is")
	z.until(t, func() bool { return z.waiting() == 2 }, func() string { return "two wait" })
	z.openGate(t)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	z.serving(t, "1.3")
	if len(reloaded) != 2 || z.Generation() != 3 {
		t.Errorf("%d reloads, generation %d", len(reloaded), z.Generation())
	}
}

// waiting is how many callers wait for the next reload.
func (z zoo) waiting() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.next == nil {
		return 0
	}
	return z.next.callers
}

func TestReloadIsGivenUp(t *testing.T) {
	z := newZoo(t, "good", 2)
	z.mustStart(t)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() { results <- z.Reload(ctx, z.to("hangs")) }()
	z.log.waitFor(t, "worker started worker=2.2")
	go func() { results <- z.Reload(ctx, z.to("good")) }() // waits for its turn, and is given up too
	z.until(t, func() bool { return z.waiting() == 1 }, func() string { return "one waits" })
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("Reload: %v", err)
		}
	}
	z.serving(t, "1", "2")
	if err := z.Reload(deadline(t), z.to("good")); err != nil {
		t.Error(err)
	}
}

func TestStopEndsAReload(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	results := make(chan error, 2)
	go func() { results <- z.Reload(deadline(t), z.to("hangs")) }()
	z.log.waitFor(t, "worker started worker=1.2")
	go func() { results <- z.Reload(deadline(t), z.to("good")) }()
	z.until(t, func() bool { return z.waiting() == 1 }, func() string { return "one waits" })
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-results; err == nil {
			t.Error("Reload: no error")
		}
	}
	if err := z.Reload(deadline(t), z.to("good")); err == nil {
		t.Error("a stopped supervisor can be reloaded")
	}
	for _, st := range z.Workers() {
		if !st.State.Final() {
			t.Errorf("%+v is left", st)
		}
	}
}

// TestReloadEndsACrashLoop: at once, and one does not stop it.
func TestReloadEndsACrashLoop(t *testing.T) {
	z := newZoo(t, "starts once", 2)
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	w.Kill(ReasonKilled, "")
	z.log.waitFor(t, "next_try_in=")
	if err := z.Reload(deadline(t), z.to("good")); err != nil {
		t.Fatal(err)
	}
	z.pool.nextAdded(t)
	ids := []string{z.pool.nextAdded(t).ID, z.pool.nextAdded(t).ID}
	slices.Sort(ids)
	if !strings.HasPrefix(ids[0], "1.") || !strings.HasPrefix(ids[1], "2.") {
		t.Errorf("workers %q", ids)
	}
	// The predecessor is told to drain just after its successor serves.
	z.until(t, func() bool {
		return !slices.ContainsFunc(z.Workers(), func(st Status) bool { return st.State == Ready && st.Generation != 2 })
	}, func() string { return "all of the second generation" })
}

// TestReloadDoesNotWaitForAStart: a crashed worker whose replacement hangs at its start.
func TestReloadDoesNotWaitForAStart(t *testing.T) {
	z := newZoo(t, "hangs the second time", 1)
	z.mustStart(t)
	z.pool.nextAdded(t).Kill(ReasonKilled, "")
	z.log.waitFor(t, "worker started worker=1.2")
	if err := z.Reload(deadline(t), z.to("good")); err != nil {
		t.Fatal(err)
	}
	z.serving(t, "1.3")
}

func TestRespawnInItsGeneration(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	z.pool.nextAdded(t)
	for round, target := range []string{"tells where it is", "import fails"} {
		l := z.to(target)
		l.Start["directory"] = "."
		if err := z.Reload(deadline(t), l); (err == nil) != (round == 0) {
			t.Fatal(err)
		}
	}
	z.pool.nextAdded(t).Kill(ReasonKilled, "")
	if w := z.pool.nextAdded(t); w.Generation != 2 || w.generation.Start["target"] != "tells where it is" {
		t.Errorf("worker %s of generation %d runs %v", w.ID, w.Generation, w.generation.Start["target"])
	}
}

func TestReloadChangesTheNumber(t *testing.T) {
	z := newZoo(t, "good", 2)
	z.mustStart(t)
	to := func(n int) {
		t.Helper()
		l := z.to("good")
		l.Count = n
		if err := z.Reload(deadline(t), l); err != nil {
			t.Fatal(err)
		}
		if got := z.Count(); got != n {
			t.Errorf("%d workers, want %d", got, n)
		}
	}
	to(4)
	z.serving(t, "1.2", "2.2", "3", "4")
	to(1)
	z.serving(t, "1.3")
	if err := z.Add(1); err != nil {
		t.Fatal(err)
	}
	z.serving(t, "1.3", "2.3") // and not 2.2 again
	to(2)
	z.serving(t, "1.4", "2.4")
}

// TestReloadFollowsTheLink: each generation its release, also for a worker that is replaced later.
func TestReloadFollowsTheLink(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	current := filepath.Join(root, "current")
	point := func(release string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(root, release, "app"), 0o700), os.Symlink(release, current+".new"), os.Rename(current+".new", current)); err != nil {
			t.Fatal(err)
		}
	}
	point("1")
	z := newZoo(t, "tells where it is", 1, func(s *Settings) {
		s.Directory = filepath.Join(current, "app")
		s.Start["directory"] = s.Directory
	})
	place := func(id, release string) {
		t.Helper()
		dir := filepath.Join(root, release, "app")
		z.log.waitFor(t, fmt.Sprintf("I am in %s and import from %s worker=%s ", dir, dir, id))
	}
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	place("1", "1")
	point("2")
	w.Kill(ReasonKilled, "")
	z.pool.nextAdded(t)
	place("1.2", "1")
	l := z.to("tells where it is")
	l.Start["directory"] = l.Directory
	if err := z.Reload(deadline(t), l); err != nil {
		t.Fatal(err)
	}
	place("1.3", "2")
}

func TestWithRelease(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"releases/42/app", "releases/42/venv/bin", "tools"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("releases/42", filepath.Join(root, "current")), os.Symlink("tools", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	f := func(path, directory, want string) {
		t.Helper()
		if got := withRelease(root+path, root+directory); got != root+want {
			t.Errorf("%s in %s: %s, want %s", path, directory, got, want)
		}
	}
	f("/current/venv/bin/python", "/current/app", "/releases/42/venv/bin/python")
	f("/current/venv/bin/python", "/current", "/releases/42/venv/bin/python")
	f("/link/python", "/current", "/link/python")
	f("/currently/python", "/current", "/currently/python")
	if got := withRelease("/usr/bin/python3", root); got != "/usr/bin/python3" {
		t.Error(got)
	}
}

func TestAddDuringAReload(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	result := make(chan error, 1)
	go func() { result <- z.Reload(deadline(t), z.to("waits for the gate")) }()
	z.log.waitFor(t, "worker started worker=1.2")
	if err := z.Add(1); err != nil {
		t.Fatal(err)
	}
	z.log.waitFor(t, "worker started worker=2 ")
	z.openGate(t)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	z.until(t, func() bool {
		n := 0
		for _, st := range z.Workers() {
			if st.State == Ready && st.Generation == 2 {
				n++
			}
		}
		return n == 2 && len(z.Workers()) == 2
	}, func() string { return fmt.Sprintf("two of generation 2 but %+v", z.Workers()) })
}

func TestAttachedIsNotReplaced(t *testing.T) {
	z, g := attachedZoo(t)
	g.start(z)
	g.say(map[string]any{"event": "recycle", "reason": "why not"})
	for _, err := range []error{z.Reload(t.Context(), Launch{}), z.Recycle("1", ReasonControl), z.Kill("1")} {
		if err == nil || !strings.Contains(err.Error(), "process that started the gateway") {
			t.Error(err)
		}
	}
}
