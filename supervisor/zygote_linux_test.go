package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// forkedApp tells where it was imported, and by which process it is served.
const forkedApp = `
import os
print("imported by", os.getpid())
def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
def post_fork(worker):
    print("forked", worker.id, os.environ["PYSPEED_WORKER_ID"], os.getpid())
`

// newPreloaded makes a zoo whose workers are forked with this application.
func newPreloaded(t *testing.T, source string, count int, change ...func(*Settings)) zoo {
	t.Helper()
	// What watches for signals stays, from its first use on.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	signal.Stop(signals)
	change = append([]func(*Settings){withShim(t, source), func(s *Settings) { s.Preload = true }}, change...)
	return newZoo(t, "", count, change...)
}

// zygote waits for the process that workers of the present generation are forked from.
func (z zoo) zygote(t *testing.T) *Worker {
	t.Helper()
	z.mu.Lock()
	g := z.generation
	z.mu.Unlock()
	a, err := g.zygote.await(deadline(t))
	if err != nil {
		t.Fatalf("no zygote: %v", err)
	}
	return a.process
}

// parent is the parent's process id; 0 when there is no such process.
func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var state string
	var ppid int
	if _, err := fmt.Sscan(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), &state, &ppid); err != nil {
		t.Fatal(err)
	}
	return ppid
}

func TestPreloadedWorkersAreForked(t *testing.T) {
	z := newPreloaded(t, forkedApp, 3)
	z.mustStart(t)
	zygote := z.zygote(t)
	for range 3 {
		w := z.pool.nextAdded(t)
		if parent(t, w.PID) != os.Getpid() {
			t.Errorf("%s is a child of %d", w, parent(t, w.PID))
		}
		z.log.waitFor(t, fmt.Sprintf("forked %s %d %d worker=%s", w.ID, w.Slot, w.PID, w.ID))
		if w.Info.Interface != "wsgi" {
			t.Errorf("ready: %+v", w.Info)
		}
		if err := w.Dump(deadline(t)); err != nil {
			t.Error(err)
		}
	}
	z.log.wants(t, fmt.Sprintf("imported by %d worker=zygote", zygote.PID))
	if n := strings.Count(z.log.text(), "imported by"); n != 1 {
		t.Errorf("imported %d times", n)
	}
	pid := z.Workers()[1].PID
	if err := syscall.Kill(pid, syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	if l := z.pool.nextLost(t); !strings.Contains(l.cause.Error(), "was killed by SIGSEGV while serving") || l.w.PID != pid {
		t.Errorf("lost: %v", l.cause)
	}
	if w := z.pool.nextAdded(t); w.ID != "2.2" || w.Slot != 2 {
		t.Errorf("the successor is %+v", w)
	}
	if n := strings.Count(z.log.text(), "imported by"); n != 1 {
		t.Errorf("imported %d times", n)
	}
	if err := z.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if l := z.pool.nextLost(t); !errors.Is(l.cause, ErrStopped) {
			t.Errorf("lost: %v", l.cause)
		}
	}
	if !errors.Is(zygote.cause, ErrStopped) || parent(t, zygote.PID) != 0 {
		t.Errorf("the zygote: %v", zygote.cause)
	}
}

