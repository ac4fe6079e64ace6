//go:build unix

package fcgi

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeOnce returns how much of p a non-blocking descriptor took.
func writeOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		default:
			return 0, err
		}
	}
}

// hasRoom is whether a descriptor would take bytes now, or never again.
func hasRoom(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, syscall.EINTR) {
			return n != 0 || err != nil
		}
	}
}
