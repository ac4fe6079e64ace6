//go:build unix && !linux

package supervisor

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// anonymousFile returns an empty file without a name.
func anonymousFile(name string) (*os.File, error) { return tempAnonymousFile(name) }

func newArchive(zip []byte) (*archive, error) { return newTempArchive(zip) }

// socketpair returns two connected stream sockets that no other child inherits.
func socketpair() (fds [2]int, err error) {
	syscall.ForkLock.RLock() // no fork between the two calls
	defer syscall.ForkLock.RUnlock()
	fds, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return fds, os.NewSyscallError("socketpair", err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return fds, nil
}

// processAttributes: a group of its own. The gateway's death reaches the worker
// as EOF on its control socket only.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// reap waits until the process has ended. Its group is swept right after, as
// there is no portable way to keep the zombie.
func (w *Worker) reap() (syscall.WaitStatus, error) {
	status, err := w.process.wait()
	w.killing.Lock()
	defer w.killing.Unlock()
	w.reaped = true
	w.sweep()
	return status, err
}

// endReading bounds how long a forked child of the dead worker can keep readers
// waiting. Shutting the socket down would discard what was sent but not yet read.
func endReading(c *net.UnixConn) { _ = c.SetReadDeadline(time.Now().Add(time.Second)) }

// told is what only the process can tell of itself.
type told struct{ rss atomic.Int64 }

// resident is the process's resident memory in bytes, as measure last learnt it; 0: never.
func (w *Worker) resident() int64 { return w.rss.Load() }

// measure asks the worker.
func (w *Worker) measure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, measurePatience)
	defer cancel()
	if e, err := w.control.ask(ctx, map[string]any{"cmd": "stats"}, "stats"); err == nil {
		w.rss.Store(int64(e.number("rss_kib")) << 10)
	}
}

// measurePatience is how long a worker may take to tell its memory.
const measurePatience = time.Second
