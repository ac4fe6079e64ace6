package upstream

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/connedge"
	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
)

// patience bounds how long a test that fails may take.
const patience = 30 * time.Second

// rig is an upstream behind a real edge.
type rig struct {
	*Upstream
	t      *testing.T
	url    string
	log    *logText
	client *http.Client

	mu     sync.Mutex
	counts map[Failure]int
}

type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start serves with an upstream of these settings; what is not set gets a value.
func start(t *testing.T, s Settings) *rig {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	descriptors := openDescriptors()
	r := &rig{t: t, log: &logText{}, counts: map[Failure]int{}}
	clock := http1.NewClock()
	registry := http1.NewRegistry(clock, 1000)
	if s.Route == "" {
		s.Route = "/"
	}
	if s.Connections == 0 {
		s.Connections = 8
	}
	for _, d := range []*time.Duration{&s.QueueTimeout, &s.ConnectTimeout, &s.FirstByteTimeout, &s.ReadTimeout, &s.FailTimeout, &s.HealthInterval} {
		if *d == 0 {
			*d = patience
		}
	}
	s.Software = "test/1"
	s.Budget, s.Now = exchange.NewBudget(64<<20), clock.Now
	s.Log = slog.New(slog.NewTextHandler(r.log, nil))
	s.Failed = func(f Failure) {
		r.mu.Lock()
		r.counts[f]++
		r.mu.Unlock()
	}
	r.Upstream = New(s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &http1.Config{
		Limits: http1.Limits{RequestLine: 64 << 10, HeaderBytes: 4 << 20, HeaderCount: 100},
		Body:   1 << 30, BodyMemory: exchange.MaxWindow, SpoolDir: t.TempDir(),
		Responder: r.Upstream, Budget: s.Budget, Clock: clock, Done: func(*exchange.Exchange) {},
	}
	edge := connedge.New(ln, http1.NewShared(cfg), registry, s.Log)
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { registry.Run(ctx) })
	running.Go(func() { r.Run(ctx) })
	running.Go(func() { _ = edge.Serve() })
	transport := &http.Transport{DisableCompression: true}
	r.client = &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r.url = "http://" + ln.Addr().String()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		edge.Stop()
		r.Stop()
		empty := registry.Shutdown()
		registry.CloseAll()
		<-empty
		r.Wait()
		edge.Close()
		end()
		running.Wait()
		eventually(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= goroutines })
		eventually(t, "all descriptors closed", func() bool { return openDescriptors() <= descriptors })
		if t.Failed() {
			t.Logf("the log:\n%s", r.log)
		}
	})
	return r
}

// openDescriptors counts sockets and files, not what the runtime keeps for itself.
func openDescriptors() int {
	list, _ := os.ReadDir("/proc/self/fd")
	n := 0
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-over:
			t.Errorf("not %s", what)
			return
		}
	}
}

// failed is how often a kind was counted.
func (r *rig) failed(f Failure) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[f]
}

// got is what a client got; err is that of reading the body.
type got struct {
	status int
	header http.Header
	body   string
	err    error
}

