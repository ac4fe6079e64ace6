package hotreload

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

func TestDebounce(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	d := debounce{delay: 50 * time.Millisecond, most: time.Second}
	if _, ok := d.due(); ok {
		t.Fatal("due without a change")
	}
	expect := func(ms int) {
		t.Helper()
		if due, ok := d.due(); !ok || !due.Equal(at(ms)) {
			t.Fatalf("due at %v (%v), expected %d ms", due.Sub(begin), ok, ms)
		}
	}
	d.note(at(0))
	expect(50)
	d.note(at(40))
	expect(90)
	for ms := 80; ms < 990; ms += 20 {
		d.note(at(ms))
	}
	expect(1000) // they keep coming
	if !d.putOff(at(1000), 3*time.Second) {
		t.Fatal("cannot be put off")
	}
	expect(1050)
	d.note(at(2900))
	expect(2000)
	if d.putOff(at(3000), 3*time.Second) {
		t.Fatal("is put off for ever")
	}
	d.rest()
	if _, ok := d.due(); ok {
		t.Fatal("due after the rest")
	}
	d.note(at(5000))
	expect(5050)
}

// pass lets time pass, and what it sets off.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// silent is a source whose events the test makes.
type silent struct{}

func (silent) Add(string) error    { return nil }
func (silent) Remove(string) error { return nil }
func (silent) Close() error        { return nil }

// calls notes when the Handler was called.
type calls struct {
	began   time.Time
	noticed []time.Duration
	changed []time.Duration
	names   [][]string
}

// journal has the calls so far.
type journal struct {
	mu sync.Mutex
	calls
}

func (j *journal) Noticed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noticed = append(j.noticed, time.Since(j.began))
}

// so returns the calls so far.
func (j *journal) so() calls {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.calls
}

func (j *journal) Changed(changes []Change) {
	c := &j.calls
	j.mu.Lock()
	defer j.mu.Unlock()
	c.changed = append(c.changed, time.Since(c.began))
	var names []string
	for _, one := range changes {
		names = append(names, one.Name)
	}
	c.names = append(c.names, names)
}

// timed runs a test with a clock that jumps: events are made by write, and files are real.
func timed(t *testing.T, delay time.Duration, test func(dir string, write func(name, content string), j *journal)) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.py"), "a")
	write(t, filepath.Join(dir, "b.py"), "b")
	write(t, filepath.Join(dir, "front.html"), "c")
	write(t, filepath.Join(dir, ".git", "HEAD"), "ref: refs/heads/main")
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(Settings{Directories: []string{dir}, Delay: delay})
		events := make(chan fsnotify.Event)
		w.source, w.events = silent{}, events
		w.begin()
		ctx, cancel := context.WithCancel(t.Context())
		j := &journal{calls: calls{began: time.Now()}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx, j)
		}()
		test(dir, func(name, content string) {
			path := filepath.Join(dir, name)
			write(t, path, content)
			events <- fsnotify.Event{Name: path, Op: fsnotify.Write}
			synctest.Wait()
		}, j)
		cancel()
		<-done
	})
}

func TestOneCallForAStorm(t *testing.T) {
	timed(t, 50*time.Millisecond, func(_ string, write func(name, content string), j *journal) {
		for i := range 25 { // half a second of 50 edits in a second
			write("a.py", "edit"+string(rune('a'+i)))
			pass(20 * time.Millisecond)
		}
		c := j.so()
		if len(c.noticed) != 1 || c.noticed[0] != 0 {
			t.Errorf("noticed at %v, expected at once", c.noticed)
		}
		if len(c.changed) != 0 {
			t.Errorf("changed at %v while changes come", c.changed)
		}
		pass(time.Second)
		c = j.so()
		if want := 24*20*time.Millisecond + 50*time.Millisecond; len(c.changed) != 1 || c.changed[0] != want {
			t.Errorf("changed at %v, expected at %v", c.changed, want)
		}
	})
}

func TestStormWithoutEnd(t *testing.T) {
	timed(t, 50*time.Millisecond, func(_ string, write func(name, content string), j *journal) {
		for i := range 250 { // five seconds
			write("a.py", "edit"+string(rune('a'+i)))
			pass(20 * time.Millisecond)
		}
		pass(time.Second)
		c := j.so()
		if len(c.changed) != 5 || c.changed[0] != time.Second {
			t.Errorf("changed at %v, expected once a second", c.changed)
		}
	})
}

func TestNothingChanged(t *testing.T) {
	timed(t, 50*time.Millisecond, func(_ string, write func(name, content string), j *journal) {
		write("a.py", "a") // as it was
		pass(time.Second)
		c := j.so()
		if len(c.noticed)+len(c.changed) != 0 {
			t.Errorf("noticed at %v, changed at %v", c.noticed, c.changed)
		}
		write("a.py", "")
		pass(10 * time.Millisecond)
		write("a.py", "a") // truncated and written as it was
		pass(time.Second)
		c = j.so()
		if len(c.noticed) != 1 || len(c.changed) != 1 || len(c.names[0]) != 0 {
			t.Errorf("noticed at %v, changed %v", c.noticed, c.names)
		}
	})
}

func TestOnlyCodeIsNoticed(t *testing.T) {
	timed(t, 0, func(_ string, write func(name, content string), j *journal) {
		write("front.html", "new")
		pass(time.Second)
		c := j.so()
		if len(c.noticed) != 0 || len(c.changed) != 1 || c.changed[0] != 0 {
			t.Errorf("noticed at %v, changed at %v", c.noticed, c.changed)
		}
	})
}

func TestGitAtWork(t *testing.T) {
	timed(t, 50*time.Millisecond, func(dir string, write func(name, content string), j *journal) {
		lock := filepath.Join(dir, ".git", "index.lock")
		write(".git/index.lock", "")
		write("a.py", "first")
		pass(5 * time.Second)
		write("b.py", "second")
		pass(time.Second)
		c := j.so()
		if len(c.changed) != 0 {
			t.Errorf("changed at %v while Git works", c.changed)
		}
		if err := os.Remove(lock); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		c = j.so()
		if len(c.names) != 1 || len(c.names[0]) != 2 {
			t.Errorf("changed %v", c.names)
		}
	})
}
