package upstream

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// numbered answers with the number of its connection and of the request on it.
func numbered(c *peerConn, n int) []byte { return whole(fmt.Sprintf("%d.%d", c.n, n)) }

// TestKeepAlive: a connection is used again only when its last request ended in order and the responder is
// still there and quiet.
func TestKeepAlive(t *testing.T) {
	f := func(name string, keep bool, after func(c *peerConn, n int) bool, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{}, 10)
			p := listen(t, func(c *peerConn) {
				for n := 1; ; n++ {
					a, ok := c.request()
					if !ok {
						return
					}
					if a.begin.KeepConn != keep || a.begin.Role != fcgi.RoleResponder {
						t.Errorf("began with %+v", a.begin)
					}
					c.send(numbered(c, n))
					goOn := after(c, n)
					done <- struct{}{}
					if !goOn {
						return
					}
				}
			})
			r := start(t, Settings{Addresses: []Address{p.address}, KeepAlive: keep})
			for i, w := range want {
				if a := r.get("/"); a.body != w {
					t.Errorf("request %d: answered with %q by connection and request %q, want %q", i, a.body, a.body, w)
				}
				<-done
			}
		})
	}
	f("off", false, func(*peerConn, int) bool { return true }, "1.1", "2.1", "3.1")
	f("on", true, func(*peerConn, int) bool { return true }, "1.1", "1.2", "1.3")
	f("closed after a request", true, func(c *peerConn, n int) bool {
		if n == 2 {
			c.Close()
		}
		return n < 2
	}, "1.1", "1.2", "2.1")
	f("says more", true, func(c *peerConn, n int) bool {
		if n == 1 {
			c.send(stdout("secret"))
		}
		return true
	}, "1.1", "2.1", "3.1")
}

// TestKeptBeyondTimeouts: the timeouts of a request end with it.
func TestKeptBeyondTimeouts(t *testing.T) {
	const short = 100 * time.Millisecond
	p := listen(t, func(c *peerConn) {
		for n := 1; ; n++ {
			if _, ok := c.request(); !ok || !c.send(numbered(c, n)) {
				return
			}
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address}, KeepAlive: true, FirstByteTimeout: short, ReadTimeout: short})
	for _, want := range []string{"1.1", "1.2"} {
		if a := r.get("/"); a.body != want {
			t.Errorf("answered by %q, want %q", a.body, want)
		}
		ended := time.Now()
		eventually(t, "later than any deadline", func() bool { return time.Since(ended) > short })
	}
}

