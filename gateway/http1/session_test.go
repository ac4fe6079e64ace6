package http1

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func get(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func post(path, body string, fields ...string) string {
	fields = append(fields, fmt.Sprintf("Content-Length: %d", len(body)))
	return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

// answer200 is an answer with a length.
func answer200(body string, fields ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(append(fields, ""), "\r\n"), body)
}

// refusal is an answer of the gateway's own.
func refusal(status int, reason string) string {
	text := fmt.Sprintf("%d %s\n", status, StatusText(status))
	if reason != "" {
		text += reason + "\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, StatusText(status), len(text), text)
}

const (
	chunkedPost = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	streamed    = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
	bad502      = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 16\r\n\r\n502 Bad Gateway\n"
)

// conversations: what the client sends, and all that it gets, however it is cut and
// whenever the application answers.
var conversations = []struct {
	name, in, out, end string
	buffer             int64 // Config.BufferBody
}{
	{name: "one", in: get("/a"), out: answer200("/a"), end: "open"},
	{name: "keep-alive", in: get("/a") + get("/b") + get("/c"), out: answer200("/a") + answer200("/b") + answer200("/c"), end: "open"},
	{name: "close asked", in: get("/a", "Connection: close") + get("/b"), out: answer200("/a", "Connection: close"), end: "fin"},
	{name: "close by application", in: get("/close") + get("/b"), out: answer200("bye", "Connection: close"), end: "fin"},
	{name: "1.0", in: "GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n", out: answer200("/a", "Connection: close"), end: "fin"},
	{
		name: "1.0 keep-alive", in: "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/b"),
		out: answer200("/a", "Connection: keep-alive") + answer200("/b"), end: "open",
	},
	{
		name: "1.0 stream ends with the connection", in: "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		out: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonethree", end: "fin",
	},
	{name: "1.0 gets no 103", in: "GET /hints HTTP/1.0\r\n\r\n", out: answer200("ok", "Connection: close"), end: "fin"},
	{name: "HEAD", in: "HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n" + get("/b"), out: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + answer200("/b"), end: "open"},
	{name: "HEAD of a stream", in: "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n" + get("/b"), out: "HTTP/1.1 200 OK\r\n\r\n" + answer200("/b"), end: "open"},
	{name: "HEAD of an abort", in: "HEAD /abort HTTP/1.1\r\nHost: h\r\n\r\n" + get("/b"), out: "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 16\r\n\r\n" + answer200("/b"), end: "open"},
	{name: "stream", in: get("/stream") + get("/b"), out: streamed + answer200("/b"), end: "open"},
	{name: "large part", in: get("/large") + get("/b"), out: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n" + strings.Repeat("x", directWrite) + "\r\n0\r\n\r\n" + answer200("/b"), end: "open"},
	{name: "length kept", in: get("/length") + get("/b"), out: answer200("hello") + answer200("/b"), end: "open"},
	{name: "short is cut", in: get("/short") + get("/b"), out: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", end: "fin"},
	{name: "abort", in: get("/abort") + get("/b"), out: bad502 + answer200("/b"), end: "open"},
	{name: "abort of what nobody saw", in: get("/abort-gathered") + get("/b"), out: bad502 + answer200("/b"), end: "open"},
	{name: "abort after bytes", in: get("/abort-late") + get("/b"), out: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nseen\r\n", end: "fin"},
	{name: "abort without a word", in: get("/abort-silent") + get("/b"), out: "", end: "fin"},
	{name: "hints", in: get("/hints") + get("/b"), out: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer200("ok") + answer200("/b"), end: "open"},
	{name: "204", in: get("/204") + get("/b"), out: "HTTP/1.1 204 No Content\r\n\r\n" + answer200("/b"), end: "open"},
	{name: "304", in: get("/304") + get("/b"), out: "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n" + answer200("/b"), end: "open"},
	{name: "no answer", in: get("/none") + get("/b"), out: "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 26\r\n\r\n500 Internal Server Error\n" + answer200("/b"), end: "open"},
	{name: "illegal field", in: get("/bad") + get("/b"), out: "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 26\r\n\r\n500 Internal Server Error\n" + answer200("/b"), end: "open"},
	{name: "body", in: post("/echo", "hello") + post("/echo", "") + get("/b"), out: answer200("hello") + answer200("") + answer200("/b"), end: "open"},
	{name: "body buffered", buffer: 1 << 10, in: post("/echo", "hello") + get("/b"), out: answer200("hello") + answer200("/b"), end: "open"},
	{
		name: "body chunked", in: chunkedPost + "3\r\none\r\n1;x=\"y\"\r\n,\r\n3\r\ntwo\r\n0\r\nX: y\r\n\r\n" + get("/b"),
		out: answer200("one,two") + answer200("/b"), end: "open",
	},
	{
		name: "body chunked buffered", buffer: 4, in: chunkedPost + "3\r\none\r\n1\r\n,\r\n3\r\ntwo\r\n0\r\n\r\n" + get("/b"),
		out: answer200("one,two") + answer200("/b"), end: "open",
	},
	{name: "unread body", in: post("/a", get("/smuggled")) + get("/b"), out: answer200("/a") + answer200("/b"), end: "open"},
	{
		name: "unread chunked body", in: strings.Replace(chunkedPost, "/echo", "/a", 1) + "5\r\nGET /\r\n0\r\n\r\n" + get("/b"),
		out: answer200("/a") + answer200("/b"), end: "open",
	},
	{name: "refused", in: "GET / HTTP/1.1\r\nHost : h\r\n\r\n" + get("/b"), out: refusal(400, "whitespace in a field name or before its colon"), end: "fin"},
	{name: "good, bad, good", in: get("/a") + "\x16\x03" + get("/b"), out: answer200("/a") + refusal(400, "a TLS handshake on a plaintext port; use http:// or another port"), end: "fin"},
	{name: "too large", in: "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n", out: refusal(413, "the request body is larger than the limit"), end: "fin"},
	{name: "bad chunk", in: chunkedPost + "3\r\none\r\nzz\r\n" + get("/b"), out: refusal(400, "a chunk size is not a hexadecimal number"), end: "fin"},
	{name: "bad chunk buffered", buffer: 1 << 10, in: chunkedPost + "3\r\none\r\nzz\r\n" + get("/b"), out: refusal(400, "a chunk size is not a hexadecimal number"), end: "fin"},
	{name: "expect in 1.0", in: "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok", out: answer200("ok", "Connection: close"), end: "fin"},
}

// How the bytes of a client are cut.
var splits = map[string]func(in string, feed func(string)){
	"whole": func(in string, feed func(string)) { feed(in) },
	"bytes": func(in string, feed func(string)) {
		for i := range len(in) {
			feed(in[i : i+1])
		}
	},
	"random": func(in string, feed func(string)) {
		for r := rand.New(rand.NewPCG(1, uint64(len(in)))); len(in) > 0; {
			n := 1 + r.IntN(min(len(in), 40))
			feed(in[:n])
			in = in[n:]
		}
	},
}

func TestSessionConversations(t *testing.T) {
	for _, c := range conversations {
		for cut, split := range splits {
			for _, when := range []string{"at once", "after each read", "at the end", "elsewhere"} {
				t.Run(c.name+"/"+cut+"/"+when, func(t *testing.T) {
					var jobs []func()
					work := func() {
						for len(jobs) > 0 {
							job := jobs[0]
							jobs = jobs[1:]
							if when == "elsewhere" {
								over := make(chan struct{})
								go func() { defer close(over); job() }()
								<-over
							} else {
								job()
							}
						}
					}
					a := &app{run: func(job func()) { jobs = append(jobs, job) }}
					if when == "at once" {
						a.run = func(job func()) { job() }
					}
					// What is told by a 413 or a reset connection is not of this table.
					r := newRig(t, a.Respond, func(cfg *Config) { cfg.BufferBody = c.buffer })
					a.src.onCancel = func() {} // it goes on; end() overrules it
					split(c.in, func(part string) {
						r.s.Feed([]byte(part))
						if when != "at the end" {
							work()
						}
					})
					work()
					if got := r.tr.text(); got != c.out {
						t.Errorf("got\n%q, want\n%q", got, c.out)
					}
					if got := r.end(); got != c.end {
						t.Errorf("the connection is %s, want %s", got, c.end)
					}
					r.s.Closed()
					if got := r.end(); got != "closed" {
						t.Errorf("after the client left, the connection is %s", got)
					}
					if statuses := strings.Count(c.out, "HTTP/1.1 ") - strings.Count(c.out, "HTTP/1.1 103"); c.out != "" && len(r.done) != statuses {
						t.Errorf("Done was told of %v, want %d exchanges", r.done, statuses)
					}
					r.check()
				})
			}
		}
	}
}
