package http1

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

// What the application did not read is thrown away within bounds, and never answered.
func TestUnreadBody(t *testing.T) {
	const chunked = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	length := func(n int) string {
		return fmt.Sprintf("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", n)
	}
	some := strings.Repeat("x", maxDrain)
	f := func(name, out, end string, parts ...string) {
		t.Run(name, func(t *testing.T) {
			a := &app{run: func(f func()) { f() }}
			r := newRig(t, a.Respond, nil)
			for _, p := range parts {
				r.s.Feed([]byte(p))
			}
			if got := r.tr.text(); got != out || r.end() != end {
				t.Errorf("it is %s and got\n%q, want %s and\n%q", r.end(), got, end, out)
			}
			if want := strings.Count(out, "HTTP/1.1"); len(r.done) != want {
				t.Errorf("Done was told of %v", r.done)
			}
			r.s.Closed()
			r.check()
		})
	}
	closes, next := answer200("/a", "Connection: close"), answer200("/b")
	f("short", answer200("/a")+next, "open", length(maxDrain), some+get("/b"))
	f("too long", closes, "fin", length(maxDrain+1), some)
	f("chunks", answer200("/a")+next, "open", chunked, "5\r\nhello\r\n0\r\n\r\n"+get("/b"))
	f("too many chunks", answer200("/a"), "fin", chunked, "fffff\r\n"+some, some, get("/b"))
	f("bad chunk", answer200("/a"), "fin", chunked, "5\r\nhelloX", get("/b"))
	f("bad trailer", answer200("/a"), "fin", chunked, "0\r\nHost: h\r\n\r\n", get("/b"))
}

// A body beyond the memory goes to disk, arrives whole, and leaves nothing behind.
func TestSpilledBody(t *testing.T) {
	body := make([]byte, 300_000)
	for i := range body {
		body[i] = byte(i * 7 >> 3)
	}
	for name, buffer := range map[string]int64{"streamed": 0, "buffered": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			var x *exchange.Exchange
			var src source
			r := newRig(t, responder(func(y *exchange.Exchange) { x = y; x.Source = &src }), func(cfg *Config) { cfg.BufferBody = buffer })
			r.s.Feed([]byte(fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(body))))
			for p := body; len(p) > 0; {
				n := min(len(p), 10_000)
				r.s.Feed(p[:n])
				p = p[n:]
			}
			if !r.tr.spilling {
				t.Error("the transport was not told")
			}
			var got []byte
			for end := false; !end; {
				var err error
				if got, end, err = x.Body.Next(got, 50_000); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, body) {
				t.Error("the body is not what was sent")
			}
			_ = x.Writer.Answer(200, nil, nil)
			if left, _ := os.ReadDir(r.cfg.SpoolDir); len(left) > 0 {
				t.Errorf("left on disk: %v", left)
			}
			r.s.Closed()
			r.check()
		})
	}
	t.Run("no disk", func(t *testing.T) {
		a := &app{run: func(f func()) { f() }}
		r := newRig(t, a.Respond, func(cfg *Config) {
			cfg.BufferBody = 1 << 20
			cfg.SpoolDir = filepath.Join(cfg.SpoolDir, "missing")
		})
		r.s.Feed([]byte(post("/echo", string(body))))
		if got := r.tr.text(); got != refusal(500, "") || r.end() != "fin" {
			t.Errorf("it is %s and got %q", r.end(), got)
		}
		r.s.Closed()
		r.check()
	})
}

// A chunked body has no length before its end: an application that is to be given complete
// bodies gets it then, however large it is; one that takes no buffering gets it at once.
func TestChunkedBodyIsComplete(t *testing.T) {
	f := func(buffer int64, want []string) {
		t.Helper()
		var seen []string
		r := newRig(t, responder(func(x *exchange.Exchange) {
			n, known := x.Body.Length()
			seen = append(seen, fmt.Sprint(n, known))
			_ = x.Writer.Answer(200, nil, nil)
		}), func(cfg *Config) { cfg.BufferBody = buffer })
		r.s.Feed([]byte(chunkedPost))
		for range 30 {
			r.s.Feed([]byte("a\r\n0123456789\r\n"))
		}
		r.s.Feed([]byte("0\r\n\r\n"))
		if !slices.Equal(seen, want) {
			t.Errorf("buffer %d: dispatched with length %v, want %v", buffer, seen, want)
		}
		r.s.Closed()
		r.check()
	}
	f(0, []string{"0 false"})
	f(100, []string{"300 true"})
	f(10_000, []string{"300 true"})
}