func TestZygoteMayDie(t *testing.T) {
	z := newPreloaded(t, forkedApp, 2)
	z.mustStart(t)
	one, two := z.pool.nextAdded(t), z.pool.nextAdded(t)
	first := z.zygote(t)
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	z.log.waitFor(t, "was killed by SIGKILL")
	z.log.wants(t, "ERROR the zygote (pid", "; its workers go on")
	z.until(t, func() bool { return strings.Count(z.log.text(), "application imported") == 2 }, func() string { return "imported anew" })
	if second := z.zygote(t); second.PID == first.PID {
		t.Error("the zygote is the same")
	}
	for _, w := range []*Worker{one, two} {
		if _, err := w.Ping(deadline(t)); err != nil {
			t.Error(err)
		}
	}
	if err := syscall.Kill(two.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if l := z.pool.nextLost(t); l.w != two || !strings.Contains(l.cause.Error(), "was killed by SIGKILL") {
		t.Errorf("lost: %v", l.cause)
	}
	if w := z.pool.nextAdded(t); w.Slot != two.Slot {
		t.Errorf("the successor is %+v", w)
	}
	if one.State() != Ready {
		t.Errorf("the other worker is %v", one.State())
	}
}

func TestWorkerIsForkedAlthoughTheZygoteHasJustDied(t *testing.T) {
	z := newPreloaded(t, forkedApp, 1)
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	zygote := z.zygote(t)
	for _, pid := range []int{zygote.PID, w.PID} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	z.pool.nextLost(t)
	z.pool.nextAdded(t)
	if strings.Contains(z.log.text(), "cannot") {
		t.Error(z.log.text())
	}
}

func TestPreloadIsRefused(t *testing.T) {
	f := func(name, source string, code int, stage, summary string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			z := newPreloaded(t, source, 2)
			got, ok := errors.AsType[*StartupError](z.Start(deadline(t)))
			if !ok {
				t.Fatal("Start did not fail")
			}
			if got.ExitCode != code || got.Stage != stage || !strings.Contains(got.Error(), summary) || got.Worker != "zygote" {
				t.Errorf("Start: %+v", got)
			}
		})
	}
	f("threads", "import threading\nthreading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()\napp = print\n",
		3, "preload", "cannot preload the application: its import has left threads running, which forked workers would not have: poller (")
	f("event loop", "import asyncio\nloop = asyncio.new_event_loop()\nasync def app(scope, receive, send): pass\n", 3, "preload", "event loop")
	f("import", "import nowhere\n", 4, "import", "No module named 'nowhere'")
	f("death", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n", 3, "exit", "the zygote (pid")
}

func TestReloadRenewsTheZygote(t *testing.T) {
	z := newPreloaded(t, forkedApp, 2)
	z.mustStart(t)
	old := z.zygote(t)
	app := filepath.Join(z.settings.Directory, "app.py")
	write := func(source string) {
		t.Helper()
		if err := os.WriteFile(app, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		// Python compares times of a second's precision.
		if err := os.RemoveAll(filepath.Join(z.settings.Directory, "__pycache__")); err != nil {
			t.Fatal(err)
		}
	}
	launch := z.settings.Launch
	launch.Count = 0

	write("import nowhere\n")
	err := z.Reload(deadline(t), launch)
	if e, ok := errors.AsType[*StartupError](err); !ok || e.ExitCode != ExitCannotImport {
		t.Fatalf("Reload: %v", err)
	}
	if z.zygote(t) != old {
		t.Error("a reload that failed has taken the zygote with it")
	}
	select {
	case <-old.gone:
		t.Error("a reload that failed has ended the zygote")
	default:
	}

	write(forkedApp + "print('the new one')\n")
	if err := z.Reload(deadline(t), launch); err != nil {
		t.Fatal(err)
	}
	<-old.gone
	if !errors.Is(old.cause, ErrStopped) {
		t.Errorf("the old zygote: %v", old.cause)
	}
	renewed := z.zygote(t)
	z.log.wants(t, "the new one worker=zygote")
	if n := strings.Count(z.log.text(), "the new one"); n != 1 || renewed == old {
		t.Errorf("imported %d times", n)
	}
	z.until(t, func() bool {
		return !slices.ContainsFunc(z.Workers(), func(st Status) bool { return st.State == Ready && st.Generation != 3 })
	}, func() string { return "all of the third generation" })
}

func TestZygoteThatDoesNotForkIsReplaced(t *testing.T) {
	source := forkedApp + `
def hang():
    if os.path.exists("hang"):
        os.remove("hang")
        import time
        time.sleep(600)
os.register_at_fork(before=hang)
`
	z := newPreloaded(t, source, 1, func(s *Settings) { s.StartupTimeout = 8 * time.Second })
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	zygote := z.zygote(t)
	if err := os.WriteFile(filepath.Join(z.settings.Directory, "hang"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Kill(ReasonKilled, "")
	z.pool.nextLost(t)
	z.pool.nextAdded(t)
	<-zygote.gone
	if zygote.reason != ReasonHung || !strings.Contains(zygote.cause.Error(), "it did not fork a worker within 8s") {
		t.Errorf("the zygote: %v", zygote.cause)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	source := forkedApp + `
import subprocess
def post_worker_init(worker):
    child = subprocess.Popen(["sh", "-c", "read line < pipe"], start_new_session=True)
    print("left", child.pid)
`
	z := newPreloaded(t, source, 1)
	if err := syscall.Mkfifo(filepath.Join(z.settings.Directory, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	z.mustStart(t)
	w := z.pool.nextAdded(t)
	var orphan int
	line := z.log.waitFor(t, "left ")
	if _, err := fmt.Sscanf(line, "INFO left %d", &orphan); err != nil {
		t.Fatal(line, err)
	}
	w.Kill(ReasonKilled, "")
	z.pool.nextLost(t)
	if parent(t, orphan) != os.Getpid() {
		t.Fatalf("the orphan is a child of %d", parent(t, orphan))
	}
	pipe, err := os.OpenFile(filepath.Join(z.settings.Directory, "pipe"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	z.until(t, func() bool { return parent(t, orphan) == 0 }, func() string { return "reaped, the orphan" })
	z.pool.nextAdded(t) // it reads from the pipe as well
	z.until(t, func() bool {
		pipe, err := os.OpenFile(filepath.Join(z.settings.Directory, "pipe"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil && pipe.Close() == nil
	}, func() string { return "open at its other end, the pipe" })
}
