package logline

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pyspeed/internal/logfile"
)

// valve is a sink that takes nothing while it is shut.
type valve struct {
	mu      sync.Mutex
	shut    bool
	changed *sync.Cond
	text    bytes.Buffer
	largest int
	waiting atomic.Int64
}

func newValve() *valve {
	v := &valve{}
	v.changed = sync.NewCond(&v.mu)
	return v
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = shut
	v.changed.Broadcast()
}

func (v *valve) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting.Add(1)
	for v.shut {
		v.changed.Wait()
	}
	v.waiting.Add(-1)
	v.largest = max(v.largest, len(p))
	return v.text.Write(p)
}

func (v *valve) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(end) {
			t.Fatalf("not %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestStuckLog: a log that takes nothing costs lines beyond a bound, which are counted and told, and holds nobody, those who ask
// for room no longer than a moment.
func TestStuckLog(t *testing.T) {
	v := newValve()
	v.set(true)
	l := newLog(v, "text", "info")
	logger := l.Logger().With("worker", "1")
	long := strings.Repeat("x", 1000)
	const sent = 3000
	for range sent {
		logger.Info(long)
	}
	lost := l.Dropped()
	if lost < sent-2*most/1000 || lost >= sent {
		t.Errorf("%d of %d lines of 1000 bytes were lost", lost, sent)
	}
	until(t, "stuck", func() bool { return v.waiting.Load() == 1 })
	Room(logger) // returns once the write has taken too long
	Room(logger)
	if !l.stuck() {
		t.Error("Room did not wait")
	}
	v.set(false)
	until(t, "told", func() bool { return strings.Contains(v.String(), "lines of this log were lost") })
	logger.Info("after")
	l.Close()
	got := v.String()
	if n := strings.Count(got, long); int64(n)+lost != sent {
		t.Errorf("%d lines written and %d lost of %d", n, lost, sent)
	}
	if !strings.Contains(got, fmt.Sprintf("lines=%d\n", lost)) || !strings.Contains(got, "INFO after worker=1\n") {
		t.Errorf("the log ends with %q", got[len(got)-300:])
	}
}

// TestRoom: who asks for room waits until the log has taken what waits, and loses no line.
func TestRoom(t *testing.T) {
	v := newValve()
	l := newLog(v, "json", "info")
	logger := l.Logger()
	long := strings.Repeat("x", 1000)
	for range 5000 {
		logger.Info(long)
		Room(logger)
	}
	l.Close()
	if n := strings.Count(v.String(), "\n"); n != 5000 || l.Dropped() != 0 {
		t.Errorf("%d lines of 5000, %d lost", n, l.Dropped())
	}
	if v.largest > pipeWrite {
		t.Errorf("a write of %d bytes is not one piece in a pipe", v.largest)
	}
}

// TestRoomElsewhere: other loggers have room always.
func TestRoomElsewhere(*testing.T) {
	Room(New(newValve(), "text", "info"))
}

func TestLongLine(t *testing.T) {
	v := newValve()
	l := newLog(v, "text", "info")
	v.set(true)
	for i := range 5 {
		l.Logger().Info(strings.Repeat(fmt.Sprint(i), 3*pipeWrite))
		l.Logger().Info("short")
	}
	v.set(false)
	l.Close()
	lines := strings.Split(strings.TrimSuffix(v.String(), "\n"), "\n")
	if len(lines) != 10 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if want := "INFO short"; i%2 == 1 && !strings.HasSuffix(line, want) {
			t.Errorf("line %d is %q", i, line)
		}
	}
}

// TestCloseWhenStuck: the end of the program does not wait for a log that takes nothing.
func TestCloseWhenStuck(t *testing.T) {
	v := newValve()
	v.set(true)
	l := newLog(v, "text", "info")
	l.Logger().Info("never read")
	l.Close()
	v.set(false)
	<-l.done
}

func TestSet(t *testing.T) {
	v := newValve()
	l := newLog(v, "text", "warning")
	logger := l.Logger().With("worker", "1")
	logger.Info("one")
	l.Set("text", "debug")
	logger.Debug("two")
	l.Set("json", "info")
	logger.Debug("three")
	logger.Info("four", "n", 1)
	l.Set("text", "error")
	logger.Warn("five")
	logger.Error("six")
	l.Close()
	lines := strings.Split(strings.TrimSuffix(v.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "DEBUG two worker=1") || !strings.HasPrefix(lines[1], "{") ||
		!strings.Contains(lines[1], `"msg":"four","worker":"1","n":1`) || !strings.HasSuffix(lines[2], "ERROR six worker=1") {
		t.Errorf("lines are %q", lines)
	}
}

func TestFileOfALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gw.log")
	l, err := Open(path, "text", "info", logfile.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Move("-"); err != nil { // also takes the crash output away
			t.Error(err)
		}
	}()
	l.Logger().Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("two")
	if err := l.Move(filepath.Join(path, "x")); err == nil || !strings.Contains(err.Error(), "cannot open the log") {
		t.Errorf("Move: %v", err)
	}
	l.Logger().Info("three")
	l.Close()
	all := ""
	for _, name := range []string{path + ".1", path} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	for _, want := range []string{"INFO one\n", "INFO two\n", "INFO three\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %q", want, all)
		}
	}
	if _, err := Open(filepath.Join(path, "x"), "text", "info", logfile.Owner{}); err == nil || !strings.Contains(err.Error(), "set log.file") {
		t.Errorf("Open: %v", err)
	}
}
