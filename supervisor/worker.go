package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// startingGrace is how long a worker that is told to stop before it was
	// ready has between SIGTERM and SIGKILL.
	startingGrace = 5 * time.Second
	// dumpPatience is how long a worker that hangs may take for its stack dump.
	dumpPatience = time.Second
	// termGrace is the end of a stop's time that follows SIGTERM, at most a
	// quarter of the whole.
	termGrace = 5 * time.Second
	// faultGrace is how long a worker that closed its control socket has to exit
	// by itself.
	faultGrace = time.Second
)

// Worker is one worker process. The exported fields do not change once the
// Pool has it.
type Worker struct {
	ID      string // "2" the first process of slot 2, "2.3" the third
	Slot    int    // from 1; PYSPEED_WORKER_ID. 0: a zygote, which the Pool never has
	PID     int
	Started time.Time // when it was spawned
	Readied time.Time // when it said that it was ready
	Info    ReadyInfo
	// Generation is which of the generations started by Start and Reload it belongs to, from 1.
	Generation int
	Warmup     []string // paths that it is asked for before it serves
	// MaxRequests is after how many requests the Pool calls Spent; 0: never.
	MaxRequests int

	// Data is the FastCGI connection. Once the worker is dead reading gives what
	// it had sent, then EOF.
	Data *net.UnixConn
	// Marks are the start marks, one byte per request id, shared with the worker.
	Marks []byte

	lifecycle
	told       //nolint:unused // see there
	generation *generation
	log        *slog.Logger
	attached   bool // not spawned: process, children and output are nil
	process    subprocess
	children   *children
	control    *control
	output     *output

	asked   atomic.Bool  // it was told to stop
	leaving *atomic.Bool // the supervisor's
	killing sync.Mutex
	why     ending // what it is asked to stop for
	killed  ending // why the gateway killed it; its detail is not "" then
	reaped  bool   // PID is not its own any more

	empty <-chan struct{} // of the Pool's Drain; of who ends it

	lifetime  time.Duration // after which it is to be replaced
	wishes    chan<- struct{}
	wish      atomic.Pointer[wish] // that it be replaced; nil: none
	notBefore time.Time            // when to try that again; the recycling goroutine's, as is
	retry     time.Duration

	exited  chan struct{} // closed when the process was reaped
	gone    chan struct{} // closed when also all it wrote was read
	cause   error         // why it ended; valid then
	reason  Reason        // the same; valid then
	code    int           // exit status, -1 after a signal; valid then
	release sync.Once
}

// ending is a reason, and what else there is to say about it.
type ending struct {
	reason Reason
	detail string
}

func (e ending) String() string {
	if e.detail == "" {
		return e.reason.String()
	}
	return fmt.Sprintf("%s: %s", e.reason, e.detail)
}

// Release closes Data and unmaps Marks. The Pool calls it once, after Lost, when nothing
// of its own uses either any more.
func (w *Worker) Release() {
	w.release.Do(func() {
		if w.Data != nil {
			_ = w.Data.Close()
		}
		if w.Marks != nil {
			_ = unmapMarks(w.Marks)
		}
	})
}

// Kill kills the worker, and what is left in its process group, at once; detail is
// what the log will say: "worker 2 (pid 123) was killed: DETAIL". An attached worker lives; only the connection to it ends. It may be called from any goroutine.
func (w *Worker) Kill(why Reason, detail string) {
	w.killing.Lock()
	defer w.killing.Unlock()
	if w.reaped {
		return
	}
	if detail == "" {
		detail = why.String()
	}
	if w.attached {
		go w.leave(ending{why, detail})
		return
	}
	if w.killed.detail == "" {
		w.killed = ending{why, detail}
	}
	_ = syscall.Kill(-w.PID, syscall.SIGKILL)
	_ = syscall.Kill(w.PID, syscall.SIGKILL) // should it have left its group
}

// terminate sends SIGTERM to the worker alone.
func (w *Worker) terminate() {
	w.killing.Lock()
	defer w.killing.Unlock()
	if !w.reaped && !w.attached {
		_ = syscall.Kill(w.PID, syscall.SIGTERM)
	}
}

// wait sees the worker to its end. Runs on a goroutine of its own.
func (w *Worker) wait() {
	watched := make(chan struct{})
	go w.watchControl(watched)
	status, err := w.reap()
	w.children.reaped(w.PID)
	close(w.exited)

	endReading(w.control.conn)
	<-w.control.ended
	w.control.close()
	<-watched
	w.output.finish()
	endReading(w.Data)

	if err != nil {
		w.finish(false)
		w.code, w.cause, w.reason = -1, fmt.Errorf("cannot learn how %s ended: %w", w, err), ReasonExited
	} else {
		e := exit{who: w.String(), status: status, asked: w.asked.Load()}
		w.killing.Lock()
		e.why, e.killed = w.why, w.killed
		w.killing.Unlock()
		w.code = status.ExitStatus()
		e.doing = w.finish(e.orderly())
		w.reason, w.cause = e.cause()
	}
	close(w.gone)
}

// stopFor notes what the worker is about to be asked to stop for; the first time counts.
func (w *Worker) stopFor(why ending) {
	w.killing.Lock()
	defer w.killing.Unlock()
	if w.why.reason == noReason {
		w.why = why
	}
}

