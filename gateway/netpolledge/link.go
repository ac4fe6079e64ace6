//go:build linux

package netpolledge

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"pyspeed/fcgi"
)

// Loop drives workers' sockets with the poller that serves the clients: an answer goes from
// the worker's socket to the client's without a change of goroutine, and the requests
// of one turn of the poller travel in one write. It implements fcgi.Loop.
type Loop struct{ writer *writer }

// NewLoop makes a loop.
func NewLoop() (*Loop, error) {
	if err := configure(); err != nil {
		return nil, fmt.Errorf("cannot set up netpoll: %w", err)
	}
	w, err := newWriter()
	if err != nil {
		return nil, err
	}
	return &Loop{writer: w}, nil
}

// Close frees the loop; all its links must have been released.
func (l *Loop) Close() { l.writer.stop() }

// link implements fcgi.Link. Its users call one method at a time.
type link struct {
	handler fcgi.Handler
	writer  *writer
	fd      int // a duplicate, for writing and shutdown; netpoll has and closes the other
	wake    int // the end of a pipe whose other end netpoll reads: the last thing of a turn
	watched bool
}

// Attach implements fcgi.Loop. nc itself is closed: Go's own poller would wake up for it too.
func (l *Loop) Attach(nc net.Conn, h fcgi.Handler) (fcgi.Link, error) {
	fds, err := duplicate(nc)
	if err != nil {
		return nil, err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		return nil, fmt.Errorf("cannot create a pipe: %w", err)
	}
	k := &link{handler: h, writer: l.writer, fd: fds[1], wake: pipe[1]}
	wake, err := netpoll.NewFDConnection(pipe[0])
	if err == nil {
		err = wake.SetOnRequest(func(_ context.Context, c netpoll.Connection) error {
			r := c.Reader()
			if err := r.Skip(r.Len()); err != nil {
				return err
			}
			h.Wake()
			return r.Release()
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot register a pipe: %w", err)
	}
	data, err := netpoll.NewFDConnection(fds[0])
	if err != nil {
		return nil, fmt.Errorf("cannot register a worker's socket: %w", err)
	}
	err = data.(interface {
		SetOnDisconnect(netpoll.OnDisconnect) error
	}).SetOnDisconnect(func(context.Context, netpoll.Connection) { h.Closed(nil) })
	if err == nil {
		err = data.SetOnRequest(func(_ context.Context, c netpoll.Connection) error {
			r := c.Reader()
			p, err := r.Next(r.Len())
			if err != nil {
				return err
			}
			h.Feed(p)
			full := len(p) >= netpollRead
			if err := r.Release(); err != nil || !full {
				return err
			}
			drain(fds[0], h.Feed)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot register a worker's socket: %w", err)
	}
	return k, nil
}

// duplicate returns two descriptors of nc's socket and closes nc.
func duplicate(nc net.Conn) (fds [2]int, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return fds, fmt.Errorf("cannot attach a %T: it has no descriptor", nc)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return fds, fmt.Errorf("cannot attach a connection: %w", err)
	}
	var dupErr error
	err = rc.Control(func(fd uintptr) {
		if fds[0], dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr != nil {
			return
		}
		if fds[1], dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr != nil {
			_ = unix.Close(fds[0])
		}
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return fds, fmt.Errorf("cannot duplicate a connection: %w", err)
	}
	_ = nc.Close() // the duplicates keep the socket
	return fds, nil
}

func (l *link) Wake() {
	b := [1]byte{}
	// A full pipe has a wake-up in it already.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(l.wake), uintptr(unsafe.Pointer(&b)), 1)
}

func (l *link) Write(p []byte) (int, error) { return writeSome(l.fd, p, nil) }

func (l *link) WaitWritable() {
	l.watched = true
	l.writer.watch(l.fd, l.handler)
}

func (l *link) Close() { _ = unix.Shutdown(l.fd, unix.SHUT_RDWR) }

// Expire: on Linux what was sent can still be read after this, and then there is an end
// whoever else holds the other side, so there is no need to wait.
func (l *link) Expire(time.Duration) { _ = unix.Shutdown(l.fd, unix.SHUT_RD) }

func (l *link) Release() {
	if l.watched {
		l.writer.forget(l.fd)
	}
	_ = unix.Close(l.fd)
	_ = unix.Close(l.wake) // netpoll sees the hang-up and closes the other end
}
