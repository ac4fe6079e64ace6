package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// errToldToStop is why a worker did not become ready that nobody wants any more.
var errToldToStop = errors.New("it was told to stop")

// launch spawns one worker and returns it when it can serve: the application is imported, its start-up code has run,
// the Pool has shaken hands with it and warmed it up. On an error the worker is gone. When ctx ends it is
// told to stop, for the reason that giveUp names. Runs on a goroutine of its caller's.
func (s *Supervisor) launch(ctx context.Context, sl *slot, g *generation) (*Worker, error) {
	defer s.wantSpare(sl.number, g)
	if w := s.takeSpare(ctx, sl.number, g); w != nil {
		err := s.prepareWorker(ctx, sl, w)
		if err == nil {
			return w, nil
		}
		failed, ok := errors.AsType[*StartupError](err)
		if !ok || failed.Stage != "spare" && failed.Stage != "exit" || ctx.Err() != nil {
			return nil, err
		}
		// It does not fit, or has died, which may be due to what it did before: one that is begun now will tell.
		w.log.Debug("the spare worker cannot be used: " + err.Error())
	}
	id := sl.nextID()
	begin := s.spawn
	if s.attached() {
		begin = s.attach
	} else if g.zygote != nil {
		begin = g.zygote.fork
	}
	w, err := begin(ctx, id, sl.number, g)
	if _, told := errors.AsType[*StartupError](err); told || errors.Is(err, errToldToStop) {
		return nil, err
	}
	if err != nil {
		return nil, &StartupError{ExitCode: ExitCannotStart, Worker: id, Stage: "spawn", Summary: err.Error()}
	}
	if err := s.prepareWorker(ctx, sl, w); err != nil {
		return nil, err
	}
	return w, nil
}

// prepareWorker sees a process to where it can serve. On an error it is gone.
func (s *Supervisor) prepareWorker(ctx context.Context, sl *slot, w *Worker) error {
	sl.track(w)
	if !w.attached {
		w.log.Info("worker started", "pid", w.PID, "generation", w.Generation)
	}
	clock := newStartTime(&w.generation.Launch)
	defer clock.stop()
	if err := s.await(ctx, w, clock); err != nil {
		w.Release()
		s.over(sl, w)
		return err
	}
	if err := s.open(ctx, w, clock); err != nil {
		s.pool.Lost(w, w.cause)
		s.over(sl, w)
		return err
	}
	more := []any{"after", time.Since(w.Started).Round(time.Millisecond)}
	if w.attached {
		more = []any{"attached", true}
	}
	w.log.Info("worker ready", append([]any{"pid", w.PID, "interface", w.Info.Interface, "python", w.Info.Python}, more...)...)
	s.tellAcceleration(w)
	return nil
}

// await sends `start` and waits for the answer. On an error the worker is gone.
func (s *Supervisor) await(ctx context.Context, w *Worker, clock *startTime) error {
	start := maps.Clone(w.generation.Start)
	if start == nil {
		start = make(map[string]any)
	}
	start["cmd"], start["worker_id"] = "start", w.ID
	if err := w.control.send(start); err != nil {
		// A worker that is dead already shows its reason below.
		w.log.Debug("cannot send the start message", "error", err)
	}
	for {
		part := false
		select {
		case e := <-w.control.first:
			return s.first(w, e)
		case <-w.gone:
			select { // what it said last counts more than how it exited
			case e := <-w.control.first:
				return s.first(w, e)
			default:
			}
			return w.diedStarting()
		case <-ctx.Done():
			w.stopFor(endingOf(ctx))
			w.quit(s.life)
			return fmt.Errorf("cannot wait for %s to become ready: %w", w, errToldToStop)
		case next := <-w.control.news.stages:
			clock.enter(next)
			continue
		case <-clock.whole.C:
		case <-clock.part.C:
			part = true
		}
		if !s.isLate(w, clock) {
			continue
		}
		return s.tooLate(w, clock, part)
	}
}

// isLate is whether a start that has used its time may have no more.
func (s *Supervisor) isLate(w *Worker, clock *startTime) bool {
	// An attached worker takes the time that it needs.
	if w.attached || w.Debugged(s.life) {
		clock.again()
		return false
	}
	return true
}

// first takes the event that ends the import and the start-up code.
func (s *Supervisor) first(w *Worker, e event) error {
	if e.text("event") == "ready" {
		w.Info, w.Readied = readyInfo(e), time.Now()
		if w.generation.Spare {
			s.learn(e)
		}
		return nil
	}
	failed := &StartupError{
		ExitCode: ExitCannotStart, Worker: w.ID,
		Stage: e.text("stage"), Summary: e.text("error"), Traceback: e.text("traceback"),
	}
	if failed.Stage == "import" {
		failed.ExitCode = ExitCannotImport
	}
	if failed.Summary == "" {
		failed.Summary = "the worker did not say why"
	}
	// The shim exits by itself, with the code of its choice; its exit hooks may not
	// take for ever.
	grace := time.NewTimer(startingGrace)
	defer grace.Stop()
	select {
	case <-w.gone:
	case <-grace.C:
	case <-s.life.Done():
	}
	w.Kill(ReasonFailedStart, "it did not exit after it had failed to start")
	<-w.gone
	w.reason = ReasonFailedStart
	return failed
}

