package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

func addCorpus(f *testing.F, add func(data []byte)) {
	for _, kind := range []string{"valid", "invalid"} {
		for _, e := range readCorpus(f, kind) {
			if len(e.data) < 4096 { // mutating the long ones teaches nothing new
				add(e.data)
			}
		}
	}
}

// FuzzHead: whatever the bytes, there is a head, an Error or a wish for more; the
// result does not depend on how they are cut; and net/http reads every head
// that is accepted the same way.
func FuzzHead(f *testing.F) {
	addCorpus(f, func(data []byte) { f.Add(data, uint64(1), false) })
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, tls bool) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var want string
		for _, cut := range []string{"whole", "byte by byte", "random"} {
			r := reader{tls: tls}
			cuts(rng)[cut](data, r.feed)
			if got := r.result(); want == "" {
				want = got
			} else if got != want {
				t.Fatalf("fed %s:\ngot\n%swant\n%s", cut, got, want)
			}
		}
		var p Parser
		req := exchange.Request{TLS: tls}
		n, err := p.Head(data, nil, &req)
		if err != nil {
			if err.Status < 400 || err.Reason == "" {
				t.Fatalf("an error without status or reason: %+v", err)
			}
			return
		}
		if n > 0 {
			checkRanges(t, &req)
			compareWithNetHTTP(t, data[:n], &req)
		}
	})
}

// checkRanges finds slices whose spare capacity would let an append write into
// what follows.
func checkRanges(t *testing.T, req *exchange.Request) {
	t.Helper()
	for _, b := range [][]byte{req.Method, req.Target, req.RawPath, req.Authority} {
		if cap(b) != len(b) {
			t.Fatalf("%q has spare capacity", b)
		}
	}
	for _, f := range req.Fields {
		if cap(f.Name) != len(f.Name) || cap(f.Value) != len(f.Value) {
			t.Fatalf("%q: %q has spare capacity", f.Name, f.Value)
		}
	}
}

// compareWithNetHTTP fails if net/http reads head otherwise. Where we accept what net/http
// refuses, or the two differ, the reason is here:
//   - a "%" without two digits: RFC 3986 has none, the web does; we pass it on;
//   - an authority with "%", which net/url decodes or refuses;
//   - a Trailer field that names framing fields: it binds nobody, we drop all trailers;
//   - the empty line before the request line, which net/http does not ignore.
func compareWithNetHTTP(t *testing.T, head []byte, req *exchange.Request) {
	t.Helper()
	head = bytes.TrimPrefix(head, []byte("\r\n"))
	hr, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(head), len(head)+16))
	if err != nil {
		switch {
		case bytes.IndexByte(req.RawPath, '%') >= 0 && strings.Contains(err.Error(), "invalid URL escape"):
		case bytes.IndexByte(req.Authority, '%') >= 0:
		case req.Get("trailer") != nil:
		default:
			t.Fatalf("accepted what net/http refuses: %v\n%q", err, head)
		}
		return
	}
	f := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s is %q here and %q in net/http:\n%q", what, got, want, head)
		}
	}
	f("method", string(req.Method), hr.Method)
	f("target", string(req.Target), hr.RequestURI)
	f("content length", req.ContentLength, hr.ContentLength)
	f("chunked", req.ContentLength < 0, slices.Equal(hr.TransferEncoding, []string{"chunked"}))
	f("keep-alive", req.KeepAlive, !hr.Close)
	if bytes.IndexByte(req.Authority, '%') < 0 {
		f("authority", string(req.Authority), hr.Host)
	}
	if string(req.Path) != "*" && hr.URL.Path != "" { // net/http leaves an absolute-form's path empty
		f("path", string(req.Path), hr.URL.Path)
	}
	f("query", string(req.Query), hr.URL.RawQuery)

	// net/http takes these out of the header (Trailer not always), and makes up Cache-Control for Pragma.
	dropped := map[string]bool{"Host": true, "Transfer-Encoding": true, "Trailer": true}
	want := http.Header{}
	for _, field := range req.Fields {
		if name := http.CanonicalHeaderKey(string(field.Name)); !dropped[name] {
			want[name] = append(want[name], string(field.Value))
		}
	}
	if len(want["Cache-Control"]) == 0 && want.Get("Pragma") == "no-cache" {
		hr.Header.Del("Cache-Control")
	}
	hr.Header.Del("Trailer")
	f("header", want, hr.Header)
}

