package supervisor

import (
	"context"
	"time"
)

// debuggedPatience is how long a worker may take to say whether a debugger is connected to it.
const debuggedPatience = time.Second

// debuggedAgain is how often it is asked whether a debugger still holds a worker that is to end.
const debuggedAgain = 500 * time.Millisecond

// Debugged reports whether somebody debugs the worker's process: its application stands in a debugger on the
// terminal or waits at another one's prompt, an editor is connected (debugpy), or gdb, strace or the like trace it.
// Whoever is about to enforce a time limit on the worker asks before, and lets the limit begin anew when it is
// true: time in a debugger is nobody's fault.
//
// It may be called from any goroutine, and blocks for a second at most, or until ctx ends.
func (w *Worker) Debugged(ctx context.Context) bool {
	on := w.debugged(ctx)
	if told := w.control.news.told.Swap(on); on && !told {
		w.log.Info("somebody debugs the worker: its time limits wait")
	}
	return on
}

func (w *Worker) debugged(ctx context.Context) bool {
	if w.control.news.debugger.Load() || traced(w.PID) {
		return true
	}
	// What is left only the process itself knows. Where its interpreter is held, so that it cannot answer, no
	// Python debugger runs either.
	ctx, cancel := context.WithTimeout(ctx, debuggedPatience)
	defer cancel()
	e, err := w.control.ask(ctx, map[string]any{"cmd": "debugged"}, "debugged")
	return err == nil && e.flag("on")
}
