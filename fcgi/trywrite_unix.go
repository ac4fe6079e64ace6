//go:build unix

package fcgi

import (
	"errors"
	"net"
	"syscall"
)

// tryWriter writes what the socket takes at once and never waits. One call at a
// time.
type tryWriter struct {
	rc  syscall.RawConn
	f   func(fd uintptr) bool // kept, so that a call allocates nothing
	p   []byte
	n   int
	err error
}

// newTryWriter returns nil for a connection without a descriptor.
func newTryWriter(nc net.Conn) *tryWriter {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	t := &tryWriter{rc: rc}
	t.f = t.once
	return t
}

// write returns how much of p was taken; 0 when the socket is full.
func (t *tryWriter) write(p []byte) (int, error) {
	t.p, t.n, t.err = p, 0, nil
	if err := t.rc.Write(t.f); err != nil {
		return 0, err
	}
	t.p = nil
	return t.n, t.err
}

func (t *tryWriter) once(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), t.p)
		switch {
		case err == nil:
			t.n = n
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EAGAIN):
			t.err = err
		}
		return true // whatever came of it: waiting is the writing goroutine's
	}
}
