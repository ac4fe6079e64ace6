package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"pyspeed/fcgi"
)

// conn is one connection to a responder. One request at a time has it.
type conn struct {
	net.Conn
	at     *address
	reused bool          // it served a request before
	since  time.Duration // idle from then on
}

func dial(ctx context.Context, a *address, timeout time.Duration) (*conn, error) {
	d := net.Dialer{Timeout: timeout}
	nc, err := d.DialContext(ctx, a.Network, a.Address.Address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, at: a}, nil
}

// alive is whether an idle connection can be used: it is open, and its responder has said nothing since the last
// END_REQUEST. The look does not wait. What it says may be over a moment later; then the request fails.
func (c *conn) alive() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = rc.Read(func(fd uintptr) bool {
		var one [1]byte // bytes nobody asked for: the connection is given up, so reading them loses nothing
		_, err := syscall.Read(int(fd), one[:])
		quiet = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
		return true // whatever came of it: nobody waits here
	})
	return err == nil && quiet
}

// interrupt wakes whoever reads or writes. It does not block.
func (c *conn) interrupt() { _ = c.SetDeadline(time.Unix(1, 0)) }

// readBuffer is memory for any record.
type readBuffer [fcgi.MaxRecordLen]byte

var (
	readBuffers  = sync.Pool{New: func() any { return new(readBuffer) }}
	writeBuffers = sync.Pool{New: func() any { return &writeBuffer{make([]byte, 0, writeSize)} }}
)

// writeBuffer is memory for the head of a request, and then for parts of its body.
type writeBuffer struct{ b []byte }

// writeSize is what of a body goes into one write, with the records' headers.
const writeSize = 40 << 10

func (w *writeBuffer) free() {
	if cap(w.b) <= 2*writeSize {
		w.b = w.b[:0]
		writeBuffers.Put(w)
	}
}
