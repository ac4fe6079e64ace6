package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// launch spawns one worker and waits until it is ready. On an error the worker
// is gone. Runs on the slot's goroutine.
func (s *Supervisor) launch(sl *slot, id string) (*Worker, error) {
	w, err := s.spawn(id, sl.number)
	if err != nil {
		return nil, &StartupError{ExitCode: ExitCannotStart, Worker: id, Stage: "spawn", Summary: err.Error()}
	}
	sl.setWorker(w)
	w.log.Info("worker started", "pid", w.PID)
	if err := s.await(w, sl.retired); err != nil {
		w.Release()
		return nil, err
	}
	w.log.Info("worker ready", "pid", w.PID, "interface", w.Info.Interface, "python", w.Info.Python,
		"after", w.Readied.Sub(w.Started).Round(time.Millisecond))
	return w, nil
}

// await sends `start` and waits for the answer. On an error the worker is gone.
func (s *Supervisor) await(w *Worker, retired <-chan struct{}) error {
	start := maps.Clone(s.settings.Start)
	if start == nil {
		start = make(map[string]any)
	}
	start["cmd"], start["worker_id"] = "start", w.ID
	if err := w.control.send(start); err != nil {
		// A worker that is dead already shows its reason below.
		w.log.Debug("cannot send the start message", "error", err)
	}
	clock := s.newStartTime()
	defer clock.stop()
	for {
		part := false
		select {
		case e := <-w.control.first:
			return s.first(w, e)
		case <-w.gone:
			return s.goneWhileStarting(w)
		case <-retired:
			w.quit(s.life)
			return fmt.Errorf("cannot wait for %s to become ready: it was told to stop", w)
		case next := <-w.control.news.stages:
			clock.enter(next)
			continue
		case <-clock.whole.C:
		case <-clock.part.C:
			part = true
		}
		// An attached worker takes the time that it needs.
		if w.attached || w.Debugged(s.life) {
			clock.again()
			continue
		}
		reason, summary := clock.exceeded(w, part)
		s.dumpAndKill(w, reason)
		return &StartupError{ExitCode: ExitCannotStart, Worker: w.ID, Stage: "timeout", Summary: summary}
	}
}

// goneWhileStarting says why a worker that is gone did not become ready.
func (s *Supervisor) goneWhileStarting(w *Worker) error {
	select { // what it said last counts more than how it exited
	case e := <-w.control.first:
		return s.first(w, e)
	default:
	}
	code := ExitCannotStart
	if w.code == ExitCannotImport {
		code = ExitCannotImport
	}
	return &StartupError{ExitCode: code, Worker: w.ID, Stage: "exit", Summary: w.cause.Error()}
}

// first takes the event that ends the start-up.
func (s *Supervisor) first(w *Worker, e event) error {
	if e.text("event") == "ready" {
		w.Info, w.Readied = readyInfo(e), time.Now()
		if w.compareAndSwap(Starting, Ready) {
			return nil
		}
		<-w.gone // ready, and dead right after
		return &StartupError{ExitCode: ExitCannotStart, Worker: w.ID, Stage: "exit", Summary: w.cause.Error()}
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
	w.Kill("it did not exit after it had failed to start")
	<-w.gone
	return failed
}

// dumpAndKill ends a worker that hangs, its stacks in the log first.
func (s *Supervisor) dumpAndKill(w *Worker, reason string) {
	ctx, cancel := context.WithTimeout(s.life, dumpPatience)
	defer cancel()
	if err := w.Dump(ctx); err != nil && !errors.Is(err, errControlEnded) {
		w.log.Warn(err.Error())
	}
	w.Kill(reason)
	<-w.gone
}

// tracebackLines are the traceback's lines as the log can take them.
func (e *StartupError) tracebackLines() []string {
	var lines []string
	for line := range strings.Lines(e.Traceback) {
		lines = append(lines, printable([]byte(strings.TrimRight(line, "\r\n"))))
	}
	return lines
}