// TestNeverTwice: a request that was sent is not sent again, whatever became of it.
func TestNeverTwice(t *testing.T) {
	var asked atomic.Int32
	p := listen(t, func(c *peerConn) {
		for n := 1; ; n++ {
			if _, ok := c.request(); !ok {
				return
			}
			if asked.Add(1) == 2 {
				return // a kept connection ends after it has read a request
			}
			c.send(numbered(c, n))
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address, always(t, whole("other")).address}, KeepAlive: true, MaxFails: 0})
	r.pool.addresses[1].sick = true
	if a := r.get("/"); a.body != "1.1" {
		t.Errorf("got %v", a)
	}
	if a := r.do(r.request("POST", "/", strings.NewReader("x"))); a.status != 502 || r.failed(FailDied) != 1 {
		t.Errorf("got %v", a)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// lostConn is one that its responder closed right after the look at it: it takes no byte.
type lostConn struct{ *net.UnixConn }

func (lostConn) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestSentAgainOnce: a request of which a kept connection took no byte goes over another, as it is.
func TestSentAgainOnce(t *testing.T) {
	f := func(body string) {
		t.Helper()
		p := listen(t, func(c *peerConn) {
			for { // what is behind the request would be the begin of the next
				a, ok := c.request()
				if !ok || !c.send(whole(fmt.Sprintf("%s %q", a.params["REQUEST_METHOD"], a.body))) {
					return
				}
			}
		})
		r := start(t, Settings{Addresses: []Address{p.address}, KeepAlive: true})
		a := r.pool.addresses[0]
		for range 2 {
			nc, err := net.Dial("unix", p.address.Address)
			if err != nil {
				t.Fatal(err)
			}
			a.idle = append(a.idle, &conn{Conn: lostConn{nc.(*net.UnixConn)}, at: a, reused: true, since: r.Now()})
		}
		for range 2 {
			if got := r.do(r.request("PUT", "/", strings.NewReader(body))); got.status != 200 || got.body != fmt.Sprintf("PUT %q", body) {
				t.Errorf("got %v", got)
			}
		}
	}
	f("")
	f("body")
}

// TestEarlyAnswer: a responder may answer before it has read the body; the connection is not used again.
func TestEarlyAnswer(t *testing.T) {
	p := listen(t, func(c *peerConn) {
		if _, ok := c.head(); !ok {
			return
		}
		c.send(whole(fmt.Sprint(c.n)))
		for ok := true; ok; {
			_, ok = c.next()
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address}, KeepAlive: true})
	for want := range 3 {
		pr, pw := io.Pipe()
		req := r.request("POST", "/", io.MultiReader(strings.NewReader("begin"), pr))
		req.ContentLength = 1 << 20
		if a := r.do(req); a.status != 200 || a.body != fmt.Sprint(want+1) {
			t.Errorf("got %v", a)
		}
		pw.Close()
	}
	if _, loads := r.State(); loads[0].Idle != 0 || loads[0].Outstanding != 0 {
		t.Errorf("kept: %+v", loads)
	}
}

// stuckConn is one whose second write, the body's first, lasts until the connection is interrupted.
type stuckConn struct {
	*net.UnixConn
	writes               atomic.Int32
	writing, interrupted chan struct{}
}

func (c *stuckConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) != 2 {
		return c.UnixConn.Write(p)
	}
	close(c.writing)
	<-c.interrupted
	return len(p), nil
}

func (c *stuckConn) SetDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		close(c.interrupted)
	}
	return c.UnixConn.SetDeadline(t)
}

// TestEarlyAnswerEndsSending: once the answer is complete no more of the request is sent, so that a responder that
// reads no more does not keep the client waiting.
func TestEarlyAnswerEndsSending(t *testing.T) {
	writing := make(chan struct{})
	var r *rig
	p := listen(t, func(c *peerConn) {
		if _, ok := c.head(); ok {
			<-writing
			eventually(t, "there is more to send", func() bool { return r.Budget.Held() > 2*part })
			c.send(whole("early"))
			c.next()
		}
	})
	r = start(t, Settings{Addresses: []Address{p.address}, KeepAlive: true})
	nc, err := net.Dial("unix", p.address.Address)
	if err != nil {
		t.Fatal(err)
	}
	c := &stuckConn{UnixConn: nc.(*net.UnixConn), writing: writing, interrupted: make(chan struct{})}
	a := r.pool.addresses[0]
	a.idle = append(a.idle, &conn{Conn: c, at: a, reused: true, since: r.Now()})
	pr, pw := io.Pipe()
	req := r.request("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 4*part)), pr))
	req.ContentLength = 1 << 20
	if got := r.do(req); got.status != 200 || got.body != "early" {
		t.Errorf("got %v", got)
	}
	pw.Close()
	if n := c.writes.Load(); n != 2 {
		t.Errorf("%d writes", n)
	}
}

// TestClientLeaves: the responder gets ABORT_REQUEST and the end of the connection, whatever it was doing; and the
// connection is gone.
func TestClientLeaves(t *testing.T) {
	f := func(name, request string, part []byte) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			begun, left := make(chan struct{}), make(chan string, 1)
			p := listen(t, func(c *peerConn) {
				if _, ok := c.head(); !ok {
					return
				}
				c.send(part)
				close(begun)
				var types []string
				for {
					rec, ok := c.next()
					if !ok {
						break
					}
					if rec.Type != fcgi.TypeStdin {
						types = append(types, rec.Type.String())
					}
				}
				left <- strings.Join(types, " ")
			})
			r := start(t, Settings{Addresses: []Address{p.address}, KeepAlive: true})
			c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, request)
			<-begun
			c.Close()
			select {
			case got := <-left:
				if got != "ABORT_REQUEST" {
					t.Errorf("the responder got %q", got)
				}
			case <-time.After(patience):
				t.Error("the responder hears nothing of it")
			}
			eventually(t, "released", func() bool {
				_, loads := r.State()
				return loads[0].Outstanding == 0 && loads[0].Idle == 0
			})
			for f, n := range r.counts {
				t.Errorf("%d failures of kind %s", n, f.Metric())
			}
		})
	}
	f("before an answer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nil)
	f("inside an answer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", stdout("X-A: b\r\n\r\nbody"))
	f("inside the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin", nil)
}

