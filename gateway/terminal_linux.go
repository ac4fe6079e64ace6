package gateway

import (
	"errors"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// terminal is the one that the gateway was started from. Under reload.enabled the debugger of a worker may have it:
// the worker makes itself its foreground job, and gives it back. Where it has died instead, the gateway takes it back.
type terminal struct {
	fd         int
	group      int           // the gateway's process group
	attributes *unix.Termios // as they were at the start

	mu      sync.Mutex
	holders map[int]struct{} // process ids of workers that stand in a debugger
}

// openTerminal is nil where the gateway is no foreground job, or its standard input no terminal.
func openTerminal() *terminal {
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	t := &terminal{fd: fd, group: unix.Getpgrp(), holders: map[int]struct{}{}}
	foreground, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err == nil {
		t.attributes, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	}
	if err != nil || foreground != t.group {
		_ = unix.Close(fd)
		return nil
	}
	return t
}

// offered is the process group that gives it away; 0: there is none.
func (t *terminal) offered() int {
	if t == nil {
		return 0
	}
	return t.group
}

// standing is told that a worker stands in a debugger, or has left it. It does not block.
func (t *terminal) standing(pid int, on bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if on {
		t.holders[pid] = struct{}{}
	} else {
		delete(t.holders, pid)
	}
}

// reclaim takes the terminal back from a worker that is gone. It is called whenever one is.
func (t *terminal) reclaim() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for pid := range t.holders {
		if !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		delete(t.holders, pid)
		if foreground, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP); err == nil && foreground == pid {
			t.restore()
		}
	}
}

// restore makes the gateway the foreground job again, which the system lets one in the background do only with the
// signal for that off.
func (t *terminal) restore() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, block unix.Sigset_t
	block.Val[0] = 1 << (unix.SIGTTOU - 1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before) != nil {
		return
	}
	_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, t.group) // the terminal may be gone
	_ = unix.IoctlSetTermios(t.fd, unix.TCSETSW, t.attributes)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
}

// close lets go of it.
func (t *terminal) close() {
	if t != nil {
		_ = unix.Close(t.fd)
	}
}
