package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStartAndStop(t *testing.T) {
	z := newZoo(t, "good", 3)
	z.mustStart(t)
	ids := []string{z.pool.nextAdded(t).ID, z.pool.nextAdded(t).ID, z.pool.nextAdded(t).ID}
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"1", "2", "3"}) {
		t.Errorf("added %q", ids)
	}
	for i, st := range z.Workers() {
		if st.Slot != i+1 || st.State != Ready || st.PID == 0 || st.Launches != 1 || st.Info.Interface != "wsgi" || st.Info.Threads != 4 {
			t.Errorf("status %+v", st)
		}
	}
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l := z.pool.nextLost(t)
		if !errors.Is(l.cause, ErrStopped) || l.w.State() != Stopped {
			t.Errorf("%s: %v, %v", l.w.ID, l.cause, l.w.State())
		}
	}
	if len(z.pool.drains) != 3 {
		t.Errorf("%d workers were drained", len(z.pool.drains))
	}
}

func TestWorkerHasItsDescriptors(t *testing.T) {
	z := newZoo(t, "echo", 1, func(s *Settings) { s.Env = []string{"EXTRA=-é-"} })
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	if _, err := w.Data.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := w.Data.Read(buf)
	if got := string(buf[:n]); err != nil || got != "PING-é-1" {
		t.Errorf("read %q, %v", got, err)
	}
	if len(w.Marks) != 65536 || w.Marks[7] != 1 || w.Marks[6] != 0 {
		t.Error("the mark of request 7 was not set")
	}
}

func TestStartFails(t *testing.T) {
	hasty := func(s *Settings) { s.StartupTimeout = 300 * time.Millisecond }
	for _, c := range []struct {
		target string
		change func(*Settings)
		want   StartupError // Summary is a part, Traceback a beginning
		log    string
	}{
		{target: "import fails", want: StartupError{ExitCode: 4, Stage: "import", Summary: "NameError: x", Traceback: "Traceback (most recent call last):\n"}},
		{target: "lifespan fails", want: StartupError{ExitCode: 3, Stage: "lifespan", Summary: "no database"}},
		{target: "exits 0", want: StartupError{ExitCode: 3, Stage: "exit", Summary: "exited with status 0 while starting without being asked"}},
		{target: "exits 7", want: StartupError{ExitCode: 3, Stage: "exit", Summary: "exited with status 7 while starting"}},
		{target: "exits 4", want: StartupError{ExitCode: 4, Stage: "exit", Summary: "exited with status 4 while starting"}},
		{target: "hangs", change: hasty, want: StartupError{ExitCode: 3, Stage: "timeout", Summary: "did not become ready within 300ms: it was "}, log: "WARN   File \"zoo.py\", line 7 in stuck worker="},
		{target: "hangs, deaf", change: hasty, want: StartupError{ExitCode: 3, Stage: "timeout", Summary: "did not become ready within 300ms"}, log: "no answer to dump"},
		{target: "no such program", change: func(s *Settings) { s.Python = "/nowhere/python3" }, want: StartupError{ExitCode: 3, Stage: "spawn", Summary: "set app.python"}},
		{target: "no such folder", change: func(s *Settings) { s.Directory = "/nowhere" }, want: StartupError{ExitCode: 3, Stage: "spawn", Summary: "/nowhere"}},
	} {
		t.Run(c.target, func(t *testing.T) {
			change := func(*Settings) {}
			if c.change != nil {
				change = c.change
			}
			z := newZoo(t, c.target, 2, change)
			err := z.Start(deadline(t))
			got, ok := errors.AsType[*StartupError](err)
			if !ok {
				t.Fatalf("Start: %v", err)
			}
			if got.ExitCode != c.want.ExitCode || got.Stage != c.want.Stage || !strings.Contains(got.Summary, c.want.Summary) ||
				!strings.HasPrefix(got.Traceback, c.want.Traceback) {
				t.Errorf("Start: %+v\nwant   %+v", got, c.want)
			}
			if !strings.Contains(err.Error(), got.Summary) {
				t.Errorf("the error says only %q", err)
			}
			if c.log != "" {
				z.log.wants(t, c.log)
			}
			if len(z.pool.added) > 0 {
				t.Error("a worker was added")
			}
			for _, st := range z.Workers() {
				if !st.State.Final() {
					t.Errorf("worker %s is left %v", st.ID, st.State)
				}
			}
		})
	}
}

func TestStartIsInterrupted(t *testing.T) {
	z := newZoo(t, "hangs", 1)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- z.Start(ctx) }()
	z.log.waitFor(t, "worker started")
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v", err)
	}
	if st := z.Workers(); len(st) != 1 || st[0].State != Stopped {
		t.Errorf("workers: %+v", st)
	}
}

