package connedge

import (
	"fmt"
	"net"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
)

const (
	// ready is how much may wait for the writing goroutine, with what it is writing; the
	// session keeps the rest.
	ready = 64 << 10
	// keep is how large a buffer an idle connection may have.
	keep = 4 << 10
	// mostRead is the largest buffer to read into.
	mostRead = 64 << 10
)

// conn is the Transport of one session.
type conn struct {
	nc      net.Conn
	session *http1.Session
	budget  *exchange.Budget

	mu      sync.Mutex
	room    sync.Cond
	out     []byte // waits for the writing goroutine
	writing int    // bytes that it is writing now
	wanted  bool   // the session asked for Writable
	fin     bool   // half-close once out is written
	half    bool   // that was done
	closed  bool
	err     error
}

// read feeds the session until the connection ends. Its buffer grows while the client fills
// it.
func (c *conn) read() {
	buf := make([]byte, keep)
	for {
		n, err := c.nc.Read(buf)
		if n > 0 {
			c.session.Feed(buf[:n])
		}
		switch {
		case err != nil:
			c.session.Closed()
			return
		case n == len(buf) && n < mostRead:
			buf = make([]byte, 2*n)
		case n <= keep/4 && len(buf) > keep:
			buf = make([]byte, keep)
		}
	}
}

// write sends what Write left, then FIN or the end.
func (c *conn) write() {
	var buf []byte
	c.mu.Lock()
	for {
		for len(c.out) == 0 && !c.closed && (!c.fin || c.half) {
			c.room.Wait()
		}
		switch {
		case c.closed:
			// Whatever is still in out was meant for a client that is given up.
			c.budget.Hold(-len(c.out))
			c.out = nil
			c.mu.Unlock()
			_ = c.nc.Close() // nothing is left that could be lost
			return
		case len(c.out) == 0:
			c.mu.Unlock()
			c.closeWrite()
			c.mu.Lock()
			c.half = true
			c.mu.Unlock()
			c.session.Writable()
			c.mu.Lock()
			continue
		}
		buf, c.out = c.out, buf[:0]
		c.writing = len(buf)
		c.mu.Unlock()
		_, err := c.nc.Write(buf)
		c.budget.Hold(-len(buf))
		if cap(buf) > keep {
			buf = nil
		}
		c.mu.Lock()
		wanted := c.wanted
		c.wanted, c.writing = false, 0
		if err != nil {
			c.err = fmt.Errorf("cannot write to the client: %w", err)
		}
		c.mu.Unlock()
		if wanted {
			c.session.Writable()
		}
		if err != nil {
			c.session.Closed()
		}
		c.mu.Lock()
	}
}

// closeWrite sends FIN if the connection can; else its end, which follows, has to do.
func (c *conn) closeWrite() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the client may be gone, which Read tells
	}
}

// Write implements http1.Transport: the writing goroutine does it.
func (c *conn) Write(a, b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	left := ready - len(c.out) - c.writing
	if left <= 0 {
		return 0, nil
	}
	na := min(len(a), left)
	nb := min(len(b), left-na)
	c.out = append(append(c.out, a[:na]...), b[:nb]...)
	c.budget.Hold(na + nb)
	c.room.Signal()
	return na + nb, nil
}

// WaitWritable implements http1.Transport: the writing goroutine says so after its next write.
func (c *conn) WaitWritable() {
	c.mu.Lock()
	full := len(c.out)+c.writing >= ready
	c.wanted = full
	c.mu.Unlock()
	if !full {
		c.session.Writable() // we own the session: this only leaves a note for it
	}
}

// CloseWrite implements http1.Transport.
func (c *conn) CloseWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.half {
		return true
	}
	if len(c.out) == 0 && c.writing == 0 && !c.fin {
		switch c.nc.(type) {
		case *net.TCPConn, *net.UnixConn: // it is a system call that does not wait
			c.closeWrite()
			c.half = true
			return true
		}
	}
	c.fin = true
	c.room.Signal()
	return false
}

// Spilling implements http1.Transport: the reading goroutine reads only after the disk has taken what
// came before.
func (c *conn) Spilling() {}

// Close implements http1.Transport.
func (c *conn) Close() {
	c.mu.Lock()
	c.closed = true
	c.room.Signal()
	c.mu.Unlock()
	// Wakes a Read or Write that is under way; the descriptor is freed by write.
	_ = c.nc.SetDeadline(time.Unix(1, 0))
}
