package upstream

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	stdfcgi "net/http/fcgi"
	"strings"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// goResponder is Go's own FastCGI responder.
func goResponder(t *testing.T, h http.Handler) Address {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = stdfcgi.Serve(ln, h) }()
	t.Cleanup(func() { ln.Close() })
	return Address{"tcp", ln.Addr().String()}
}

// TestGoResponder talks to net/http/fcgi, which somebody else wrote.
func TestGoResponder(t *testing.T) {
	long := strings.Repeat("x", 60<<10)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%s %d %x %v %s", r.Method, n, sum.Sum(nil), err, r.URL.RawQuery)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", long)
		for range 100 {
			_, _ = io.WriteString(w, long)
		}
	})
	mux.HandleFunc("/teapot", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Header.Get("X-Sent")+" "+r.Host+" "+r.RemoteAddr)
	})
	for _, keep := range []bool{false, true} {
		r := start(t, Settings{Addresses: []Address{goResponder(t, mux)}, KeepAlive: keep})
		body := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
		for _, size := range []int{0, 1, 1000, 40_000, len(body)} {
			want := fmt.Sprintf("POST %d %x <nil> q=1&q=2", size, sha256.Sum256(body[:size]))
			if a := r.do(r.request("POST", "/echo?q=1&q=2", bytes.NewReader(body[:size]))); a.status != 200 || a.body != want {
				t.Errorf("%d bytes: got %d %q, want %q", size, a.status, a.body, want)
			}
			// Of unknown length: chunked, so it has to be complete first.
			if a := r.do(r.request("POST", "/echo?q=1&q=2", io.MultiReader(bytes.NewReader(body[:size])))); size > 0 && a.body != want {
				t.Errorf("%d bytes chunked: got %d %q, want %q", size, a.status, a.body, want)
			}
		}
		if a := r.get("/big"); a.err != nil || a.body != strings.Repeat(long, 100) || a.header.Get("X-Long") != long {
			t.Errorf("got %d, %d bytes, %v", a.status, len(a.body), a.err)
		}
		req := r.request("GET", "/teapot", nil)
		req.Header.Set("X-Sent", long)
		if a := r.do(req); a.status != 418 || !strings.HasPrefix(a.body, long+" 127.0.0.1:") || len(a.header["Set-Cookie"]) != 2 {
			t.Errorf("got %d, %v, %.100q", a.status, a.header, a.body)
		}
		if a := r.do(r.request("HEAD", "/big", nil)); a.status != 200 || a.body != "" || a.err != nil {
			t.Errorf("HEAD: %d %q %v", a.status, a.body, a.err)
		}
		r.get("/teapot") // a HEAD request's client has its answer before the responder has sent it all
		if _, loads := r.State(); keep != (loads[0].Idle > 0) {
			t.Errorf("keep_alive %t: %d idle connections", keep, loads[0].Idle)
		}
	}
}

