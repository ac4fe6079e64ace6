package connedge_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pyspeed/gateway/connedge"
	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
)

// edge is what this suite tests; every edge must pass all of it.
type edge interface {
	Serve() error
	Stop()
	Close()
}

// edges makes each edge; those of one system are added in its own file.
var edges = map[string]func(net.Listener, *http1.Shared, *http1.Registry, *slog.Logger) (edge, error){
	"conn": func(ln net.Listener, cfg *http1.Shared, registry *http1.Registry, log *slog.Logger) (edge, error) {
		return connedge.New(ln, cfg, registry, log), nil
	},
}

// patience bounds a failure; nothing waits that long when all is well.
const patience = 20 * time.Second

// rig is a running edge.
type rig struct {
	t        *testing.T
	ln       net.Listener
	edge     edge
	registry *http1.Registry
	budget   *exchange.Budget
	app      *app
	served   chan error
	stop     func() // ends everything and looks for what was left over
}

// onEveryEdge runs f over TCP and a unix socket, on each edge.
func onEveryEdge(t *testing.T, f func(r *rig)) {
	for name := range edges {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+"/"+network, func(t *testing.T) {
				warmUp(t, name)
				before := leaks()
				r := newRig(t, name, network, 1000)
				f(r)
				r.stop()
				await(t, "goroutines and descriptors are left", func() bool { now := leaks(); return now.fds <= before.fds && now.goroutines <= before.goroutines },
					func() string { return fmt.Sprintf("before %+v, now %+v\n%s", before, leaks(), stacks()) })
			})
		}
	}
}

// warmUp makes an edge once: netpoll's pollers stay for ever.
func warmUp(t *testing.T, name string) {
	r := newRig(t, name, "tcp", 10)
	c := r.dial()
	c.send(request("GET", "/now/", "", ""))
	c.receive("GET", "/now/")
	c.Close()
	r.stop()
}

func newRig(t *testing.T, name, network string, most int) *rig {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "edge") // t.TempDir may be too long for a socket's name
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	// Small buffers in the kernel (accepted sockets inherit them), or it would take every answer
	// whole and no client were slow.
	if raw, err := ln.(syscall.Conn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10) })
	}
	clock := http1.NewClock()
	r := &rig{t: t, ln: ln, registry: http1.NewRegistry(clock, most), budget: exchange.NewBudget(64 << 20), app: &app{}, served: make(chan error, 1)}
	cfg := &http1.Config{
		Body: 64 << 20, BodyMemory: 64 << 10, SpoolDir: t.TempDir(),
		HeaderTimeout: time.Minute, BodyTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute,
		Responder: r.app, Budget: r.budget, Clock: clock, Done: func(x *exchange.Exchange) { r.app.done.Add(1) },
	}
	if r.edge, err = edges[name](ln, http1.NewShared(cfg), r.registry, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.registry.Run(ctx) })
	running.Go(func() { r.served <- r.edge.Serve() })
	r.stop = sync.OnceFunc(func() {
		r.edge.Stop()
		empty := r.registry.Shutdown()
		r.registry.CloseAll()
		select {
		case <-empty:
		case <-time.After(patience):
			t.Errorf("%d sessions did not end\n%s", r.registry.Len(), stacks())
		}
		r.edge.Close()
		cancel()
		running.Wait()
		if err := <-r.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		await(t, "exchanges have not ended", func() bool { return r.app.began.Load() == r.app.done.Load() }, func() string {
			return fmt.Sprintf("%d began, %d ended", r.app.began.Load(), r.app.done.Load())
		})
		await(t, "the budget is held", func() bool { return r.budget.Held() == 0 }, func() string { return strconv.Itoa(int(r.budget.Held())) })
	})
	t.Cleanup(r.stop)
	return r
}

// left is what a test may leak.
type left struct{ goroutines, fds int }

func leaks() left {
	runtime.GC() // a net.Conn that was forgotten would hide
	l := left{goroutines: runtime.NumGoroutine()}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		l.fds = len(fds)
	}
	return l
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// await waits until ok.
func await(t *testing.T, what string, ok func() bool, detail func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Errorf("%s: %s", what, detail())
			return
		}
	}
}

// app answers on other goroutines, as workers do: every answer says what was asked, and nothing
// of the request may change until its end.
//
//	/now/…       at once
//	/later/…     from elsewhere
//	/stream/N/…  N bytes, within a window
//	/pipe/N/…    N bytes through a pipe, where the edge takes them so
//	/echo/…      the body
//	/never/…     not at all
type app struct {
	began, done, cancelled atomic.Int64
	piped                  atomic.Int64 // bytes that went through a pipe
}

const window = 64 << 10

func (a *app) Respond(x *exchange.Exchange) {
	a.began.Add(1)
	c := &call{app: a, x: x, target: string(x.Request.Target)}
	c.changed.L = &c.mu
	x.Source = c
	switch kind := strings.Split(c.target, "/")[1]; kind {
	case "now":
		c.answer([]byte(c.target))
	case "later":
		go c.answer([]byte(c.target))
	case "stream":
		go c.stream()
	case "pipe":
		go c.pipe()
	case "echo":
		if x.Body == nil {
			go c.answer(nil)
			return
		}
		x.Body.Notify(c.bodyChanged)
		go c.echo()
	case "never":
		go c.wait()
	}
}

// call is one exchange of app's.
type call struct {
	app    *app
	x      *exchange.Exchange
	target string

	mu      sync.Mutex
	changed sync.Cond
	credit  int
	calls   int // of Drained
	body    int // body changes
	left    bool
}

func (c *call) Drained(n int) {
	c.mu.Lock()
	c.credit += n
	c.calls++
	c.mu.Unlock()
	c.changed.Signal()
}

