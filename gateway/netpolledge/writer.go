//go:build linux

package netpolledge

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// writer waits for room in the sockets of slow clients: an epoll loop on a goroutine of its own,
// from newWriter to stop.
type writer struct {
	epoll, wake int
	done        chan struct{}

	mu      sync.Mutex
	waiters map[int32]waiter // by descriptor
}

// waiter is told that there is room; an event may be late, and meant for the descriptor's
// earlier owner.
type waiter interface{ Writable() }

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
		if wake >= 0 {
			_ = unix.Close(wake)
		}
		return nil, fmt.Errorf("cannot create an event descriptor: %w", err)
	}
	w := &writer{epoll: ep, wake: wake, done: make(chan struct{}), waiters: map[int32]waiter{}}
	go w.run()
	return w, nil
}

// watch arms one event. Called by the descriptor's owner.
func (w *writer) watch(fd int, who waiter) {
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(fd)}
	w.mu.Lock()
	defer w.mu.Unlock()
	op := unix.EPOLL_CTL_ADD
	if _, ok := w.waiters[int32(fd)]; ok {
		op = unix.EPOLL_CTL_MOD
	}
	w.waiters[int32(fd)] = who
	if err := unix.EpollCtl(w.epoll, op, fd, &ev); err != nil {
		// Out of kernel memory. Trying to write is all that is left; not from here, where
		// the caller has not returned.
		go who.Writable()
	}
}

// forget must come before the descriptor is closed: the registration belongs to the
// open socket, which netpoll's descriptor keeps alive.
func (w *writer) forget(fd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters, int32(fd))
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, fd, nil)
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
			who := w.waiters[ev.Fd]
			w.mu.Unlock()
			if who != nil {
				who.Writable()
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