// TestAnswers: what answers of all kinds become, with records cut and padded in every way.
func TestAnswers(t *testing.T) {
	type want struct {
		status int
		body   string // "cut": it must not look complete
		failed int    // a Failure, or -1
	}
	complete := end(0, fcgi.StatusRequestComplete)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	padded := func(pad int, text string) []byte {
		b := fcgi.AppendHeader(nil, fcgi.TypeStdout, 0, 1, uint16(len(text)), uint8(pad))
		return append(append(b, text...), bytes.Repeat([]byte{0xee}, pad)...)
	}
	f := func(name string, sent []byte, w want) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 7, -1} {
				p := listen(t, func(c *peerConn) {
					if _, ok := c.request(); !ok {
						return
					}
					seed := rand.Uint64()
					random := rand.New(rand.NewPCG(seed, 0))
					for rest := sent; len(rest) > 0; {
						n := len(rest)
						switch {
						case cut > 0:
							n = min(n, cut)
						case cut < 0:
							n = 1 + random.IntN(n)
						}
						if !c.send(rest[:n]) {
							return
						}
						rest = rest[n:]
					}
					_ = c.Conn.(*net.UnixConn).CloseWrite()
					c.next() // until the gateway closes
				})
				r := start(t, Settings{Addresses: []Address{p.address}})
				a := r.get("/")
				switch {
				case a.status != w.status:
					t.Errorf("in parts of %d: status %d, want %d; %q", cut, a.status, w.status, a.body)
				case w.body == "cut" && a.err == nil:
					t.Errorf("in parts of %d: the answer looks complete: %q", cut, a.body)
				case w.body != "cut" && (a.err != nil || w.body != "" && a.body != w.body):
					t.Errorf("in parts of %d: %q, %v, want %q", cut, a.body, a.err, w.body)
				}
				if w.failed >= 0 {
					eventually(t, "counted as "+Failure(w.failed).Metric(), func() bool { return r.failed(Failure(w.failed)) == 1 })
				}
				if strings.Contains(fmt.Sprint(a), "secret") {
					t.Errorf("something of the value was sent: %v", a)
				}
			}
		})
	}
	const head = "Status: 201 Made\r\nX-A: b\r\n\r\n"
	ok := want{201, "body", -1}
	f("ordinary", join(stdout(head+"body"), stdout(""), fcgi.AppendStreamEnd(nil, fcgi.TypeStdout, 1), complete), ok)
	f("no end of the stream", join(stdout(head+"body"), complete), ok)
	f("LF only", join(stdout("Status: 201\nX-A: b\n\nbody"), complete), ok)
	f("head in several records", join(stdout(head[:5]), stdout(head[5:20]), stdout(head[20:]), stdout("bo"), stdout("dy"), complete), ok)
	f("padding", join(padded(255, head), padded(1, "bo"), padded(0, "d"), padded(7, "y"), complete), ok)
	f("error output between and after", join(stderr("one\n"), stdout(head+"bo"), stderr("two"), stdout("dy"),
		fcgi.AppendStreamEnd(nil, fcgi.TypeStdout, 1), stderr("late\n"), complete), ok)
	f("content length", join(stdout("Status: 201\r\nContent-Length: 4\r\n\r\nbody"), complete), ok)
	f("no status", join(stdout("Content-Type: text/plain\r\n\r\nbody"), complete), want{200, "body", -1})
	f("location", join(stdout("Location: /elsewhere\r\n\r\n"), complete), want{302, "", -1})
	f("empty body", join(stdout("Status: 204\r\n\r\n"), complete), want{204, "", -1})
	f("failed, with an answer", join(stdout(head+"body"), end(7, fcgi.StatusRequestComplete)), ok)

	f("failed, without an answer", end(7, fcgi.StatusRequestComplete), want{502, "", int(FailNoAnswer)})
	f("half a head", join(stdout("Status: 200\r\n"), complete), want{502, "", int(FailNoAnswer)})
	f("overloaded", end(0, fcgi.StatusOverloaded), want{503, "", int(FailOverloaded)})
	f("cannot multiplex", end(0, fcgi.StatusCantMpxConn), want{502, "", int(FailRefused)})
	f("unknown role", end(0, fcgi.StatusUnknownRole), want{502, "", int(FailRefused)})
	f("overloaded after the head", join(stdout(head+"body"), stdout(strings.Repeat("x", 70<<10)), end(0, fcgi.StatusOverloaded)), want{201, "cut", int(FailOverloaded)})
	f("ends before the head", nil, want{502, "", int(FailDied)})
	f("ends inside the head", stdout(head[:10]), want{502, "", int(FailDied)})
	f("ends inside a record", stdout(head + "body")[:20], want{502, "", int(FailDied)})
	f("ends without END_REQUEST", join(stdout(head+"body"), stdout(strings.Repeat("x", 70<<10))), want{201, "cut", int(FailDied)})
	f("less than its length", join(stdout("Content-Length: 5\r\n\r\nbody"), complete), want{200, "cut", -1})
	f("not FastCGI", []byte("HTTP/1.1 200 OK\r\n\r\n"), want{502, "", int(FailProtocol)})
	f("another's id", join(fcgi.AppendStream(nil, fcgi.TypeStdout, 2, []byte(head+"secret")), complete), want{502, "", int(FailProtocol)})
	f("id 0", join(fcgi.AppendStream(nil, fcgi.TypeStdout, 0, []byte(head+"secret")), complete), want{502, "", int(FailProtocol)})
	f("unknown type", join(fcgi.AppendStream(nil, 99, 1, []byte("secret")), complete), want{502, "", int(FailProtocol)})
	f("short END_REQUEST", fcgi.AppendHeader(nil, fcgi.TypeEndRequest, 0, 1, 0, 0), want{502, "", int(FailProtocol)})
	f("status 103", join(stdout("Status: 103\r\n\r\n"), complete), want{502, "", int(FailAnswerHead)})
	f("status 99", join(stdout("Status: 99\r\n\r\n"), complete), want{502, "", int(FailAnswerHead)})
	f("no head at all", join(stdout("secret without a colon\r\n\r\n"), complete), want{502, "", int(FailAnswerHead)})
	f("CR in a value", join(stdout("X-A: b\rX-B: secret\r\n\r\n"), complete), want{502, "", int(FailAnswerHead)})
	f("NUL in a value", join(stdout("X-A: secret\x00\r\n\r\n"), complete), want{502, "", int(FailAnswerHead)})
	f("blank in a name", join(stdout("X A: secret\r\n\r\n"), complete), want{502, "", int(FailAnswerHead)})
	f("two lengths", join(stdout("Content-Length: 1\r\nContent-Length: 2\r\n\r\nsecret"), complete), want{502, "", int(FailAnswerHead)})
	f("length that is none", join(stdout("Content-Length: -1\r\n\r\nsecret"), complete), want{502, "", int(FailAnswerHead)})
}