func (r *rig) do(req *http.Request) got {
	r.t.Helper()
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Errorf("%s %s: %v", req.Method, req.URL, err)
		return got{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return got{res.StatusCode, res.Header, string(body), err}
}

func (r *rig) request(method, path string, body io.Reader) *http.Request {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}

func (r *rig) get(path string) got {
	r.t.Helper()
	return r.do(r.request("GET", path, nil))
}

// peer is a responder that does what a test says, connection by connection.
type peer struct {
	t       *testing.T
	ln      net.Listener
	address Address
}

// peerConn is one connection, on the responder's side.
type peerConn struct {
	net.Conn
	t       *testing.T
	n       int // of the connections, from 1
	decoder fcgi.Decoder
	buf     []byte
}

// listen starts a peer; serve has a goroutine for each connection, which is closed when it returns.
func listen(t *testing.T, serve func(*peerConn)) *peer {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, ln: ln, address: Address{"unix", ln.Addr().String()}}
	var running sync.WaitGroup
	running.Go(func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				serve(&peerConn{Conn: c, t: t, n: n})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return p
}

// next reads one record; ok is false at the end of the connection.
func (c *peerConn) next() (rec fcgi.Record, ok bool) {
	for {
		n, rec, ok, err := c.decoder.Next(c.buf)
		if err != nil {
			c.t.Errorf("the responder was sent nonsense: %v", err)
			return rec, false
		}
		if ok {
			rec.Content = bytes.Clone(rec.Content)
			c.buf = c.buf[n:]
			return rec, true
		}
		p := make([]byte, 32<<10)
		m, err := c.Read(p)
		if m == 0 || err != nil {
			return rec, false
		}
		c.buf = append(c.buf, p[:m]...)
	}
}

// asked is a request as the responder reads it.
type asked struct {
	begin  fcgi.BeginRequest
	params map[string]string
	body   []byte
}

// head reads BEGIN_REQUEST and PARAMS; ok is false when the connection ended instead.
func (c *peerConn) head() (a asked, ok bool) {
	rec, ok := c.next()
	if !ok || rec.Type == fcgi.TypeAbortRequest {
		return a, false
	}
	var err error
	if a.begin, err = fcgi.DecodeBeginRequest(rec.Content); err != nil || rec.Type != fcgi.TypeBeginRequest || rec.ID != 1 || rec.Flags != 0 {
		c.t.Errorf("a request began with %v (%v)", rec, err)
	}
	var pairs fcgi.Pairs
	for {
		rec, ok := c.next()
		if !ok {
			return a, false
		}
		if rec.Type != fcgi.TypeParams {
			c.t.Errorf("%v among PARAMS", rec.Type)
		}
		if len(rec.Content) == 0 {
			break
		}
		if err := pairs.Feed(rec.Content); err != nil {
			c.t.Error(err)
		}
	}
	a.params = map[string]string{}
	for {
		name, value, ok, err := pairs.Next()
		if err != nil {
			c.t.Error(err)
		}
		if !ok {
			break
		}
		if _, twice := a.params[string(name)]; twice {
			c.t.Errorf("%s is there twice", name)
		}
		a.params[string(name)] = string(value)
	}
	if err := pairs.End(); err != nil {
		c.t.Error(err)
	}
	return a, true
}

// request reads a whole request.
func (c *peerConn) request() (a asked, ok bool) {
	if a, ok = c.head(); !ok {
		return a, false
	}
	for {
		rec, ok := c.next()
		if !ok || rec.Type != fcgi.TypeStdin {
			return a, false
		}
		if len(rec.Content) == 0 {
			return a, true
		}
		a.body = append(a.body, rec.Content...)
	}
}

func (c *peerConn) send(b []byte) bool {
	_, err := c.Write(b)
	return err == nil
}

func stdout(text string) []byte { return fcgi.AppendStream(nil, fcgi.TypeStdout, 1, []byte(text)) }
func stderr(text string) []byte { return fcgi.AppendStream(nil, fcgi.TypeStderr, 1, []byte(text)) }
func end(app uint32, status fcgi.ProtocolStatus) []byte {
	return fcgi.AppendEndRequest(nil, 1, fcgi.EndRequest{AppStatus: app, ProtocolStatus: status})
}

// whole is a complete answer.
func whole(text string) []byte {
	return bytes.Join([][]byte{stdout("Content-Type: text/plain\r\n\r\n" + text), stdout(""), end(0, fcgi.StatusRequestComplete)}, nil)
}

// always answers every request of every connection with these bytes.
func always(t *testing.T, b []byte) *peer {
	return listen(t, func(c *peerConn) {
		for {
			if _, ok := c.request(); !ok || !c.send(b) {
				return
			}
		}
	})
}
