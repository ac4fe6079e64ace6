//go:build linux

package netpolledge

import (
	"context"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"pyspeed/gateway/http1"
)

// conn is the Transport of one session, and the context netpoll carries for it.
// Everything but session belongs to the session's owner.
type conn struct {
	context.Context
	session *http1.Session
	writer  *writer
	fd      int // a duplicate of the connection's descriptor
	watched bool
	closed  bool
}

func (c *conn) Write(a, b []byte) (int, error) { return writeSome(c.fd, a, b) }

// writeSome sends a then b without blocking. The raw system call leaves the scheduler
// alone: the descriptor never blocks.
func writeSome(fd int, a, b []byte) (int, error) {
	var n uintptr
	var errno syscall.Errno
	for {
		switch {
		case len(b) == 0:
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(len(a)))
		case len(a) == 0:
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		default:
			iov := [2]syscall.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
			iov[0].SetLen(len(a))
			iov[1].SetLen(len(b))
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 2)
		}
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// Splice implements http1.PipeTransport. As in writeSome the scheduler does not hear of it: neither end blocks.
func (c *conn) Splice(pipe, n int) (int, error) {
	for {
		sent, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, uintptr(pipe), 0, uintptr(c.fd), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch errno {
		case 0:
			return int(sent), nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func (c *conn) WaitWritable() {
	c.watched = true
	c.writer.watch(c.fd, c.session)
}

// Spilling makes the kernel take less of this body ahead of us: netpoll reads
// whatever has arrived, and the disk is slower than the network.
func (c *conn) Spilling() {
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 128<<10)
}

func (c *conn) CloseWrite() bool {
	_ = unix.Shutdown(c.fd, unix.SHUT_WR) // the client may be gone, which the poller tells
	return true
}

func (c *conn) Close() {
	if c.closed {
		return
	}
	c.closed = true
	if c.watched {
		c.writer.forget(c.fd)
	}
	// Errors: the client may be gone already, which is what we want.
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	_ = unix.Close(c.fd)
}
