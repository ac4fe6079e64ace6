package connedge

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/gateway/http1"
)

// Edge serves one listener.
type Edge struct {
	cfg      *http1.Config
	registry *http1.Registry
	listener net.Listener
	log      *slog.Logger
	closing  atomic.Bool
	conns    sync.WaitGroup
}

// New makes an edge for ln, which it owns from now on.
func New(ln net.Listener, cfg *http1.Config, registry *http1.Registry, log *slog.Logger) *Edge {
	return &Edge{cfg: cfg, registry: registry, listener: ln, log: log}
}

// Serve accepts until Stop; it blocks.
func (e *Edge) Serve() error {
	wait := 5 * time.Millisecond
	for {
		nc, err := e.listener.Accept()
		if err != nil {
			if e.closing.Load() || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of descriptors, mostly: connections that end give some back.
			e.log.Error("cannot accept a connection; trying again", "address", e.listener.Addr().String(), "cause", err)
			timer := time.NewTimer(wait)
			<-timer.C
			wait = min(2*wait, time.Second)
			continue
		}
		wait = 5 * time.Millisecond
		e.start(nc)
	}
}

func (e *Edge) start(nc net.Conn) {
	c := &conn{nc: nc}
	c.room.L = &c.mu
	c.session = http1.NewSession(e.cfg, c, http1.PeerOf(nc.RemoteAddr(), nc.LocalAddr()))
	if !e.registry.Add(c.session) {
		_, _ = io.WriteString(nc, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")
		_ = nc.Close()
		return
	}
	e.conns.Go(c.write)
	e.conns.Go(func() {
		c.read()
		e.registry.Remove(c.session)
	})
}

// Stop accepts no more; connections go on.
func (e *Edge) Stop() {
	e.closing.Store(true)
	_ = e.listener.Close() // closed twice at worst
}

// Close waits for the goroutines of all connections; all sessions must have ended.
func (e *Edge) Close() {
	e.Stop()
	e.conns.Wait()
}

// ready is how much may wait for the writing goroutine; the session keeps the rest.
const ready = 64 << 10

// conn is the Transport of one session.
type conn struct {
	nc      net.Conn
	session *http1.Session

	mu     sync.Mutex
	room   sync.Cond
	out    []byte // waits for the writing goroutine
	wanted bool   // the session asked for Writable
	fin    bool   // half-close once out is written
	closed bool
	err    error
}

func (c *conn) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.nc.Read(buf)
		if n > 0 {
			c.session.Feed(buf[:n])
		}
		if err != nil {
			c.session.Closed()
			return
		}
	}
}

func (c *conn) write() {
	var buf []byte
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.closed && !c.fin {
			c.room.Wait()
		}
		if len(c.out) == 0 && c.fin {
			c.fin = false
			c.mu.Unlock()
			if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // the client may be gone, which Read tells
			}
			continue
		}
		if c.closed {
			// Whatever is still in out was meant for a client that is given up.
			c.mu.Unlock()
			_ = c.nc.Close()
			return
		}
		buf, c.out = c.out, buf[:0]
		c.mu.Unlock()
		_, err := c.nc.Write(buf)
		c.mu.Lock()
		wanted := c.wanted
		c.wanted = false
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
	}
}

func (c *conn) Write(a, b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	left := ready - len(c.out)
	if left <= 0 {
		return 0, nil
	}
	na := min(len(a), left)
	nb := min(len(b), left-na)
	c.out = append(append(c.out, a[:na]...), b[:nb]...)
	c.room.Signal()
	return na + nb, nil
}

// WaitWritable: the writing goroutine says so after its next write, if there is one.
func (c *conn) WaitWritable() {
	c.mu.Lock()
	written := len(c.out) == 0
	c.wanted = !written
	c.mu.Unlock()
	if written {
		c.session.Writable() // we own the session: this only leaves a note for it
	}
}

func (c *conn) CloseWrite() {
	c.mu.Lock()
	c.fin = true
	c.room.Signal()
	c.mu.Unlock()
}

// Spilling: this goroutine reads only after the disk has taken what came before.
func (c *conn) Spilling() {}

func (c *conn) Close() {
	c.mu.Lock()
	c.closed = true
	c.room.Signal()
	c.mu.Unlock()
	// Wakes a Read or Write that is under way; the descriptor is freed by write.
	_ = c.nc.SetDeadline(time.Unix(1, 0))
}
