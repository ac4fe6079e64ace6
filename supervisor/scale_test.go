package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAddAndRemove(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	first := z.pool.nextAdded(t)
	if err := z.Add(2); err != nil {
		t.Fatal(err)
	}
	added := map[string]*Worker{}
	for range 2 {
		w := z.pool.nextAdded(t)
		added[w.ID] = w
	}
	if n := z.Count(); n != 3 {
		t.Errorf("%d workers are wanted", n)
	}
	if err := z.Remove(5, 1, nil); err != nil { // one stays
		t.Fatal(err)
	}
	if n := z.Count(); n != 1 {
		t.Errorf("%d workers are wanted", n)
	}
	for range 2 {
		l := z.pool.nextLost(t)
		if added[l.w.ID] != l.w || !errors.Is(l.cause, ErrStopped) {
			t.Errorf("lost %s: %v", l.w.ID, l.cause)
		}
		delete(added, l.w.ID)
	}
	if first.State() != Ready {
		t.Errorf("worker 1 is %v", first.State())
	}
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if z.Add(1) == nil || z.Remove(1, 0, nil) == nil || z.TryAdd(deadline(t)) == nil {
		t.Error("a stopped supervisor can be changed")
	}
}

// TestRemoveTheLeastBusy: what does not serve goes first, then what has least to do.
func TestRemoveTheLeastBusy(t *testing.T) {
	z := newZoo(t, "good", 4)
	z.mustStart(t)
	for range 4 {
		z.pool.nextAdded(t)
	}
	z.pool.open = func(ctx context.Context, _ *Worker) error { // from now on none becomes ready
		<-ctx.Done()
		return ctx.Err()
	}
	if err := z.Add(1); err != nil {
		t.Fatal(err)
	}
	load := map[string]int{"1": 2, "2": 1, "3": 7, "4": 2}
	left := func(want ...string) {
		t.Helper()
		var got []string
		z.mu.Lock()
		for _, sl := range z.going() {
			got = append(got, sl.servingID())
		}
		z.mu.Unlock()
		if len(got) != len(want) {
			t.Fatalf("left are %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("left are %q, want %q", got, want)
			}
		}
	}
	remove := func(n, leave int) {
		t.Helper()
		if err := z.Remove(n, leave, func(id string) int { return load[id] }); err != nil {
			t.Fatal(err)
		}
	}
	left("1", "2", "3", "4", "")
	remove(1, 0)
	left("1", "2", "3", "4")
	remove(1, 0)
	left("1", "3", "4")
	remove(1, 3)
	left("1", "3", "4")
	remove(1, 0)
	left("1", "3")
	remove(9, 0)
	left()
	for range 4 {
		if l := z.pool.nextLost(t); !errors.Is(l.cause, ErrStopped) || l.w.reason != ReasonScaledDown {
			t.Errorf("lost %s: %v, %v", l.w.ID, l.cause, l.w.reason)
		}
	}
}

// TestFromNone: without a worker to begin with, one is started when it is asked for, and the last one may go.
func TestFromNone(t *testing.T) {
	dir := t.TempDir()
	for _, release := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, release), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "current")
	release := func(name string) {
		t.Helper()
		_ = os.Remove(current)
		if err := os.Symlink(name, current); err != nil {
			t.Fatal(err)
		}
	}
	release("a")
	z := newZoo(t, "good", 0, func(s *Settings) { s.Directory = current })
	z.mustStart(t)
	if n := len(z.Workers()); n != 0 || z.Count() != 0 {
		t.Fatalf("%d workers", n)
	}
	ids := []string{"1", "1.2", "1.3"}
	for i, name := range []string{"a", "b", "a"} {
		release(name)
		if err := z.TryAdd(deadline(t)); err != nil {
			t.Fatal(err)
		}
		w := z.pool.nextAdded(t)
		if at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", w.PID)); err == nil && filepath.Base(at) != name {
			t.Errorf("it runs in %s, want %s", at, name)
		}
		if z.Count() != 1 || w.ID != ids[i] {
			t.Errorf("%d workers, the first is %s", z.Count(), w.ID)
		}
		if err := z.Remove(1, 0, nil); err != nil {
			t.Fatal(err)
		}
		if z.Count() != 0 {
			t.Errorf("%d workers are wanted", z.Count())
		}
		z.pool.nextLost(t)
		for ctx := deadline(t); len(z.Workers()) > 0; runtime.Gosched() {
			if ctx.Err() != nil {
				t.Fatalf("they are still there: %v", z.Workers())
			}
		}
	}
}

func TestTryAddFails(t *testing.T) {
	z := newZoo(t, "import fails", 0, func(s *Settings) { s.Patient = true }) // which is for Start
	z.mustStart(t)
	for range 2 {
		err := z.TryAdd(deadline(t))
		if e, ok := errors.AsType[*StartupError](err); !ok || e.ExitCode != ExitCannotImport {
			t.Errorf("the error is %v", err)
		}
		if z.Count() != 0 || len(z.Workers()) != 0 {
			t.Errorf("%d are wanted, there are %v", z.Count(), z.Workers())
		}
	}
	if err := z.Stop(deadline(t)); err != nil {
		t.Error(err)
	}

	// One that would never be ready.
	z = newZoo(t, "hangs", 0)
	z.mustStart(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- z.TryAdd(ctx) }()
	z.log.waitFor(t, "worker started")
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	if z.Count() != 0 || len(z.Workers()) != 0 {
		t.Errorf("%d are wanted, there are %v", z.Count(), z.Workers())
	}
	go func() { ended <- z.TryAdd(context.Background()) }()
	z.log.waitFor(t, "worker started worker=1.2")
	if err := z.Stop(deadline(t)); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrStopped) {
		t.Errorf("stopped meanwhile: %v", err)
	}
}

// TestReloadDuringTheFirstStart: who waits for a worker is told of its successor.
func TestReloadDuringTheFirstStart(t *testing.T) {
	z := newZoo(t, "hangs", 0)
	z.mustStart(t)
	ended := make(chan error, 1)
	go func() { ended <- z.TryAdd(deadline(t)) }()
	z.log.waitFor(t, "worker started")
	l := z.settings.Launch
	l.Start = map[string]any{"target": "good"}
	if err := z.Reload(deadline(t), l); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("TryAdd: %v", err)
	}
	if w := z.pool.nextAdded(t); w.Generation != z.Generation() || z.Count() != 1 {
		t.Errorf("worker %s of generation %d serves, there are %d", w.ID, w.Generation, z.Count())
	}
}
