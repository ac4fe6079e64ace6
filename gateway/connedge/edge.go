package connedge

import (
	"errors"
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
	cfg      *http1.Shared
	registry *http1.Registry
	listener net.Listener
	log      *slog.Logger
	closing  atomic.Bool

	mu     sync.Mutex // a connection may be accepted while Close begins to wait
	closed bool
	conns  sync.WaitGroup
}

// New makes an edge for ln, which it owns from now on.
func New(ln net.Listener, cfg *http1.Shared, registry *http1.Registry, log *slog.Logger) *Edge {
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
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		_ = nc.Close() // accepted before Stop; no session may begin any more
		return
	}
	c := &conn{nc: nc, budget: e.cfg.Load().Budget}
	c.room.L = &c.mu
	c.session = http1.NewSession(e.cfg, c, http1.PeerOf(nc.RemoteAddr(), e.listener.Addr()))
	if !e.registry.Add(c.session) {
		e.conns.Go(func() { refuse(nc) })
		return
	}
	e.conns.Go(c.write)
	e.conns.Go(func() {
		c.read()
		e.registry.Remove(c.session)
	})
}

// refuse says that there are too many connections. On a goroutine of its own: with TLS it may wait
// for the client.
func refuse(nc net.Conn) {
	_ = nc.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(nc, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")
	_ = nc.Close()
}

// Stop accepts no more; connections go on.
func (e *Edge) Stop() {
	e.closing.Store(true)
	_ = e.listener.Close() // closed twice at worst
}

// Close waits for the goroutines of all connections; all sessions must have ended.
func (e *Edge) Close() {
	e.Stop()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.conns.Wait()
}