// open has the Pool make w ready for requests. On an error the worker is gone, and the Pool is still to be told.
func (s *Supervisor) open(ctx context.Context, w *Worker, clock *startTime) error {
	inTime, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan error, 1)
	go func() { opened <- s.pool.Open(inTime, w) }()
	clock.enter(stage{name: "warmup", what: "it did not answer"})
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-opened:
			waiting = false
		case <-w.gone:
			cancel()
			if err := <-opened; err != nil {
				w.log.Debug("the worker is gone", "meanwhile", err) // which says more
			}
			return w.diedStarting()
		case <-clock.whole.C:
			if !s.isLate(w, clock) {
				continue
			}
			cancel()
			if err = <-opened; err != nil {
				clock.enter(stage{name: "warmup", what: err.Error()})
				return s.tooLate(w, clock, false)
			}
			waiting = false // it was ready at the last moment
		}
	}
	switch {
	case err == nil && w.compareAndSwap(Starting, Ready):
		return nil
	case err == nil:
		<-w.gone
		return w.diedStarting()
	case ctx.Err() != nil:
		s.end(w, endingOf(ctx), startingGrace)
		return fmt.Errorf("cannot wait for %s to become ready: %w", w, errToldToStop)
	}
	if w.attached { // asked to stop, it could not be told from one that ended by itself
		grace := time.NewTimer(faultGrace)
		defer grace.Stop()
		select {
		case <-w.gone:
			return w.diedStarting()
		case <-grace.C:
		}
	}
	s.end(w, ending{ReasonFailedStart, err.Error()}, startingGrace)
	if w.reason != ReasonFailedStart { // its death is what made it fail
		return w.diedStarting()
	}
	return &StartupError{ExitCode: ExitCannotStart, Worker: w.ID, Stage: "warmup", Summary: err.Error()}
}

// diedStarting is the error of a worker that is gone and was not asked to.
func (w *Worker) diedStarting() error {
	code := ExitCannotStart
	if w.code == ExitCannotImport {
		code = ExitCannotImport
	}
	return &StartupError{ExitCode: code, Worker: w.ID, Stage: "exit", Summary: w.cause.Error()}
}

// tooLate ends a worker that hangs, its stacks in the log first.
func (s *Supervisor) tooLate(w *Worker, clock *startTime, part bool) error {
	reason, summary := clock.exceeded(w, part)
	ctx, cancel := context.WithTimeout(s.life, dumpPatience)
	defer cancel()
	if err := w.Dump(ctx); err != nil && !errors.Is(err, errControlEnded) {
		w.log.Warn(err.Error())
	}
	w.Kill(ReasonStartupTimeout, reason)
	<-w.gone
	return &StartupError{ExitCode: ExitCannotStart, Worker: w.ID, Stage: "timeout", Summary: summary}
}

// drain has w get no more requests. Called by who ends it, at most once before end, with the same bounds.
func (s *Supervisor) drain(w *Worker, why ending, within time.Duration) {
	ctx, cancel := s.within(w, within)
	defer cancel()
	w.stopFor(why)
	w.compareAndSwap(Ready, Draining)
	w.empty = s.pool.Drain(w, insistAt(ctx))
}

// within is the time that a worker has to end.
func (s *Supervisor) within(w *Worker, within time.Duration) (context.Context, context.CancelFunc) {
	if within == 0 {
		within = w.generation.ShutdownTimeout
	}
	return s.stopping(within)
}

// end drains w, stops it and waits until it is gone; within bounds that, 0: its generation's
// time. A worker that is gone already costs nothing.
func (s *Supervisor) end(w *Worker, why ending, within time.Duration) {
	ctx, cancel := s.within(w, within)
	defer cancel()
	if w.empty == nil {
		s.drain(w, why, within)
	}
	if !s.debuggedUntil(ctx, w) {
		w.retire(ctx, w.empty)
		return
	}
	ctx, cancel = s.within(w, within) // anew, as it was nobody's fault
	defer cancel()
	w.retire(ctx, w.empty)
}

// debuggedUntil waits until w holds no request, or its time to finish them is over. Where somebody debugs it then, that
// waits for the end of this, and it is true; but a server that stops waits for no debugger.
func (s *Supervisor) debuggedUntil(ctx context.Context, w *Worker) bool {
	at := insistAt(ctx)
	if at.IsZero() {
		return false
	}
	over := time.NewTimer(time.Until(at))
	defer over.Stop()
	for debugged := false; ; debugged = true {
		select {
		case <-w.empty:
			return debugged
		case <-w.gone:
			return debugged
		case <-s.active.Done():
			return false
		case <-over.C:
		}
		if s.leaving.Load() || !w.Debugged(s.life) {
			return debugged
		}
		over.Reset(debuggedAgain)
	}
}

// over is called once for every worker that is gone, after the Pool was told.
func (s *Supervisor) over(sl *slot, w *Worker) {
	sl.untrack(w)
	if s.settings.Ended != nil {
		s.settings.Ended(w.reason)
	}
}

// givenUp is the cause of a context that ends a launch: what its worker is told to stop for.
type givenUp struct{ ending }

func (g givenUp) Error() string { return g.String() }

// endingOf is the reason that a launch's context ended for.
func endingOf(ctx context.Context) ending {
	if g, ok := errors.AsType[givenUp](context.Cause(ctx)); ok {
		return g.ending
	}
	return ending{reason: ReasonStopped}
}