// FuzzChunked: the result does not depend on how the body is cut, and net/http
// decodes every body that is accepted to the same bytes.
func FuzzChunked(f *testing.F) {
	addCorpus(f, func(data []byte) {
		if _, body, ok := bytes.Cut(data, []byte("\r\n\r\n")); ok {
			f.Add(body, uint64(1))
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		// What follows the body is none of its decoder's business: the reader is
		// stopped there.
		decode := func(cut string) (r reader, complete bool) {
			r = reader{inBody: true, left: -1, once: true}
			cuts(rng)[cut](data, r.feed)
			return r, r.stopped
		}
		whole, complete := decode("whole")
		for _, cut := range []string{"byte by byte", "random"} {
			if r, _ := decode(cut); r.result() != whole.result() {
				t.Fatalf("fed %s:\ngot\n%swant\n%s", cut, r.result(), whole.result())
			}
		}
		if !complete {
			return
		}
		got, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		if err == nil && !bytes.Equal(got, whole.body) {
			t.Fatalf("decoded to %q here and to %q by net/http:\n%q", whole.body, got, data)
		}
	})
}

// FuzzAppendHead: an answer head that is accepted is read by net/http with the same status
// and fields, and nothing that the application put into it begins another line.
func FuzzAppendHead(f *testing.F) {
	f.Add(200, "Content-Type", "text/html", "X-A", "b", int64(-1), uint8(1), false, true)
	f.Add(204, "Content-Length", "0", "Connection", "close", int64(0), uint8(1), false, true)
	f.Add(304, "ETag", "\"x\"", "Content-Length", "5", int64(-1), uint8(0), true, false)
	f.Add(200, "Set-Cookie", "a=b\r\nX: y", "Date", "x", int64(5), uint8(1), true, true)
	f.Add(999, "Proxy-Connection", "x", "Transfer-Encoding", "chunked", int64(7), uint8(0), false, true)
	f.Add(500, "A", " \tb\t ", "a", "", int64(-1), uint8(1), false, true)
	f.Fuzz(func(t *testing.T, status int, n1, v1, n2, v2 string, length int64, minor uint8, head, keepAlive bool) {
		h := AnswerHead{
			Minor: minor & 1, Status: status, HeadRequest: head, KeepAlive: keepAlive, Length: max(length, -1),
			Date: []byte("Sun, 06 Nov 1994 08:49:37 GMT"),
			Fields: []exchange.Field{
				{Name: []byte(n1), Value: []byte(v1)}, {Name: []byte(n2), Value: []byte(v2)},
			},
		}
		out, err := AppendHead([]byte("before"), &h)
		if err != nil {
			if string(out) != "before" {
				t.Fatalf("an error, and yet %q", out)
			}
			return
		}
		out = out[len("before"):]
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		if status < 200 { // ReadResponse would look for a body
			method = http.MethodHead
		}
		res, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(out), len(out)+16), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", out, err)
		}
		if res.StatusCode != status || res.ProtoMinor != 1 {
			t.Fatalf("status %d, HTTP/1.%d from %q", res.StatusCode, res.ProtoMinor, out)
		}
		compareAnswer(t, &h, res, out)
	})
}

func compareAnswer(t *testing.T, h *AnswerHead, res *http.Response, out []byte) {
	t.Helper()
	want := http.Header{}
	for _, f := range h.Fields {
		name := http.CanonicalHeaderKey(string(f.Name))
		switch name {
		case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length":
			continue
		}
		if strings.HasPrefix(name, "Proxy-") {
			continue
		}
		want[name] = append(want[name], strings.Trim(string(f.Value), " \t"))
	}
	if h.Status >= 200 {
		if want["Date"] == nil {
			want.Set("Date", string(h.Date))
		}
		if want["Server"] == nil {
			want.Set("Server", "pyspeed")
		}
		if h.Length >= 0 {
			want.Set("Content-Length", fmt.Sprint(h.Length))
		}
	}
	got := res.Header
	got.Del("Connection") // net/http removes it itself in some cases
	if len(want["Cache-Control"]) == 0 && want.Get("Pragma") == "no-cache" {
		got.Del("Cache-Control") // made up by net/http
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("fields %q; want %q\n%q", got, want, out)
	}
	chunked := slices.Equal(res.TransferEncoding, []string{"chunked"})
	if chunked != (h.Framing == FramingChunked) {
		t.Fatalf("chunked %v with framing %d\n%q", chunked, h.Framing, out)
	}
	if h.Framing == FramingLength && res.ContentLength != h.Length {
		t.Fatalf("length %d; want %d\n%q", res.ContentLength, h.Length, out)
	}
	f := func(line string, want bool) {
		t.Helper()
		if bytes.Contains(out, []byte("\r\n"+line+"\r\n")) != want {
			t.Fatalf("%q: wanted %v in %q", line, want, out)
		}
	}
	f("Connection: close", h.Status >= 200 && !h.KeepAlive)
	f("Connection: keep-alive", h.Status >= 200 && h.KeepAlive && h.Minor == 0)
}
