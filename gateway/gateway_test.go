package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pyspeed/supervisor"
)

// both runs a test with a WSGI application behind one edge, and an ASGI application behind the other.
func both(t *testing.T, f func(t *testing.T, args ...string)) {
	t.Run("wsgi", func(t *testing.T) { f(t, "app:wsgi", "--edge", "auto", "--threads", "1") })
	t.Run("asgi", func(t *testing.T) { f(t, "app:asgi", "--edge", "conn") })
}

// TestStopOrder: no more is accepted, what runs is answered, then the application shuts down.
func TestStopOrder(t *testing.T) {
	both(t, func(t *testing.T, args ...string) {
		r := start(t, args...)
		r.until("ready", func() bool { ok, _ := r.ready(); return ok })
		running := r.ask("/wait")
		r.until("begun", func() bool { return strings.Contains(r.events(), "begun") })
		r.stop()
		r.log.wait(t, "stopping: waiting for requests to end")
		address := strings.TrimPrefix(r.url, "http://")
		r.until("closed to new connections", func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		if ok, why := r.ready(); ok || why != "stopping" {
			t.Errorf("ready while stopping: %t, %s", ok, why)
		}
		select {
		case <-r.ended:
			t.Fatal("Run ended while a request ran")
		case a := <-running:
			t.Fatalf("answered with %v before it ended", a)
		default:
		}
		r.open()
		if a := <-running; a.status != 200 {
			t.Errorf("the running request got %v", a)
		}
		r.wait()
		want := "begun ended"
		if args[0] == "app:asgi" {
			want = "lifespan.startup begun ended lifespan.shutdown"
		}
		if got := r.events(); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// TestHurry: a second signal ends the waiting at once, whatever runs.
func TestHurry(t *testing.T) {
	both(t, func(t *testing.T, args ...string) {
		r := start(t, append(args, "--timeout-shutdown", "1h")...)
		running := r.ask("/hold")
		r.until("begun", func() bool { return strings.Contains(r.events(), "hold") })
		r.stop()
		r.log.wait(t, "stopping: waiting for requests to end")
		r.hurry()
		r.wait()
		if a := <-running; a.status == 200 {
			t.Errorf("the request that never ends got %v", a)
		}
	})
}

// TestShutdownTimeout: requests that do not end do not hold a stop longer than configured.
func TestShutdownTimeout(t *testing.T) {
	r := start(t, "app:asgi", "--timeout-shutdown", "200ms")
	running := r.ask("/wait")
	r.until("begun", func() bool { return strings.Contains(r.events(), "begun") })
	r.stop()
	r.wait()
	if a := <-running; a.status != 503 && a.err == nil {
		t.Errorf("the request that was cut off got %v", a)
	}
	r.log.wait(t, "did not end in time")
}

// TestHungWorker: a worker whose loop, or only thread, the application holds is asked for its stacks,
// killed and replaced. What it had begun gets 504; what waited behind it is answered by the next.
func TestHungWorker(t *testing.T) {
	both(t, func(t *testing.T, args ...string) {
		r := start(t, append(args, "--timeout", "1s", "--timeout-shutdown", "1s")...)
		before := <-r.ask("/")
		holding := r.ask("/hold")
		r.until("begun", func() bool { return strings.Contains(r.events(), "hold") })
		behind := r.ask("/")
		if a := <-holding; a.status != 504 {
			t.Errorf("the request that hung got %v, want 504", a)
		}
		if a := <-behind; a.status != 200 || a.body == before.body {
			t.Errorf("the one behind it got %v; the worker that hung was %s", a, before.body)
		}
		r.log.wait(t, "hold_everything")
		r.log.wait(t, `was killed: the application held its event loop or all its threads for .*workers\.timeout is 1s`)
		if got := strings.Count(r.events(), "hold"); got != 1 {
			t.Errorf("it ran %d times", got)
		}
		var metrics strings.Builder
		r.metrics.Write(&metrics)
		if !strings.Contains(metrics.String(), `pyspeed_failures_total{kind="worker_hung"} 1`) {
			t.Errorf("not counted:\n%s", metrics.String())
		}
	})
}

// TestWaitingIsNotHanging: a request that waits in a task of its own, longer than workers.timeout, does no harm.
func TestWaitingIsNotHanging(t *testing.T) {
	r := start(t, "app:asgi", "--timeout", "1ms")
	running := r.ask("/wait")
	r.until("begun", func() bool { return strings.Contains(r.events(), "begun") })
	before := <-r.ask("/")
	r.until("looked at", func() bool { return len(r.dispatcher.Silent(silent)) > 0 })
	r.open()
	if a := <-running; a.status != 200 {
		t.Errorf("the request that waited got %v", a)
	}
	if a := <-r.ask("/"); a.body != before.body {
		t.Errorf("another worker answers: %v, not %v", a, before)
	}
}

func TestOptionsAsterisk(t *testing.T) {
	both(t, func(t *testing.T, args ...string) {
		r := start(t, args...)
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 204 ") || !strings.Contains(string(got), "\r\nAllow: GET, ") {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	r := start(t, "app:wsgi", "--pid", path)
	if got, err := os.ReadFile(path); err != nil || string(got) != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("the pid file holds %q, %v", got, err)
	}
	r.stop()
	r.wait()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file after the end: %v", err)
	}
}

// TestRunFails: what keeps a gateway from starting is Run's error, and nothing runs afterwards.
func TestRunFails(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "run")
	f := func(want string, args ...string) error {
		t.Helper()
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		r := prepare(t, t.TempDir(), args...)
		if err := os.Remove(folder); err != nil { // after it was looked at
			t.Fatal(err)
		}
		r.run()
		select {
		case <-r.ended:
		case <-time.After(patience):
			t.Fatalf("%v: Run does not fail", args)
		}
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("%v: the error is %v, want %q", args, r.err, want)
		}
		for _, w := range r.supervisor.Workers() {
			if !w.State.Final() {
				t.Errorf("%v: worker %s is %s", args, w.ID, w.State)
			}
		}
		return r.err
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_ = f("stop the server that listens there", "app:wsgi", "--bind", taken.Addr().String())
	_ = f("stop the server that listens there", "app:wsgi", "--admin-bind", taken.Addr().String())
	_ = f("cannot write the pid file", "app:wsgi", "--pid", filepath.Join(folder, "pid"))
	code := func(err error) int {
		var startup *supervisor.StartupError
		if !errors.As(err, &startup) {
			return -1
		}
		return startup.ExitCode
	}
	if got := code(f("cannot import the application", "app:nothing")); got != supervisor.ExitCannotImport {
		t.Errorf("exit code %d", got)
	}
}

// TestStopWhileStarting: a stop that comes before the workers are ready is no failure.
func TestStopWhileStarting(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "slow.py"), []byte("import threading, app\napp.note('importing')\nthreading.Event().wait()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := prepare(t, dir, "slow:app", "--timeout-shutdown", "1s")
	r.run()
	r.until("importing", func() bool { return r.events() == "importing" })
	r.stop()
	r.wait()
}

func TestTryImport(t *testing.T) {
	f := func(target, want string) {
		t.Helper()
		r := prepare(t, t.TempDir(), target)
		about, err := r.TryImport(t.Context())
		if err != nil || !strings.HasPrefix(about, want) {
			t.Errorf("%s: %q, %v; want %q", target, about, err, want)
		}
	}
	f("app:wsgi", "app:wsgi is a WSGI application, on Python 3.")
	f("app:asgi", "app:asgi is an ASGI application, on Python 3.")
	r := prepare(t, t.TempDir(), "app:nothing")
	if _, err := r.TryImport(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("error is %v", err)
	}
}
