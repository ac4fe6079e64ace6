//go:build linux

package netpolledge

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// writer waits for room in the sockets of slow clients: an epoll loop on a goroutine of its own.
type writer struct {
	epoll, wake int
	done        chan struct{}
	running     bool

	mu    sync.Mutex
	conns map[int32]*conn // by descriptor
}

func newWriter() (*writer, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot create an epoll instance: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
	}
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("cannot create an event descriptor: %w", err)
	}
	return &writer{epoll: ep, wake: wake, done: make(chan struct{}), conns: map[int32]*conn{}}, nil
}

// watch arms one event. Called by the session's owner.
func (w *writer) watch(c *conn) {
	fd := int32(c.fd)
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: fd}
	w.mu.Lock()
	defer w.mu.Unlock()
	op := unix.EPOLL_CTL_ADD
	if w.conns[fd] == c {
		op = unix.EPOLL_CTL_MOD
	}
	w.conns[fd] = c
	if err := unix.EpollCtl(w.epoll, op, c.fd, &ev); err != nil {
		// Out of kernel memory: the client cannot be served on.
		go c.session.Closed()
	}
}

// forget must come before the descriptor is closed: the registration belongs to the
// open socket, which netpoll's descriptor keeps alive.
func (w *writer) forget(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, int32(c.fd))
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
}

func (w *writer) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, ev := range events[:max(n, 0)] {
			if ev.Fd == int32(w.wake) {
				return
			}
			w.mu.Lock()
			c := w.conns[ev.Fd]
			w.mu.Unlock()
			if c != nil {
				c.session.Writable()
			}
		}
	}
}

func (w *writer) stop() {
	_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-w.done
	_ = unix.Close(w.epoll)
	_ = unix.Close(w.wake)
}