func TestLimitOfChunkedBody(t *testing.T) {
	f := func(n int, buffer int64, want string) {
		t.Helper()
		a := &app{run: func(f func()) { f() }}
		r := newRig(t, a.Respond, func(cfg *Config) { cfg.Body, cfg.BufferBody = 1000, buffer })
		r.s.Feed([]byte(chunkedPost))
		for range n {
			r.s.Feed([]byte("1\r\nx\r\n"))
		}
		r.s.Feed([]byte("0\r\n\r\n"))
		if got := r.tr.text(); got != want {
			t.Errorf("%d bytes: got %q", n, got)
		}
		r.s.Closed()
		r.check()
	}
	for _, buffer := range []int64{0, 100, 10_000} {
		f(1000, buffer, answer200(strings.Repeat("x", 1000)))
		f(1001, buffer, refusal(413, "the request body is larger than the limit"))
	}
}

// Nothing of a request is seen in the next one, nor in the report of a refusal.
func TestRequestsDoNotMix(t *testing.T) {
	var seen []string
	r := newRig(t, responder(func(x *exchange.Exchange) {
		seen = append(seen, fmt.Sprintf("%s %s %s %d %d %v %v", x.Request.Method, x.Request.Path, x.Request.Query, len(x.Request.Fields), x.Request.ContentLength, x.Body != nil, x.Status))
		_ = x.Writer.Answer(200, nil, nil)
	}), nil)
	r.s.Feed([]byte(post("/a%20b?q", "body", "A: 1", "B: 2", "Expect: 100-continue") + get("/c")))
	r.s.Feed([]byte("PUT /secret HTTP/1.1\r\nHost: h\r\n"))
	r.pass(r.cfg.HeaderTimeout + 3*tick)
	want := "POST /a b q 5 4 true 0|GET /c  1 0 false 0"
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("seen\n%s, want\n%s", got, want)
	}
	if last := r.done[len(r.done)-1]; len(r.done) != 3 || last != (ended{"", "", 408}) {
		t.Errorf("Done was told of %v", r.done)
	}
	r.s.Closed()
	r.check()
}

// A request is readable until its end, whatever comes behind it.
func TestRequestStaysReadable(t *testing.T) {
	show := func(x *exchange.Exchange) string { return fmt.Sprintf("%s %q", x.Request.Target, x.Request.Fields) }
	var x *exchange.Exchange
	var before string
	r := newRig(t, responder(func(y *exchange.Exchange) { x, before = y, show(y) }), nil)
	f := func(size int, parts ...int) {
		t.Helper()
		r.s.Feed([]byte(get("/first", "X: "+strings.Repeat("a", size))))
		r.s.Feed([]byte("GET /second HTTP/1.1\r\nHost: h\r\nX: "))
		for _, n := range parts {
			r.s.Feed([]byte(strings.Repeat("b", n)))
			if now := show(x); now != before {
				t.Fatalf("%.60s became %.60s", before, now)
			}
		}
		r.s.Feed([]byte("\r\n\r\n"))
		for range 2 {
			if now := show(x); now != before {
				t.Fatalf("%.60s became %.60s", before, now)
			}
			_ = x.Writer.Answer(200, nil, nil)
		}
	}
	f(10, 100, 5000)
	f(3000, 1000, 1000)
	f(4000, 3000, 3000, 3000)
	f(4040, 1, 1, 1, 1, 3000)
	f(20_000, 3000, 20_000)
	r.s.Closed()
	r.check()
}

// What has come of a body can be taken before its end.
func TestBodyArrivesInParts(t *testing.T) {
	for name, parts := range map[string][]string{
		"length":  {"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n", "ab", "cd", "ef"},
		"chunked": {chunkedPost, "2\r\nab\r\n", "1\r\nc\r\n1\r\nd\r\n", "2\r\nef\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			r := newRig(t, responder(func(x *exchange.Exchange) {
				x.Body.Notify(func() {
					part, end, err := x.Body.Next(nil, 100)
					told = append(told, fmt.Sprintf("%s %v", part, end))
					if err != nil {
						t.Error(err)
					}
					if end {
						_ = x.Writer.Answer(200, nil, nil)
					}
				})
			}), nil)
			for _, p := range parts {
				r.s.Feed([]byte(p))
			}
			if got, want := strings.Join(told, ", "), "ab false, cd false, ef true"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			r.s.Closed()
			r.check()
		})
	}
}
