//go:build linux

package netpolledge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// listener accepts for netpoll. Its own one leaves close-on-exec off, so every worker would
// inherit the clients' sockets and keep them open.
//
// What netpoll waits for is not the socket but an epoll instance that holds the socket and
// an eventfd: that is how shutdown reaches it. Shutting the socket down instead would end it for
// whoever shares it with us, too: a supervisor that passed it on, or our successor.
type listener struct {
	net.Listener
	file     *os.File
	fd       int // file's
	ready    int // the epoll instance
	mu       sync.Mutex
	wake     int // the eventfd; -1 once it is closed
	tcp      bool
	log      *slog.Logger
	closing  atomic.Bool
	detached atomic.Bool // netpoll asks on a goroutine of its own, until nobody waits
	logged   time.Time   // accept errors are logged once a second
}

func newListener(ln net.Listener, log *slog.Logger) (*listener, error) {
	l := &listener{Listener: ln, log: log, ready: -1, wake: -1}
	var err error
	switch ln := ln.(type) {
	case *net.TCPListener:
		l.tcp = true
		l.file, err = ln.File()
	case *net.UnixListener:
		l.file, err = ln.File()
	default:
		return nil, fmt.Errorf("cannot serve a %T with netpoll", ln)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot duplicate the listener: %w", err)
	}
	l.fd = int(l.file.Fd())
	if err := l.watch(); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func (l *listener) watch() error {
	err := unix.SetNonblock(l.fd, true)
	if err != nil {
		return fmt.Errorf("cannot make the listener non-blocking: %w", err)
	}
	if l.ready, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("cannot create an epoll instance: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("cannot create an event descriptor: %w", err)
	}
	for _, fd := range [...]int{l.fd, l.wake} {
		if err := unix.EpollCtl(l.ready, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return fmt.Errorf("cannot watch the listener: %w", err)
		}
	}
	return nil
}

// Fd is what netpoll waits for.
func (l *listener) Fd() int { return l.ready }

// Accept returns nil, nil when nobody waits, as netpoll wants it. Called by its poller or, after
// EMFILE, by a goroutine of netpoll's that asks again until it gets nil, nil.
func (l *listener) Accept() (net.Conn, error) {
	if l.closing.Load() {
		if l.detached.CompareAndSwap(true, false) {
			return nil, nil // ends that goroutine; the poller asks next
		}
		return nil, net.ErrClosed
	}
	fd, sa, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	switch {
	case err == nil:
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		l.detached.Store(false)
		return nil, nil
	default:
		if now := time.Now(); now.Sub(l.logged) > time.Second {
			l.logged = now
			l.log.Error("cannot accept a connection; trying again", "address", l.Addr().String(), "cause", err)
		}
		// Out of descriptors, mostly, and the only error that netpoll makes a pause after.
		l.detached.Store(true)
		return nil, unix.EMFILE
	}
	if l.tcp {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // slower without, not wrong
	}
	return &accepted{fd: fd, local: l.Addr(), remote: address(sa)}, nil
}

// shutdown wakes the poller, which stops accepting.
func (l *listener) shutdown() {
	if !l.closing.CompareAndSwap(false, true) {
		return
	}
	l.mu.Lock()
	if l.wake >= 0 { // a client may have woken the poller before us
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes it always
	}
	l.mu.Unlock()
	_ = l.Listener.Close() // a unix socket's file goes with this
}

// Close frees the descriptors. The poller must have stopped.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fd := range [...]*int{&l.ready, &l.wake} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
	return l.file.Close()
}

func address(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	}
	return &net.UnixAddr{Net: "unix"}
}

// accepted carries a descriptor into netpoll, which uses nothing else of it.
type accepted struct {
	net.Conn
	fd            int
	local, remote net.Addr
}

func (a *accepted) Fd() int              { return a.fd }
func (a *accepted) LocalAddr() net.Addr  { return a.local }
func (a *accepted) RemoteAddr() net.Addr { return a.remote }