// TestSlowClient: what the client does not take is not read from the responder either.
func TestSlowClient(t *testing.T) {
	var sent atomic.Int64
	p := listen(t, func(c *peerConn) {
		if _, ok := c.request(); !ok {
			return
		}
		c.send(stdout("X-A: b\r\n\r\n"))
		piece := stdout(strings.Repeat("x", 32<<10))
		for c.send(piece) {
			sent.Add(int64(len(piece)))
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address}})
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	before, looks := int64(0), 0
	eventually(t, "at a standstill", func() bool {
		if now := sent.Load(); now != before || now == 0 {
			before, looks = now, 0
		}
		looks++
		return looks > 50
	})
	// One window, one read buffer, and what the kernel keeps on both connections.
	if n := sent.Load(); n > 16<<20 {
		t.Errorf("%d bytes were taken for a client that reads nothing", n)
	}
	if held := r.Budget.Held(); held > 1<<20 {
		t.Errorf("%d bytes are held", held)
	}
}

// TestTimeouts: of every part of a conversation.
func TestTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	silent := func(c *peerConn) { c.request(); c.next() }
	r := start(t, Settings{Addresses: []Address{listen(t, silent).address}, FirstByteTimeout: short})
	if a := r.get("/"); a.status != 504 || r.failed(FailTimeout) != 1 {
		t.Errorf("no first byte: %v", a)
	}
	r = start(t, Settings{Addresses: []Address{listen(t, func(c *peerConn) {
		c.request()
		for c.send(stderr("alive\n")) {
		}
	}).address}, FirstByteTimeout: short})
	if a := r.get("/"); a.status != 504 {
		t.Errorf("error output instead of a first byte: %v", a)
	}
	r = start(t, Settings{Addresses: []Address{listen(t, func(c *peerConn) {
		c.request()
		c.send(stdout("X-A: b\r\n\r\nbody"))
		c.next()
	}).address}, ReadTimeout: short})
	if a := r.get("/"); a.status != 200 || a.err == nil || r.failed(FailTimeout) != 1 {
		t.Errorf("no second byte: %v", a)
	}
	// It reads nothing: the body fills the sockets' buffers.
	release := make(chan struct{})
	r = start(t, Settings{Addresses: []Address{listen(t, func(*peerConn) { <-release }).address}, ReadTimeout: short})
	if a := r.do(r.request("POST", "/", bytes.NewReader(make([]byte, 8<<20)))); a.status != 504 || r.failed(FailTimeout) != 1 {
		t.Errorf("takes nothing: %v", a)
	}
	close(release)
	// It reads nothing while its answer waits for the client.
	r = start(t, Settings{Addresses: []Address{listen(t, func(c *peerConn) {
		c.send(stdout("X-A: b\r\n\r\n"))
		for c.send(stdout(strings.Repeat("x", 32<<10))) {
		}
	}).address}, ReadTimeout: 10 * short})
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const size = 8 << 20
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "given up", func() bool { return r.failed(FailTimeout) == 1 })
	for f, n := range r.counts {
		if f != FailTimeout {
			t.Errorf("%d failures of kind %s", n, f.Metric())
		}
	}
}

