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
	f := func(status syscall.WaitStatus, doing State, asked bool, killed, want string, orderly bool) {
		t.Helper()
		got := exitCause("worker 2 (pid 123)", status, doing, asked, killed)
		if got.Error() != "worker 2 (pid 123) "+want || errors.Is(got, ErrStopped) != orderly {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(exited(0), Draining, true, "", "stopped as asked", true)
	f(exited(0), Ready, false, "", "exited with status 0 while serving without being asked (did the application call sys.exit or os._exit?)", false)
	f(exited(3), Starting, false, "", "exited with status 3 while starting", false)
	f(exited(1), Draining, true, "", "exited with status 1 while draining", false)
	f(by(syscall.SIGTERM), Draining, true, "", "ended by SIGTERM: stopped as asked", true)
	f(by(syscall.SIGTERM), Ready, false, "", "was killed by SIGTERM while serving (sent from outside the gateway)", false)
	f(by(syscall.SIGKILL), Ready, false, "", "was killed by SIGKILL while serving (out of memory? the kernel's log tells)", false)
	f(by(syscall.SIGKILL), Draining, true, "it did not stop", "was killed: it did not stop", false)
	f(by(syscall.SIGKILL), Draining, true, "", "was killed by SIGKILL while draining (out of memory? the kernel's log tells)", false)
	f(by(syscall.SIGSEGV)|core, Ready, false, "", "was killed by SIGSEGV while serving (a crash in Python or in an extension module; PYTHONFAULTHANDLER=1 shows where), core dumped", false)
	f(by(syscall.SIGSEGV), Ready, false, "came too late", "was killed by SIGSEGV while serving (a crash in Python or in an extension module; PYTHONFAULTHANDLER=1 shows where)", false)
	f(by(syscall.SIGABRT), Ready, false, "", "was killed by SIGABRT while serving (abort in Python or in an extension module)", false)
	f(by(40), Ready, false, "", "was killed by signal 40 while serving", false)
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