// TestLongLines: one line of 1 KiB, where gofast hangs, of 64 KiB, and of more than a head may have.
func TestLongLines(t *testing.T) {
	for _, n := range []int{1025, 64 << 10, 300 << 10} {
		value := strings.Repeat("v", n)
		p := always(t, append(stdout("X-Long: "+value+"\r\n\r\n"), end(0, fcgi.StatusRequestComplete)...))
		r := start(t, Settings{Addresses: []Address{p.address}})
		req := r.request("GET", "/", nil)
		r.client.Transport.(*http.Transport).MaxResponseHeaderBytes = 1 << 20
		if a := r.do(req); a.status != 200 || a.header.Get("X-Long") != value {
			t.Errorf("%d: status %d, %d bytes", n, a.status, len(a.header.Get("X-Long")))
		}
	}
	p := always(t, append(stdout("X-Long: "+strings.Repeat("v", headMost)+"\r\n\r\n"), end(0, fcgi.StatusRequestComplete)...))
	r := start(t, Settings{Addresses: []Address{p.address}})
	if a := r.get("/"); a.status != 502 || r.failed(FailAnswerHead) != 1 {
		t.Errorf("more than the limit: %d", a.status)
	}
}

// TestStreaming: parts of an answer arrive as they are sent, also while the request's body is still on its way.
func TestStreaming(t *testing.T) {
	turn := make(chan string)
	p := listen(t, func(c *peerConn) {
		if _, ok := c.head(); !ok {
			return
		}
		c.send(stdout("Content-Type: text/plain\r\n\r\n"))
		for {
			rec, ok := c.next()
			if !ok || rec.Type != fcgi.TypeStdin || len(rec.Content) == 0 {
				break
			}
			c.send(stdout("got " + string(rec.Content) + ";"))
		}
		c.send(end(0, fcgi.StatusRequestComplete))
	})
	r := start(t, Settings{Addresses: []Address{p.address}})
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				close(turn)
				return
			}
			turn <- string(buf[:n])
		}
	}()
	all := ""
	await := func(text string) {
		t.Helper()
		for !strings.Contains(all, text) {
			s, ok := <-turn
			if !ok {
				t.Fatalf("no %q in %q", text, all)
			}
			all += s
		}
	}
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\n")
	await("\r\n\r\n")
	io.WriteString(c, "one")
	await("got one;")
	io.WriteString(c, "two")
	await("got two;")
	await("0\r\n\r\n")
	<-turn
}