// TestConcurrent: answers go to those who asked, under load, with clients that leave.
func TestConcurrent(t *testing.T) {
	p := listen(t, func(c *peerConn) {
		for {
			a, ok := c.request()
			if !ok || !c.send(whole(a.params["QUERY_STRING"]+strings.Repeat("x", 1000))) {
				return
			}
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address}, KeepAlive: true, Connections: 4, Queue: 1000})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 50 {
				if n%5 == 4 {
					c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
					if err == nil {
						io.WriteString(c, "GET /?left HTTP/1.1\r\nHost: a\r\n\r\n")
						c.Close()
					}
					continue
				}
				q := fmt.Sprintf("%d-%d", i, n)
				if a := r.get("/?" + q); a.status != 200 || strings.TrimRight(a.body, "x") != q {
					t.Errorf("%s: got %v", q, a)
				}
			}
		})
	}
	all.Wait()
}

// TestErrorOutput: lines go to the log, escaped; too long ones are split, too many counted.
func TestErrorOutput(t *testing.T) {
	p := always(t, append(stderr("first\r\nsec"), append(stderr("ond \x1b[31m\n"+strings.Repeat("y", 3000)+"\n"+strings.Repeat("z\n", 40<<10)), whole("ok")...)...))
	r := start(t, Settings{Addresses: []Address{p.address}})
	if a := r.get("/"); a.body != "ok" {
		t.Errorf("got %v", a)
	}
	for _, want := range []string{"msg=first ", `msg="second \x1b[31m"`, "msg=" + strings.Repeat("y", lineMost) + " ", "msg=" + strings.Repeat("y", 3000-lineMost) + " ", "dropped"} {
		eventually(t, want, func() bool { return strings.Contains(r.log.String(), want) })
	}
	if n := len(r.log.String()); n > 4<<20 {
		t.Errorf("the log has %d bytes", n)
	}
}

// TestServerName: of listeners whose address says nothing.
func TestServerName(t *testing.T) {
	f := func(peer exchange.Peer, authority, name, port, addr string) {
		t.Helper()
		x := &exchange.Exchange{Peer: &peer}
		x.Request.Authority = []byte(authority)
		var w paramWriter
		(&parameters{}).write(&w, x, &script{}, -1)
		var pairs fcgi.Pairs
		_ = pairs.Feed(w.out)
		got := map[string]string{}
		for {
			name, value, ok, err := pairs.Next()
			if err != nil || !ok {
				break
			}
			got[string(name)] = string(value)
		}
		if got["SERVER_NAME"] != name || got["SERVER_PORT"] != port || got["SERVER_ADDR"] != addr {
			t.Errorf("%+v %s: got %q %q %q", peer, authority, got["SERVER_NAME"], got["SERVER_PORT"], got["SERVER_ADDR"])
		}
	}
	f(exchange.Peer{ServerName: "192.0.2.1", ServerPort: "81"}, "a.test", "192.0.2.1", "81", "192.0.2.1")
	f(exchange.Peer{ServerName: "0.0.0.0", ServerPort: "81"}, "a.test:82", "a.test", "81", "")
	f(exchange.Peer{ServerName: "::", ServerPort: "81"}, "[2001:db8::1]", "[2001:db8::1]", "81", "")
	f(exchange.Peer{ServerName: "::", ServerPort: "81"}, "[2001:db8::1]:8", "[2001:db8::1]", "81", "")
	f(exchange.Peer{ServerName: "/run/s"}, "", "localhost", "80", "")
}

