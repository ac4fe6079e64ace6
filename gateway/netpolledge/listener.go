//go:build linux

package netpolledge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// listener accepts for netpoll. Its own one leaves close-on-exec off, so every worker would
// inherit the clients' sockets and keep them open.
type listener struct {
	net.Listener
	file    *os.File
	fd      int
	tcp     bool
	log     *slog.Logger
	closing atomic.Bool
	logged  time.Time // accept errors are logged once a second
}

func newListener(ln net.Listener, log *slog.Logger) (*listener, error) {
	l := &listener{Listener: ln, log: log}
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
	if err := unix.SetNonblock(l.fd, true); err != nil {
		return nil, fmt.Errorf("cannot make the listener non-blocking: %w", err)
	}
	return l, nil
}

func (l *listener) Fd() int { return l.fd }

// Accept returns nil, nil when nobody waits, as netpoll wants it. Called by its poller.
func (l *listener) Accept() (net.Conn, error) {
	fd, sa, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	switch {
	case err == nil:
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		return nil, nil
	case l.closing.Load():
		return nil, net.ErrClosed
	default:
		if now := time.Now(); now.Sub(l.logged) > time.Second {
			l.logged = now
			l.log.Error("cannot accept a connection; trying again", "address", l.Addr().String(), "cause", err)
		}
		return nil, err
	}
	if l.tcp {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return &accepted{fd: fd, local: l.Addr(), remote: address(sa)}, nil
}

// shutdown wakes the poller, which finds the listener hung up and stops accepting.
func (l *listener) shutdown() {
	if l.closing.CompareAndSwap(false, true) {
		_ = unix.Shutdown(l.fd, unix.SHUT_RDWR)
		// A unix socket's file goes with this; the descriptor of ours stays until Close.
		_ = l.Listener.Close()
	}
}

func (l *listener) Close() error { return l.file.Close() }

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