// stoppingFor is what it was asked to stop for.
func (w *Worker) stoppingFor() ending {
	w.killing.Lock()
	defer w.killing.Unlock()
	return w.why
}

// stop sends the command.
func (w *Worker) stop() error {
	return w.control.send(map[string]any{"cmd": "stop", "code": w.stoppingFor().reason.ExitCode()})
}

// sweep sends SIGTERM to what is left of the worker's process group when the
// gateway stops. The caller holds killing.
func (w *Worker) sweep() {
	if w.leaving.Load() {
		_ = syscall.Kill(-w.PID, syscall.SIGTERM)
	}
}

// watchControl kills a worker that cannot be commanded any more.
func (w *Worker) watchControl(done chan<- struct{}) {
	defer close(done)
	<-w.control.ended
	reason := "it closed its control socket"
	if err := w.control.err; err != nil {
		reason = "its control socket broke: " + err.Error()
	} else {
		// Mostly the worker's exit is why the socket ended, and is about to be seen.
		grace := time.NewTimer(faultGrace)
		defer grace.Stop()
		select {
		case <-w.exited:
			return
		case <-grace.C:
		}
	}
	if !w.asked.Load() { // else retire sees to it
		w.Kill(ReasonProtocol, reason)
	}
}

// retire asks the worker to stop, waits until it is gone, and insists: SIGTERM
// near the end of ctx, SIGKILL at its end. empty is closed when the worker holds no request.
func (w *Worker) retire(ctx context.Context, empty <-chan struct{}) {
	insist, cancel := context.WithCancel(ctx)
	if at := insistAt(ctx); !at.IsZero() {
		cancel()
		insist, cancel = context.WithDeadline(ctx, at)
	}
	defer cancel()
	select {
	case <-empty:
	case <-w.gone:
		return
	case <-insist.Done():
		w.log.Warn("no time left to wait for the worker's requests")
	}
	w.asked.Store(true)
	if err := w.stop(); err != nil {
		w.log.Debug("cannot ask the worker to stop", "error", err)
	} else {
		select {
		case <-w.gone:
			return
		case <-insist.Done():
		}
	}
	w.terminate()
	select {
	case <-w.gone:
		return
	case <-ctx.Done():
	}
	if w.attached {
		w.Kill(w.stoppingFor().reason, "the application did not finish in time")
	} else {
		w.Kill(w.stoppingFor().reason, "it did not stop in time, nor on SIGTERM")
	}
	<-w.gone
}

// insistAt is when a worker that is to stop within ctx gets SIGTERM; zero: it has all the time it wants.
func insistAt(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(-min(termGrace, time.Until(deadline)/4))
}

// quit ends a worker that was not ready yet.
func (w *Worker) quit(ctx context.Context) {
	w.asked.Store(true)
	// SIGTERM reaches Python only when its main thread runs Python code, and the
	// command only when the shim reads: one of them will do.
	if err := w.stop(); err != nil {
		w.log.Debug("cannot ask the worker to stop", "error", err)
	}
	w.terminate()
	grace := time.NewTimer(startingGrace)
	defer grace.Stop()
	select {
	case <-w.gone:
		return
	case <-grace.C:
	case <-ctx.Done():
	}
	w.Kill(w.stoppingFor().reason, "it did not stop in time while it was starting")
	<-w.gone
}

// Ping asks the worker's control thread for a sign of life.
func (w *Worker) Ping(ctx context.Context) (Pong, error) {
	n := int(w.control.pings.Add(1) & 0x7fffffff)
	e, err := w.control.ask(ctx, map[string]any{"cmd": "ping", "n": n}, "pong")
	if err != nil {
		return Pong{}, fmt.Errorf("cannot ping %s: %w", w, err)
	}
	if got := e.number("n"); got != n {
		return Pong{}, fmt.Errorf("cannot ping %s: it answered %d to %d", w, got, n)
	}
	return Pong{LoopMilliseconds: e.number("loop_ms")}, nil
}

// Reclaim takes back the requests that the worker has not begun: they will not
// run there, get no answer, and their ids are free. It blocks until the worker
// answers or is gone, not less, because ids that nobody hears of are lost.
func (w *Worker) Reclaim() ([]uint16, error) {
	e, err := w.control.ask(context.Background(), map[string]any{"cmd": "reclaim"}, "reclaimed")
	if err != nil {
		return nil, fmt.Errorf("cannot reclaim from %s: %w", w, err)
	}
	ids, err := e.ids("ids")
	if err != nil {
		return nil, fmt.Errorf("cannot reclaim from %s: %w", w, err)
	}
	return ids, nil
}

// Dump makes the worker write the stack of every thread and task to its stderr,
// and so to the log.
func (w *Worker) Dump(ctx context.Context) error {
	if _, err := w.control.ask(ctx, map[string]any{"cmd": "dump"}, "dumped"); err != nil {
		return fmt.Errorf("cannot dump the stacks of %s: %w", w, err)
	}
	return nil
}

func (w *Worker) String() string {
	if w.Slot == 0 {
		return fmt.Sprintf("the zygote (pid %d)", w.PID)
	}
	return fmt.Sprintf("worker %s (pid %d)", w.ID, w.PID)
}