func (c *call) Cancelled() {
	c.app.cancelled.Add(1)
	c.mu.Lock()
	c.left = true
	c.mu.Unlock()
	c.changed.Signal()
}

func (c *call) bodyChanged() {
	c.mu.Lock()
	c.body++
	c.mu.Unlock()
	c.changed.Signal()
}

func (c *call) same() bool {
	return string(c.x.Request.Target) == c.target && string(c.x.Request.Get("x-target")) == c.target
}

func (c *call) answer(body []byte) {
	if !c.same() {
		c.x.Writer.Abort(500, "")
		return
	}
	if err := c.x.Writer.Answer(200, []exchange.Field{{Name: []byte("X-Target"), Value: []byte(c.target)}}, body); err != nil {
		c.x.Writer.Abort(500, "")
	}
}

func (c *call) wait() {
	c.mu.Lock()
	for !c.left {
		c.changed.Wait()
	}
	c.mu.Unlock()
	c.x.Writer.Abort(0, "")
}

func (c *call) stream() {
	total, err := strconv.Atoi(strings.Split(c.target, "/")[2])
	if err != nil {
		c.x.Writer.Abort(400, "")
		return
	}
	_ = c.x.Writer.Head(200, []exchange.Field{{Name: []byte("X-Target"), Value: []byte(c.target)}})
	text := pattern(c.target, total)
	for part := 1; len(text) > 0; part = part%30_000*3 + 1 {
		c.mu.Lock()
		for c.credit+window == 0 && !c.left {
			c.changed.Wait()
		}
		n := min(len(text), part, c.credit+window)
		c.credit -= n
		gone := c.left
		c.mu.Unlock()
		if gone {
			c.x.Writer.Abort(0, "")
			return
		}
		c.x.Writer.Body(text[:n])
		c.x.Writer.Flush()
		text = text[n:]
	}
	if !c.same() {
		c.x.Writer.Abort(0, "")
		return
	}
	c.x.Writer.End()
}

func (c *call) pipe() {
	total, err := strconv.Atoi(strings.Split(c.target, "/")[2])
	if err != nil {
		c.x.Writer.Abort(400, "")
		return
	}
	from, to, err := os.Pipe()
	if err != nil {
		c.x.Writer.Abort(500, "")
		return
	}
	defer func() {
		_ = from.Close()
		_ = to.Close()
	}()
	end := int(from.Fd())
	_ = c.x.Writer.Head(200, []exchange.Field{{Name: []byte("X-Target"), Value: []byte(c.target)}, {Name: []byte("Content-Length"), Value: []byte(strconv.Itoa(total))}})
	text := pattern(c.target, total)
	for part := 1; len(text) > 0; part = part%30_000*3 + 1 {
		n := min(len(text), part, 60_000) // a pipe takes 64 KiB
		if part%5 == 0 {
			c.x.Writer.Body(text[:n])
			text = text[n:]
			continue
		}
		_, _ = to.Write(text[:n])
		for left := n; left > 0; {
			c.mu.Lock()
			calls := c.calls
			c.mu.Unlock()
			sent, ok := exchange.BodyPipe(c.x.Writer, end, left)
			if !ok {
				rest := make([]byte, left)
				_, _ = io.ReadFull(from, rest)
				c.x.Writer.Body(rest)
				break
			}
			c.app.piped.Add(int64(sent))
			left -= sent
			c.mu.Lock()
			for left > 0 && c.calls == calls && !c.left {
				c.changed.Wait()
			}
			gone := c.left
			c.mu.Unlock()
			if gone {
				c.x.Writer.Abort(0, "")
				return
			}
		}
		text = text[n:]
	}
	if !c.same() {
		c.x.Writer.Abort(0, "")
		return
	}
	c.x.Writer.End()
}

func (c *call) echo() {
	var got []byte
	for {
		c.mu.Lock()
		seen := c.body
		c.mu.Unlock()
		before := len(got)
		var end bool
		var err error
		got, end, err = c.x.Body.Next(got, 50_000)
		switch {
		case err != nil:
			c.x.Writer.Abort(0, "")
			return
		case end:
			c.answer(got)
			return
		case len(got) > before:
			continue
		}
		c.mu.Lock()
		for c.body == seen && !c.left {
			c.changed.Wait()
		}
		c.mu.Unlock()
	}
}

// pattern is n bytes that tell whose they are.
func pattern(target string, n int) []byte {
	return bytes.Repeat([]byte(target+"\n"), n/(len(target)+1)+1)[:n]
}

// client is one connection.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (r *rig) dial() *client {
	r.t.Helper()
	c, err := net.Dial(r.ln.Addr().Network(), r.ln.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{Conn: c, t: r.t, r: bufio.NewReaderSize(c, 1<<10)}
}

func (c *client) send(text string) {
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Errorf("cannot send: %v", err)
	}
}

// receive reads one answer to a request for target, and its body; it says whether the
// connection goes on.
func (c *client) receive(method, target string) (body []byte, persists bool) {
	c.t.Helper()
	answer, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Errorf("%s: cannot read the answer: %v", target, err)
		return nil, false
	}
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		c.t.Errorf("%s: cannot read the body: %v", target, err)
		return nil, false
	}
	if got := answer.Header.Get("X-Target"); answer.StatusCode != 200 || got != target {
		c.t.Errorf("asked for %s, got %d and the answer to %s", target, answer.StatusCode, got)
	}
	return body, !answer.Close
}

// ends checks that the server has ended the connection.
func (c *client) ends() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("want the end of the connection, got %q, %v", rest, err)
	}
}

func request(method, target, fields, body string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: h\r\nX-Target: " + target + "\r\n" + fields + "\r\n" + body
}
