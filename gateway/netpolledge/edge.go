//go:build linux

package netpolledge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
)

// Edge serves one listener.
type Edge struct {
	cfg      *http1.Shared
	registry *http1.Registry
	listener *listener
	loop     netpoll.EventLoop
	writer   *writer
	log      *slog.Logger

	mu      sync.Mutex
	serving bool
	closed  bool
	stopped chan struct{}
}

// configure sets netpoll up; it keeps its settings in globals, so this happens once.
var configure = sync.OnceValue(func() error {
	return netpoll.Configure(netpoll.Config{
		PollerNum:    pollers(),
		BufferSize:   4 << 10,
		Runner:       run,
		LoggerOutput: io.Discard, // what matters of it, accept errors, listener logs
	})
})

// pollers is how many there are: one turns about 150,000 small requests a second, which is more
// than the Python workers on three further processors answer.
func pollers() int { return max(1, runtime.GOMAXPROCS(0)/4) }

// run is netpoll's task runner: in place. Besides saving a hand-over this is the only
// back-pressure there is: netpoll reads a connection again when its handler is done.
func run(_ context.Context, task func()) { task() }

// New makes an edge for ln, which it owns from now on.
func New(ln net.Listener, cfg *http1.Shared, registry *http1.Registry, log *slog.Logger) (*Edge, error) {
	if err := configure(); err != nil {
		return nil, fmt.Errorf("cannot set up netpoll: %w", err)
	}
	w, err := newWriter()
	if err != nil {
		return nil, err
	}
	e := &Edge{cfg: cfg, registry: registry, writer: w, log: log, stopped: make(chan struct{})}
	if e.listener, err = newListener(ln, log); err != nil {
		w.stop()
		return nil, err
	}
	e.loop, err = netpoll.NewEventLoop(onRequest,
		netpoll.WithOnPrepare(e.prepare),
		netpoll.WithOnDisconnect(func(ctx context.Context, _ netpoll.Connection) {
			if c, ok := ctx.(*conn); ok {
				c.session.Closed()
			}
		}))
	if err != nil {
		_ = e.listener.Close()
		w.stop()
		return nil, fmt.Errorf("cannot make an event loop: %w", err)
	}
	return e, nil
}

// Serve accepts until Stop; it blocks.
func (e *Edge) Serve() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.serving = true
	e.mu.Unlock()
	defer close(e.stopped)
	err := e.loop.Serve(e.listener)
	// Now, since a client that connects must be refused and not wait for ever.
	_ = e.listener.Close()
	if err != nil && !e.listener.closing.Load() {
		return fmt.Errorf("cannot accept on %s: %w", e.listener.Addr(), err)
	}
	return nil
}

// Stop accepts no more; connections go on.
func (e *Edge) Stop() { e.listener.shutdown() }

// Close frees what is left; all sessions must have ended.
func (e *Edge) Close() {
	e.listener.shutdown()
	e.mu.Lock()
	e.closed = true
	serving := e.serving
	e.mu.Unlock()
	if serving {
		<-e.stopped
	} else {
		_ = e.listener.Close()
	}
	e.writer.stop()
}

// prepare makes a session of an accepted connection. Called by netpoll's poller; the
// connection is registered when it returns.
func (e *Edge) prepare(c netpoll.Connection) context.Context {
	fd := c.(netpoll.Conn).Fd()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = c.Close()
		return context.Background()
	}
	nc := &conn{Context: context.Background(), fd: dup, writer: e.writer}
	nc.session = http1.NewSession(e.cfg, nc, peer(c))
	if !e.registry.Add(nc.session) {
		_, _ = unix.Write(dup, tooMany)
		_ = unix.Close(dup)
		_ = c.Close()
		return context.Background()
	}
	// The last that netpoll does with a connection, also with one that it could not register,
	// which never gets to OnDisconnect.
	_ = c.AddCloseCallback(func(netpoll.Connection) error {
		nc.session.Closed()
		e.registry.Remove(nc.session)
		return nil
	})
	return nc
}

var tooMany = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")

func peer(c net.Conn) exchange.Peer { return http1.PeerOf(c.RemoteAddr(), c.LocalAddr()) }

// onRequest feeds what arrived to the session.
func onRequest(ctx context.Context, nc netpoll.Connection) error {
	r := nc.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	c, ok := ctx.(*conn)
	if ok {
		c.session.Feed(p)
	}
	full := len(p) >= netpollRead
	if err := r.Release(); err != nil {
		return err
	}
	if ok && full && c.session.ReadingBody() {
		drain(nc.(netpoll.Conn).Fd(), c.session.Feed)
	}
	return nil
}
