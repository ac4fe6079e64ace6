package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
)

// ErrStopped is the cause given to Pool.Lost, wrapped, when a worker ended as it was
// asked to.
var ErrStopped = errors.New("stopped as asked")

// Exit codes of a worker, and of the gateway when no worker ever became ready.
const (
	ExitCannotStart  = 3 // lifespan, interface, threads, or anything but the import
	ExitCannotImport = 4 // the application could not be imported
)

// exit is how a worker ended, as far as its process tells.
type exit struct {
	who    string
	status syscall.WaitStatus
	doing  State  // that it was in
	asked  bool   // it had been told to stop
	why    ending // what for
	killed ending // why the gateway killed it; no detail when it did not
}

// orderly is whether it ended as it was asked to.
func (e *exit) orderly() bool {
	switch {
	case !e.asked:
		return false
	case e.status.Signaled():
		return e.status.Signal() == syscall.SIGTERM
	}
	return e.status.ExitStatus() == 0 || e.status.ExitStatus() == e.why.reason.ExitCode()
}

// cause says why the worker ended, also in words.
func (e *exit) cause() (Reason, error) {
	while := ""
	switch e.doing {
	case Starting:
		while = " while starting"
	case Ready:
		while = " while serving"
	case Draining:
		while = " while draining"
	case Stopped, Failed: // reaped before: nothing to add
	}
	status := e.status
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && e.killed.detail != "":
		return e.killed.reason, fmt.Errorf("%s was killed: %s", e.who, e.killed.detail)
	case status.Signaled() && e.orderly():
		return e.why.reason, fmt.Errorf("%s ended by SIGTERM: %w: %s", e.who, ErrStopped, e.why)
	case status.Signaled():
		core := ""
		if status.CoreDump() {
			core = ", core dumped"
		}
		return ReasonCrashed, fmt.Errorf("%s was killed by %s%s%s%s", e.who, signalName(status.Signal()), while, signalHint(status.Signal()), core)
	case e.orderly():
		return e.why.reason, fmt.Errorf("%s %w: %s", e.who, ErrStopped, e.why)
	case status.ExitStatus() == 0:
		return ReasonExited, fmt.Errorf("%s exited with status 0%s without being asked (did the application call sys.exit or os._exit?)", e.who, while)
	}
	return ReasonExited, fmt.Errorf("%s exited with status %d%s", e.who, status.ExitStatus(), while)
}

// signalHint is what usually sends a signal, for the log's reader.
func signalHint(sig syscall.Signal) string {
	switch sig {
	case syscall.SIGKILL:
		return " (out of memory? the kernel's log tells)"
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE:
		return " (a crash in Python or in an extension module; PYTHONFAULTHANDLER=1 shows where)"
	case syscall.SIGABRT:
		return " (abort in Python or in an extension module)"
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return " (sent from outside the gateway)"
	case syscall.SIGXCPU:
		return " (CPU time limit)"
	}
	return ""
}

// signalName is the signal's name in the C headers where it has a well-known one.
func signalName(sig syscall.Signal) string {
	for _, s := range []struct {
		sig  syscall.Signal
		name string
	}{
		{syscall.SIGKILL, "SIGKILL"},
		{syscall.SIGTERM, "SIGTERM"},
		{syscall.SIGSEGV, "SIGSEGV"},
		{syscall.SIGABRT, "SIGABRT"},
		{syscall.SIGBUS, "SIGBUS"},
		{syscall.SIGINT, "SIGINT"},
		{syscall.SIGQUIT, "SIGQUIT"},
		{syscall.SIGHUP, "SIGHUP"},
		{syscall.SIGILL, "SIGILL"},
		{syscall.SIGFPE, "SIGFPE"},
		{syscall.SIGPIPE, "SIGPIPE"},
		{syscall.SIGALRM, "SIGALRM"},
		{syscall.SIGUSR1, "SIGUSR1"},
		{syscall.SIGUSR2, "SIGUSR2"},
		{syscall.SIGXCPU, "SIGXCPU"},
	} {
		if s.sig == sig {
			return s.name
		}
	}
	return fmt.Sprintf("signal %d", int(sig))
}

// StartupError says why the workers could not be started. It is Start's error
// for everything that happens inside a worker.
type StartupError struct {
	ExitCode  int    // ExitCannotStart or ExitCannotImport: the gateway's own exit code
	Worker    string // which worker it was
	Stage     string // import, interface, hook, lifespan (told by the worker); spawn, exit, timeout, warmup (seen from outside)
	Summary   string // one line
	Traceback string // as Python prints it, with its line ends; "" when there is none
}

func (e *StartupError) Error() string {
	switch e.Stage {
	case "import":
		return "cannot import the application: " + e.Summary
	case "interface":
		return "cannot serve the application: " + e.Summary
	case "hook":
		return "cannot start the application: its lifecycle hook failed: " + e.Summary
	case "preload":
		return "cannot preload the application: " + e.Summary
	case "lifespan":
		return "cannot start the application: its lifespan startup failed: " + e.Summary
	}
	return "cannot start the workers: " + e.Summary
}

// lines are the traceback's lines as the log can take them.
func (e *StartupError) lines() []string {
	var lines []string
	for line := range strings.Lines(e.Traceback) {
		lines = append(lines, printable([]byte(strings.TrimRight(line, "\r\n"))))
	}
	return lines
}

// LogStartup writes why workers did not start to the log, a *StartupError's traceback line by line; more are attributes of
// the last line.
func LogStartup(log *slog.Logger, err error, more ...any) {
	if e, ok := errors.AsType[*StartupError](err); ok {
		for _, line := range e.lines() {
			log.Error(line, "worker", e.Worker)
		}
	}
	log.Error(err.Error(), more...)
}
