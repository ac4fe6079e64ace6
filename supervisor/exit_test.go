package supervisor

import (
	"errors"
	"syscall"
	"testing"
)

func TestExitCause(t *testing.T) {
	const core = 0x80 // of a wait status: the lowest seven bits are the signal
	exited := func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	by := func(sig syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(sig) }
	f := func(status syscall.WaitStatus, doing State, asked bool, killed, want string, reason Reason) {
		t.Helper()
		e := exit{who: "worker 2 (pid 123)", status: status, doing: doing, asked: asked}
		if asked {
			e.why = ending{ReasonRequestTimeout, "GET /slow"}
		}
		if killed != "" {
			e.killed = ending{ReasonHung, killed}
		}
		why, got := e.cause()
		orderly := reason == ReasonRequestTimeout
		if got.Error() != "worker 2 (pid 123) "+want || why != reason || errors.Is(got, ErrStopped) != orderly || e.orderly() != orderly {
			t.Errorf("%v, %q, want %v, %q", why, got, reason, want)
		}
	}
	f(exited(0), Draining, true, "", "stopped as asked: a request took too long (server.timeouts.request): GET /slow", ReasonRequestTimeout)
	f(exited(5), Draining, true, "", "stopped as asked: a request took too long (server.timeouts.request): GET /slow", ReasonRequestTimeout)
	f(exited(5), Ready, false, "", "exited with status 5 while serving", ReasonExited)
	f(exited(0), Ready, false, "", "exited with status 0 while serving without being asked (did the application call sys.exit or os._exit?)", ReasonExited)
	f(exited(3), Starting, false, "", "exited with status 3 while starting", ReasonExited)
	f(exited(1), Draining, true, "", "exited with status 1 while draining", ReasonExited)
	f(by(syscall.SIGTERM), Draining, true, "", "ended by SIGTERM: stopped as asked: a request took too long (server.timeouts.request): GET /slow", ReasonRequestTimeout)
	f(by(syscall.SIGTERM), Ready, false, "", "was killed by SIGTERM while serving (sent from outside the gateway)", ReasonCrashed)
	f(by(syscall.SIGKILL), Ready, false, "", "was killed by SIGKILL while serving (out of memory? the kernel's log tells)", ReasonCrashed)
	f(by(syscall.SIGKILL), Draining, true, "it did not stop", "was killed: it did not stop", ReasonHung)
	f(by(syscall.SIGKILL), Draining, true, "", "was killed by SIGKILL while draining (out of memory? the kernel's log tells)", ReasonCrashed)
	f(by(syscall.SIGSEGV)|core, Ready, false, "", "was killed by SIGSEGV while serving (a crash in Python or in an extension module; PYTHONFAULTHANDLER=1 shows where), core dumped", ReasonCrashed)
	f(by(syscall.SIGSEGV), Ready, false, "came too late", "was killed by SIGSEGV while serving (a crash in Python or in an extension module; PYTHONFAULTHANDLER=1 shows where)", ReasonCrashed)
	f(by(syscall.SIGABRT), Ready, false, "", "was killed by SIGABRT while serving (abort in Python or in an extension module)", ReasonCrashed)
	f(by(40), Ready, false, "", "was killed by signal 40 while serving", ReasonCrashed)
}

func TestStartupErrorText(t *testing.T) {
	f := func(stage, want string) {
		t.Helper()
		if got := (&StartupError{Stage: stage, Summary: "X: y"}).Error(); got != want {
			t.Errorf("stage %s: %q, want %q", stage, got, want)
		}
	}
	f("import", "cannot import the application: X: y")
	f("interface", "cannot serve the application: X: y")
	f("hook", "cannot start the application: its lifecycle hook failed: X: y")
	f("lifespan", "cannot start the application: its lifespan startup failed: X: y")
	f("timeout", "cannot start the workers: X: y")
}