func TestRespawn(t *testing.T) {
	f := func(target, cause string, act func(w *Worker)) {
		t.Helper()
		t.Run(target, func(t *testing.T) {
			z := newZoo(t, target, 1)
			z.mustStart(t)
			w := z.pool.nextAdded(t)
			if w.ID != "1" {
				t.Errorf("the first worker is %q", w.ID)
			}
			if act != nil {
				act(w)
			}
			l := z.pool.nextLost(t)
			if l.w != w || errors.Is(l.cause, ErrStopped) || w.State() != Failed || !strings.Contains(l.cause.Error(), cause) {
				t.Errorf("lost %s, %v: %v, want %q", l.w.ID, l.w.State(), l.cause, cause)
			}
			z.log.waitFor(t, "ERROR "+l.cause.Error())
			if second := z.pool.nextAdded(t); second.ID != "1.2" || second.Slot != 1 {
				t.Errorf("the second worker is %q of slot %d", second.ID, second.Slot)
			}
		})
	}
	kill := func(sig syscall.Signal) func(*Worker) {
		return func(w *Worker) {
			if err := syscall.Kill(w.PID, sig); err != nil {
				t.Error(err)
			}
		}
	}
	f("dies once ready", "exited with status 5 while serving", nil)
	f("closes control", "was killed: it closed its control socket", nil)
	f("garbage on control", "was killed: its control socket broke: cannot read FastCGI record", nil)
	f("good", "was killed by SIGKILL while serving (out of memory? the kernel's log tells)", kill(syscall.SIGKILL))
	f("good", "was killed by SIGTERM while serving (sent from outside the gateway)", kill(syscall.SIGTERM))
	f("good", "was killed by SIGSEGV while serving (a crash in Python", kill(syscall.SIGSEGV))
	f("good", "was killed: it spoke no FastCGI", func(w *Worker) { w.Kill(ReasonProtocol, "it spoke no FastCGI") })
}

func TestReplacementThatFailsIsTriedAgain(t *testing.T) {
	z := newZoo(t, "fails the second time", 1)
	z.mustStart(t)
	z.pool.nextAdded(t)
	z.pool.nextLost(t)
	z.log.waitFor(t, "worker started worker=1.4")
	z.log.wants(t, "ERROR   SyntaxError: x worker=1.2", "ERROR cannot import the application: SyntaxError: x slot=1 next_try_in=")
}

func TestStopInsists(t *testing.T) {
	short := func(s *Settings) { s.ShutdownTimeout = 400 * time.Millisecond }
	f := func(target, cause string, orderly bool) {
		t.Helper()
		t.Run(target, func(t *testing.T) {
			z := newZoo(t, target, 1, short)
			z.mustStart(t)
			if err := z.Stop(deadline(t)); err != nil {
				t.Fatal(err)
			}
			l := z.pool.nextLost(t)
			if !strings.Contains(l.cause.Error(), cause) || errors.Is(l.cause, ErrStopped) != orderly {
				t.Errorf("lost: %v", l.cause)
			}
			z.log.wants(t, l.cause.Error())
		})
	}
	f("ignores stop", "ended by SIGTERM: stopped as asked", true)
	f("ignores stop and TERM", "was killed: it did not stop in time, nor on SIGTERM", false)
}

func TestStopWaitsForRequests(t *testing.T) {
	z := newZoo(t, "good", 1, func(s *Settings) { s.ShutdownTimeout = 400 * time.Millisecond })
	z.pool.hold = true
	z.mustStart(t)
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	z.log.wants(t, "no time left to wait for the worker's requests")
	if l := z.pool.nextLost(t); !errors.Is(l.cause, ErrStopped) {
		t.Errorf("lost: %v", l.cause)
	}
}

func TestStopHurries(t *testing.T) {
	z := newZoo(t, "good", 2)
	z.pool.hold = true
	z.mustStart(t)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- z.Stop(ctx) }()
	<-z.pool.drains
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
}

