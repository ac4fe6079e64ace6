package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"
)

// parentEvery is how often the attached process is looked for. Its sockets tell sooner, unless a child that it
// forked behind Python's back holds them.
const parentEvery = time.Second

// leaveGrace is how long the end of an attached process may take to show on its control socket.
const leaveGrace = 100 * time.Millisecond

// Attached is a worker that is there already: the process that started the gateway, and runs
// the application itself. It is never spawned, killed or replaced; a developer may sit in its debugger.
type Attached struct {
	PID           int
	Data, Control *net.UnixConn // the gateway's ends; the Supervisor owns them
	Marks         *os.File      // of 65,536 bytes; the Supervisor closes it
}

// Detached has an element when the attached worker is gone without having been asked: why. nil, from
// which nothing ever comes, where workers are spawned.
func (s *Supervisor) Detached() <-chan error { return s.detached }

// attach makes a worker of the attached process; the counterpart of spawn.
func (s *Supervisor) attach(_ context.Context, id string, slot int, g *generation) (*Worker, error) {
	a := s.settings.Attached
	marks, err := syscall.Mmap(int(a.Marks.Fd()), 0, marksLen, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err = errors.Join(err, a.Marks.Close()); err != nil {
		return nil, fmt.Errorf("cannot map the start marks: %w", err)
	}
	w := &Worker{
		ID: id, Slot: slot, PID: a.PID, Started: time.Now(), Generation: g.number, Warmup: g.Warmup,
		Data: a.Data, Marks: marks, attached: true, generation: g,
		leaving: &s.leaving,
		exited:  make(chan struct{}), gone: make(chan struct{}),
	}
	w.log = s.log.With(slog.String("worker", id))
	w.control = newControl(a.Control, listener{recycle: w.applicationWants, full: func() {}, stands: func(bool) {}})
	go w.waitAttached()
	return w, nil
}

// Attached reports whether the worker is the process that started the gateway.
func (w *Worker) Attached() bool { return w.attached }

// waitAttached sees the attached worker to the end of its part: the process may go on. Runs on a goroutine of
// its own; the counterpart of wait.
func (w *Worker) waitAttached() {
	parent := os.Getppid()
	tick := time.NewTicker(parentEvery)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-w.control.ended:
			over = true
		case <-tick.C:
			if os.Getppid() != parent {
				w.control.close()
			}
		}
	}
	close(w.exited)
	w.control.close()
	endReading(w.Data)
	asked := w.asked.Load()
	w.killing.Lock()
	killed := w.killed
	w.reaped = true
	w.killing.Unlock()
	w.finish(asked && killed.detail == "")
	switch {
	case killed.detail != "":
		w.reason, w.cause = killed.reason, fmt.Errorf("%s was left to itself: %s", w, killed.detail)
	case asked:
		why := w.stoppingFor()
		w.reason, w.cause = why.reason, fmt.Errorf("%s %w: %s", w, ErrStopped, why)
	case w.control.err != nil:
		w.reason, w.cause = ReasonProtocol, fmt.Errorf("the control socket of %s broke: %w", w, w.control.err)
	default:
		w.reason, w.cause = ReasonExited, fmt.Errorf("the process that runs the application (pid %d) has ended", w.PID)
	}
	w.code = -1
	close(w.gone)
}

// leave ends the connection to an attached worker for a reason of the gateway's; its process goes on. When it has
// just died, that is the reason: its other socket may have been seen to end first.
func (w *Worker) leave(why ending) {
	grace := time.NewTimer(leaveGrace)
	defer grace.Stop()
	select {
	case <-w.control.ended:
		return
	case <-grace.C:
	}
	w.killing.Lock()
	if w.killed.detail == "" && !w.reaped {
		w.killed = why
	}
	w.killing.Unlock()
	w.control.close()
}