// TestParameterRecords: no pair that fits into a record is cut in two, which PHP refuses.
func TestParameterRecords(t *testing.T) {
	sizes := make(chan []int, 1)
	p := listen(t, func(c *peerConn) {
		if rec, ok := c.next(); !ok || rec.Type != fcgi.TypeBeginRequest {
			return
		}
		var all []int
		for {
			rec, ok := c.next()
			if !ok || len(rec.Content) == 0 {
				break
			}
			all = append(all, len(rec.Content))
			var pairs fcgi.Pairs
			_ = pairs.Feed(rec.Content)
			for ok := true; ok; {
				_, _, ok, _ = pairs.Next()
			}
			if err := pairs.End(); err != nil {
				t.Errorf("record %d: %v", len(all), err)
			}
		}
		c.next()
		sizes <- all
		c.send(whole(""))
	})
	r := start(t, Settings{Addresses: []Address{p.address}})
	req := r.request("GET", "/", nil)
	for i := range 50 {
		req.Header.Set(fmt.Sprint("X-", i), strings.Repeat("v", 1000*i))
	}
	if a := r.do(req); a.status != 200 {
		t.Fatalf("got %v", a)
	}
	total := 0
	for _, n := range <-sizes {
		total += n
	}
	if total < 1_225_000 {
		t.Errorf("%d bytes", total)
	}
}

// TestParameters: what a responder is told of a request.
func TestParameters(t *testing.T) {
	got := make(chan map[string]string, 1)
	p := listen(t, func(c *peerConn) {
		a, ok := c.request()
		if ok {
			got <- a.params
			c.send(whole(""))
		}
	})
	r := start(t, Settings{
		Addresses: []Address{p.address},
		Files:     Files{Root: "/srv/www", Split: ".php", Index: "index.php", Check: CheckOff},
		Params:    map[string]string{"APP_ENV": "test", "SERVER_NAME": "shop.test", "SERVER_SOFTWARE": "", "HTTP_X_OWN": "ours"},
	})
	long := strings.Repeat("l", 100_000)
	req := r.request("POST", "/a%20b/x.php/in/fo%c3%a9?q=%20", strings.NewReader("body"))
	req.Host = "www.shop.test:81"
	req.Header = http.Header{
		"Content-Type": {"text/x"}, "Cookie": {"a=1", "b=2"}, "X-Two": {"1", "2"}, "X_under": {"evil"}, "Proxy": {"evil"}, "X.Dot": {"evil"}, "X~Tilde": {"evil"}, "X!": {"evil"},
		"X-Long": {long}, "X-Own": {"theirs"}, "Script-Name": {"/evil"}, "User-Agent": {""}, "X-127": {strings.Repeat("a", 127)}, "X-128": {strings.Repeat("a", 128)},
	}
	if a := r.do(req); a.status != 200 {
		t.Fatalf("got %v", a)
	}
	params := <-got
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(r.url, "http://"))
	want := map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "shop.test", "SERVER_PORT": port, "SERVER_ADDR": host,
		"REMOTE_ADDR": "127.0.0.1", "REQUEST_SCHEME": "http", "REQUEST_METHOD": "POST", "REQUEST_URI": "/a%20b/x.php/in/fo%c3%a9?q=%20",
		"QUERY_STRING": "q=%20", "SCRIPT_NAME": "/a b/x.php", "PATH_INFO": "/in/foé", "DOCUMENT_URI": "/a b/x.php/in/foé",
		"SCRIPT_FILENAME": "/srv/www/a b/x.php", "DOCUMENT_ROOT": "/srv/www", "PATH_TRANSLATED": "/srv/www/in/foé", "REDIRECT_STATUS": "200",
		"CONTENT_LENGTH": "4", "CONTENT_TYPE": "text/x", "HTTP_HOST": "www.shop.test:81", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_TWO": "1, 2",
		"HTTP_X_LONG": long, "HTTP_X_OWN": "ours", "HTTP_SCRIPT_NAME": "/evil", "APP_ENV": "test",
		"HTTP_X_127": strings.Repeat("a", 127), "HTTP_X_128": strings.Repeat("a", 128),
	}
	for name, value := range params {
		if name == "REMOTE_PORT" {
			continue
		}
		if w, ok := want[name]; !ok || w != value {
			t.Errorf("%s is %.100q, want %.100q", name, value, w)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}
