package supervisor

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// guest is the attached process's side, in the test's own process.
type guest struct {
	t             *testing.T
	data, control *net.UnixConn
	told          chan event
}

// attachedZoo makes a supervisor whose worker is the test, and the test's side of it.
func attachedZoo(t *testing.T, change ...func(*Settings)) (zoo, *guest) {
	t.Helper()
	leaks(t)
	var conns [4]*net.UnixConn
	for i := 0; i < 4; i += 2 {
		mine, theirs, err := socketFiles("test")
		if err != nil {
			t.Fatal(err)
		}
		for j, f := range []*os.File{mine, theirs} {
			c, err := net.FileConn(f)
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			conns[i+j] = c.(*net.UnixConn)
		}
	}
	marks, file, err := newMarks()
	if err != nil {
		t.Fatal(err)
	}
	marks[7] = 1
	if err := unmapMarks(marks); err != nil {
		t.Fatal(err)
	}
	z := newZoo(t, "attached", 3, append(change, func(s *Settings) {
		s.Python, s.Archive = "/nowhere", nil // not used
		s.Attached = &Attached{PID: os.Getppid(), Data: conns[0], Control: conns[2], Marks: file}
	})...)
	g := &guest{t: t, data: conns[1], control: conns[3], told: make(chan event, 10)}
	go g.read()
	t.Cleanup(func() {
		_ = g.data.Close()
		_ = g.control.Close()
	})
	return z, g
}

func (g *guest) read() {
	defer close(g.told)
	var decoder fcgi.Decoder
	buf := make([]byte, 1<<16)
	held := 0
	for {
		n, err := g.control.Read(buf[held:])
		if err != nil {
			return
		}
		held += n
		for {
			n, rec, ok, err := decoder.Next(buf[:held])
			if err != nil || !ok {
				break
			}
			if e, err := decodeEvent(rec.Content); err == nil {
				g.told <- e
			}
			held = copy(buf, buf[n:held])
		}
	}
}

// next is the next command; nil when the gateway has left.
func (g *guest) next() event {
	g.t.Helper()
	select {
	case e := <-g.told:
		return e
	case <-deadline(g.t).Done():
		g.t.Fatal("no command came")
		return nil
	}
}

func (g *guest) say(fields map[string]any) {
	g.t.Helper()
	if _, err := g.control.Write(message(g.t, fields)); err != nil {
		g.t.Fatal(err)
	}
}

// start brings the worker to readiness.
func (g *guest) start(z zoo) *Worker {
	g.t.Helper()
	result := make(chan error, 1)
	go func() { result <- z.Start(context.Background()) }()
	if e := g.next(); e.text("cmd") != "start" || e.text("target") != "attached" {
		g.t.Fatalf("told %v", e)
	}
	g.say(map[string]any{"event": "ready", "interface": "wsgi", "threads": 4, "python": "3.99"})
	if err := <-result; err != nil {
		g.t.Fatal(err)
	}
	return z.pool.nextAdded(g.t)
}

func TestAttached(t *testing.T) {
	z, g := attachedZoo(t)
	w := g.start(z)
	if !w.Attached() || w.ID != "1" || w.PID != os.Getppid() || w.Info.Python != "3.99" || w.Marks[7] != 1 || len(w.Marks) != marksLen {
		t.Errorf("worker %+v", w)
	}
	if err := z.Add(1); err == nil || !strings.Contains(err.Error(), "cannot add workers") {
		t.Errorf("Add: %v", err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- z.Stop(context.Background()) }()
	if e := g.next(); e.text("cmd") != "stop" {
		t.Errorf("told %v", e)
	}
	_ = g.control.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if l := z.pool.nextLost(t); !errors.Is(l.cause, ErrStopped) || l.w.State() != Stopped {
		t.Errorf("lost: %v, %v", l.cause, l.w.State())
	}
	select {
	case err := <-z.Detached():
		t.Errorf("detached though it was asked to stop: %v", err)
	default:
	}
}

func TestAttachedEnds(t *testing.T) {
	z, g := attachedZoo(t)
	g.start(z)
	_ = g.control.Close()
	select {
	case err := <-z.Detached():
		if !strings.Contains(err.Error(), "the process that runs the application (pid ") {
			t.Error(err)
		}
	case <-deadline(t).Done():
		t.Fatal("nobody was told")
	}
	if l := z.pool.nextLost(t); errors.Is(l.cause, ErrStopped) || l.w.State() != Failed {
		t.Errorf("lost: %v, %v", l.cause, l.w.State())
	}
	for _, st := range z.Workers() {
		if st.Launches != 1 {
			t.Errorf("it was replaced: %+v", st)
		}
	}
}

// TestAttachedIsNeverKilled: not when the start takes long, nor for what the gateway does not like, nor when it does
// not stop: only the connection ends. Its PID is that of the test's parent.
func TestAttachedIsNeverKilled(t *testing.T) {
	alive := func() {
		t.Helper()
		if err := syscall.Kill(os.Getppid(), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("at its start", func(t *testing.T) {
		z, g := attachedZoo(t, func(s *Settings) { s.StartupTimeout = time.Nanosecond })
		g.start(z)
		alive()
	})
	t.Run("for a reason", func(t *testing.T) {
		z, g := attachedZoo(t)
		g.start(z).Kill(ReasonProtocol, "")
		if err := <-z.Detached(); !strings.HasSuffix(err.Error(), "was left to itself: it broke the protocol") {
			t.Error(err)
		}
		if e := g.next(); e != nil {
			t.Errorf("told %v", e)
		}
		z.pool.nextLost(t)
		alive()
	})
	t.Run("when it does not stop", func(t *testing.T) {
		z, g := attachedZoo(t, func(s *Settings) { s.ShutdownTimeout = 20 * time.Millisecond })
		g.start(z)
		if err := z.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if e := g.next(); e.text("cmd") != "stop" {
			t.Errorf("told %v", e)
		}
		if e := g.next(); e != nil {
			t.Errorf("told %v", e)
		}
		if l := z.pool.nextLost(t); !strings.Contains(l.cause.Error(), "the application did not finish in time") {
			t.Error(l.cause)
		}
		alive()
	})
}

func TestAttachedFailsToStart(t *testing.T) {
	z, g := attachedZoo(t)
	result := make(chan error, 1)
	go func() { result <- z.Start(context.Background()) }()
	g.next()
	g.say(map[string]any{"event": "failed", "stage": "import", "error": "NameError: x", "traceback": ""})
	_ = g.control.Close()
	failed, ok := errors.AsType[*StartupError](<-result)
	if !ok || failed.ExitCode != ExitCannotImport || failed.Summary != "NameError: x" {
		t.Errorf("Start: %+v", failed)
	}
}

func TestAttachedGoesBeforeItIsReady(t *testing.T) {
	z, g := attachedZoo(t)
	result := make(chan error, 1)
	go func() { result <- z.Start(context.Background()) }()
	g.next()
	_ = g.control.Close()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("Start: %v", err)
	}
}