func TestStopInsistsWithinItsContext(t *testing.T) {
	z := newZoo(t, "ignores stop", 1) // ShutdownTimeout is 30 s
	z.mustStart(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := z.Stop(ctx); err != nil {
		t.Error(err)
	}
	if l := z.pool.nextLost(t); !errors.Is(l.cause, ErrStopped) {
		t.Errorf("it got no SIGTERM in time: %v", l.cause)
	}
}

func TestCommands(t *testing.T) {
	z := newZoo(t, "good", 1)
	z.mustStart(t)
	w, ctx := z.pool.nextAdded(t), deadline(t)
	for range 3 {
		if pong, err := w.Ping(ctx); err != nil || pong.LoopMilliseconds != 12 {
			t.Errorf("Ping: %+v, %v", pong, err)
		}
	}
	if ids, err := w.Reclaim(); err != nil || !slices.Equal(ids, []uint16{3, 65535}) {
		t.Errorf("Reclaim: %v, %v", ids, err)
	}
	if err := z.Dump(ctx, "1"); err != nil {
		t.Error(err)
	}
	z.log.waitFor(t, `File "zoo.py", line 7 in stuck worker=1`)
	if err := z.Dump(ctx, "9"); err == nil {
		t.Error("worker 9 was found")
	}
	w.Kill(ReasonKilled, "the test is over")
	z.pool.nextLost(t)
	if _, err := w.Ping(ctx); !errors.Is(err, errControlEnded) {
		t.Errorf("Ping to a dead worker: %v", err)
	}
	if _, err := w.Reclaim(); !errors.Is(err, errControlEnded) {
		t.Errorf("Reclaim from a dead worker: %v", err)
	}
}

func TestPrintingWorker(t *testing.T) {
	z := newZoo(t, "prints", 1)
	z.mustStart(t)
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	log := z.log.text()
	z.log.wants(t, "INFO hello worker=1 stream=stdout", `INFO \x1b[2Jcleared worker=1`, `INFO level=ERROR\x0dmsg=forged worker=1`,
		"WARN no end worker=1 stream=stderr")
	// What the supervisor itself says may come in between.
	traceback := strings.Join(slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool {
		return !strings.Contains(line, "stream=stderr")
	}), "\n")
	if !strings.Contains(traceback, "WARN Traceback (most recent call last): worker=1 stream=stderr\nWARN   File \"a.py\", line 1 worker=1 stream=stderr\nWARN ValueError: \\xff\\xfe\\x00 worker=1 stream=stderr") {
		t.Errorf("the traceback is not there line by line:\n%s", log)
	}
	if strings.ContainsAny(log, "\x1b\r\x00") {
		t.Error("the log has control characters")
	}
	if n := strings.Count(log, "x"); n < 40000 {
		t.Errorf("only %d bytes of a long line were logged", n)
	}
}

func TestFloodDoesNotStopTheWorker(t *testing.T) {
	z := newZoo(t, "floods", 1)
	z.log.block = make(chan struct{}) // the log takes nothing
	z.mustStart(t)
	// It answers only when it has written 5 MB, which nobody holds.
	if _, err := z.pool.nextAdded(t).Ping(deadline(t)); err != nil {
		t.Error(err)
	}
	close(z.log.block)
	z.log.waitFor(t, "lines: the worker writes faster than the log takes them")
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	kept, dropped := 0, 0
	for line := range strings.Lines(z.log.text()) {
		var n int
		if strings.HasPrefix(line, "INFO fff") {
			kept++
		} else if _, err := fmt.Sscanf(line, "WARN dropped %d lines", &n); err == nil {
			dropped += n
		}
	}
	if kept+dropped != 50000 {
		t.Errorf("%d lines kept and %d dropped of 50,000", kept, dropped)
	}
}

func TestForkedChildHoldsDescriptors(t *testing.T) {
	z := newZoo(t, "leaves a child", 1)
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case l := <-z.pool.lost:
		defer l.w.Release()
		if rest, err := io.ReadAll(l.w.Data); err != nil || len(rest) != 0 {
			t.Errorf("read %q, %v", rest, err)
		}
		if err := syscall.Kill(-w.PID, syscall.SIGKILL); err != nil { // the child, left alone as documented
			t.Errorf("the child is not there: %v", err)
		}
	case <-deadline(t).Done():
		t.Fatal("the worker was not lost")
	}
	// The replacement's child ends when the supervisor stops.
	second := z.pool.nextAdded(t)
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	waitForNoGroup(t, second.PID)
}

func TestStopEndsWhatTheApplicationStarted(t *testing.T) {
	z := newZoo(t, "starts a program", 1)
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	waitForNoGroup(t, w.PID)
}

// waitForNoGroup waits until no process of the group is alive. Zombies that
// nobody reaps do not count.
func waitForNoGroup(t *testing.T, pgid int) {
	t.Helper()
	ctx := deadline(t)
	for aliveInGroup(t, pgid) {
		if ctx.Err() != nil {
			t.Fatalf("group %d is still there", pgid)
		}
	}
}

func aliveInGroup(t *testing.T, pgid int) bool {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	if len(stats) == 0 { // no /proc here
		return syscall.Kill(-pgid, 0) == nil
	}
	for _, name := range stats {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		var state string
		var ppid, group int
		_, rest, _ := strings.Cut(string(content), ") ")
		if _, err := fmt.Sscan(rest, &state, &ppid, &group); err == nil && group == pgid && state != "Z" {
			return true
		}
	}
	return false
}
