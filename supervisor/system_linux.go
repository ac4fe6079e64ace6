package supervisor

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"pyspeed/internal/process"
)

// anonymousFile returns an empty file that exists in memory only.
func anonymousFile(name string) (*os.File, error) {
	fd, err := memfd(name)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old kernel, seccomp
		return tempAnonymousFile(name)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func memfd(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Where vm.memfd_noexec is 2 only files that can never be executed may be
	// made; kernels before 6.3 do not know the flag.
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

// newArchive puts the zip into memory, sealed so that no worker can change what
// the next one runs.
func newArchive(zip []byte) (*archive, error) {
	if _, err := os.Stat("/proc/self/fd"); err != nil { // a chroot without /proc
		return newTempArchive(zip)
	}
	fd, err := memfd("pyspeed-shim")
	if err != nil {
		return newTempArchive(zip)
	}
	file := os.NewFile(uintptr(fd), "pyspeed-shim")
	if _, err := file.Write(zip); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS,
		unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		return nil, errors.Join(os.NewSyscallError("F_ADD_SEALS", err), file.Close())
	}
	return &archive{file: file, path: "/proc/self/fd/6"}, nil
}

// socketpair returns two connected stream sockets that no other child inherits.
func socketpair() (fds [2]int, err error) {
	fds, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	return fds, os.NewSyscallError("socketpair", err)
}

// processAttributes: a group of its own, and SIGKILL when the thread that
// forked it is gone; see spawner.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reap waits until the process has ended, and sweeps its group while it is a
// zombie: until it is reaped its id, and so its group's, cannot mean another process.
func (w *Worker) reap() (syscall.WaitStatus, error) {
	for {
		err := unix.Waitid(unix.P_PID, w.PID, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break // ended; any error will show again below
		}
	}
	w.killing.Lock()
	defer w.killing.Unlock()
	w.sweep()
	status, err := w.process.wait()
	w.reaped = true
	return status, err
}

// endReading makes the peer's death certain for readers: what was sent can still be
// read, then comes EOF, even while a forked child of the worker holds its end.
func endReading(c *net.UnixConn) { _ = c.CloseRead() }

// told is what only the process can tell of itself: nothing.
type told struct{} //nolint:unused // on other systems it holds something

// resident is the process's resident memory in bytes, 0 when it is gone.
func (w *Worker) resident() int64 {
	usage, err := process.Look(w.PID)
	if err != nil {
		return 0
	}
	return usage.Resident
}

// measure does nothing: resident knows.
func (w *Worker) measure(context.Context) {}
