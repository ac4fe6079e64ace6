package supervisor

import (
	"errors"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func TestDebugged(t *testing.T) {
	z := newZoo(t, "is debugged", 1)
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	// It tells of a debugger on its terminal, and then that it has left it.
	for w.Debugged(deadline(t)) {
		if deadline(t).Err() != nil {
			t.Fatal("it still counts as debugged")
		}
	}
}

// Whatever traces a worker: its time limits wait.
func TestTracedIsDebugged(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no portable way to tell")
	}
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	if w.Debugged(deadline(t)) {
		t.Fatal("nobody traces it yet")
	}
	tracer := exec.Command(testPython(), "-c", tracerSource, strconv.Itoa(w.PID))
	stdin, err := tracer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := tracer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 8)
	n, _ := stdout.Read(answer)
	switch string(answer[:n]) {
	case "traced\n":
		if !w.Debugged(deadline(t)) {
			t.Error("it is traced")
		}
	default:
		t.Log("this system lets nobody trace") // as some containers
	}
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := tracer.Wait(); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(30 * time.Second); w.Debugged(deadline(t)); {
		if time.Now().After(end) {
			t.Fatal("it counts as debugged after its tracer has left")
		}
	}
}

// tracerSource attaches to a process, without stopping it, until its stdin ends.
const tracerSource = `
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE = 0x4206
print("traced" if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None) == 0 else "refused", flush=True)
sys.stdin.read()
`

// A worker that is replaced keeps its requests while somebody debugs them, however little time it has for that.
func TestDrainingIsDebugged(t *testing.T) {
	z := newZoo(t, "is debugged while it drains", 1, func(s *Settings) { s.ShutdownTimeout = 400 * time.Millisecond })
	z.pool.hold = true // its request does not end
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	if err := z.Recycle(w.ID, ReasonControl); err != nil {
		t.Fatal(err)
	}
	if l := z.pool.nextLost(t); l.w != w || !errors.Is(l.cause, ErrStopped) {
		t.Errorf("%s was lost: %v", l.w, l.cause)
	}
	z.log.wants(t, "asked 1", "asked 2", "asked 3", "somebody debugs the worker: its time limits wait")
	z.pool.hold = false
}
