package http1

import (
	"fmt"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

const testDate = "Sun, 06 Nov 1994 08:49:37 GMT"

// fields makes fields of "Name: value" lines.
func fields(lines ...string) []exchange.Field {
	var all []exchange.Field
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		all = append(all, exchange.Field{Name: []byte(name), Value: []byte(value)})
	}
	return all
}

func TestAppendHeadBytes(t *testing.T) {
	f := func(h AnswerHead, want ...string) {
		t.Helper()
		h.Date = []byte(testDate)
		out, err := AppendHead([]byte("x"), &h)
		if err != nil {
			t.Fatal(err)
		}
		if w := "x" + strings.Join(want, "\r\n") + "\r\n\r\n"; string(out) != w {
			t.Errorf("got\n%q\nwant\n%q", out, w)
		}
	}
	const date, server = "Date: " + testDate, "Server: pyspeed"

	f(AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: 5, Fields: fields("Content-Type: text/plain")},
		"HTTP/1.1 200 OK", "Content-Type: text/plain", date, server, "Content-Length: 5")
	f(AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: -1},
		"HTTP/1.1 200 OK", date, server, "Transfer-Encoding: chunked")
	f(AnswerHead{Minor: 0, Status: 200, KeepAlive: true, Length: -1},
		"HTTP/1.1 200 OK", date, server, "Connection: close")
	f(AnswerHead{Minor: 0, Status: 200, KeepAlive: true, Length: 5},
		"HTTP/1.1 200 OK", date, server, "Content-Length: 5", "Connection: keep-alive")
	f(AnswerHead{Minor: 1, Status: 200, Length: 0},
		"HTTP/1.1 200 OK", date, server, "Content-Length: 0", "Connection: close")
	// RFC 9112 §4: the space before a missing reason stays.
	f(AnswerHead{Minor: 1, Status: 299, KeepAlive: true, Length: 0},
		"HTTP/1.1 299 ", date, server, "Content-Length: 0")
	f(AnswerHead{Minor: 1, Status: 999, KeepAlive: true, Length: 0},
		"HTTP/1.1 999 ", date, server, "Content-Length: 0")
	// The application's own Date and Server are kept, in its spelling and order.
	f(AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: 0, Fields: fields("SERVER: mine", "date:x", "Set-Cookie: a", "set-cookie: b")},
		"HTTP/1.1 200 OK", "SERVER: mine", "date: x", "Set-Cookie: a", "set-cookie: b", "Content-Length: 0")
	// Fields of the connection are ours.
	f(AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: 0, Fields: fields("Connection: upgrade", "Keep-Alive: timeout=5", "transfer-encoding: gzip", "TE: x",
		"Trailer: x", "Upgrade: h2c", "Proxy-Authenticate: Basic", "proxy-connection: x", "Proximity: kept", "Tea: kept")},
		"HTTP/1.1 200 OK", "Proximity: kept", "Tea: kept", date, server, "Content-Length: 0")
	// Whitespace around values goes, obs-text and HTAB inside stay.
	f(AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: 0, Fields: fields("A: \t b\tc\xe9 \t", "B:", "C: \t")},
		"HTTP/1.1 200 OK", "A: b\tc\xe9", "B: ", "C: ", date, server, "Content-Length: 0")
	// An informational answer has its fields only (RFC 9110 §15.2).
	f(AnswerHead{Minor: 1, Status: 103, KeepAlive: true, Length: -1, Fields: fields("Link: </a.css>; rel=preload", "Content-Length: 3")},
		"HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload")
	f(AnswerHead{Minor: 1, Status: 100, Length: 0}, "HTTP/1.1 100 Continue")
}

func TestAppendHeadDecides(t *testing.T) {
	f := func(h AnswerHead, framing Framing, length int64, keepAlive bool) {
		t.Helper()
		if _, err := AppendHead(nil, &h); err != nil {
			t.Fatal(err)
		}
		if h.Framing != framing || h.Length != length || h.KeepAlive != keepAlive {
			t.Errorf("framing %d, length %d, keep-alive %v; want %d, %d, %v", h.Framing, h.Length, h.KeepAlive, framing, length, keepAlive)
		}
	}
	length5 := fields("content-length: 005")
	on := func(status int, minor uint8, length int64, fs []exchange.Field) AnswerHead {
		return AnswerHead{Status: status, Minor: minor, Length: length, Fields: fs, KeepAlive: true}
	}
	head := func(h AnswerHead) AnswerHead { h.HeadRequest = true; return h }

	f(on(200, 1, -1, nil), FramingChunked, -1, true)
	f(on(200, 0, -1, nil), FramingClose, -1, false)
	f(on(200, 1, 7, nil), FramingLength, 7, true)
	f(on(200, 1, 0, nil), FramingLength, 0, true)
	// The application's length wins: a body that does not fit it is the session's to cut.
	f(on(200, 1, -1, length5), FramingLength, 5, true)
	f(on(200, 0, -1, length5), FramingLength, 5, true)
	f(on(200, 1, 7, length5), FramingLength, 5, true)
	// RFC 9112 §6.3: these never have a body.
	f(on(204, 1, 0, length5), FramingNone, -1, true)
	f(on(304, 1, -1, length5), FramingNone, -1, true)
	f(on(204, 0, -1, nil), FramingNone, -1, true)
	f(on(103, 1, -1, length5), FramingNone, -1, true)
	// RFC 9110 §9.3.2: HEAD says what GET would say, if that is known.
	f(head(on(200, 1, -1, nil)), FramingNone, -1, true)
	f(head(on(200, 1, 0, nil)), FramingNone, -1, true)
	f(head(on(200, 1, 7, nil)), FramingNone, 7, true)
	f(head(on(200, 1, 0, length5)), FramingNone, 5, true)
	f(head(on(200, 0, -1, nil)), FramingNone, -1, true)
	// Connection: close from the application.
	f(on(200, 1, 0, fields("Connection: close")), FramingLength, 0, false)
	f(on(200, 1, 0, fields("connection: keep-alive", "CONNECTION: x , Close")), FramingLength, 0, false)
	f(on(200, 1, 0, fields("Connection: closed")), FramingLength, 0, true)
	f(AnswerHead{Status: 200, Minor: 1, Length: 0, Fields: fields("Connection: keep-alive")}, FramingLength, 0, false)
}

func TestAppendHeadRefuses(t *testing.T) {
	f := func(h AnswerHead, want string) {
		t.Helper()
		h.KeepAlive, h.Length = true, -1
		before := h.Length
		out, err := AppendHead([]byte("before"), &h)
		if err == nil {
			t.Fatalf("accepted: %q", out)
		}
		if !strings.HasPrefix(err.Error(), "cannot send the answer: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q; want one with %q", err, want)
		}
		if string(out) != "before" || h.Length != before || !h.KeepAlive || h.Framing != FramingNone {
			t.Errorf("the refused head left traces: %q, %+v", out, h)
		}
	}
	status := func(n int) AnswerHead { return AnswerHead{Minor: 1, Status: n} }
	with := func(lines ...string) AnswerHead { return AnswerHead{Minor: 1, Status: 200, Fields: fields(lines...)} }

	for _, n := range []int{-1, 0, 99, 1000, 20000} {
		f(status(n), "status")
	}
	f(status(101), "101")
	// Row 43: names and values that would end the line (RFC 9110 §5.1, §5.5).
	for _, name := range []string{"", "A B", "A\r\nB", "A\x00", "\xc3\xa4", "A\t", " A", "(A)", "A\x7f"} {
		f(AnswerHead{Minor: 1, Status: 200, Fields: []exchange.Field{{Name: []byte(name), Value: []byte("x")}}}, "not a token")
	}
	for _, value := range []string{"a\r\nB: c", "a\nb", "a\rb", "a\x00b", "\x7f", "\r\n", "a\r\n", "0123456789abcdef\n", "\x1b[0m"} {
		f(with("X-A:"+value), `"X-A" holds a control character`)
	}
	// Also in a field that is dropped.
	f(with("Connection: close\r\nX: y"), "control character")
	for _, value := range []string{"", "x", "-1", "+1", "1,1", "1 1", "0x1", "9223372036854775808"} {
		f(with("Content-Length:"+value), "Content-Length is not a number")
	}
	f(with("Content-Length: 5", "content-length: 6"), "more than one Content-Length")
	f(with("Content-Length: 5", "content-length: 5"), "more than one Content-Length")
	// A long name is not echoed whole.
	_, err := AppendHead(nil, &AnswerHead{Status: 200, Fields: []exchange.Field{{Name: []byte(strings.Repeat("\n", 10000))}}})
	if err == nil || len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q", err)
	}
}

func TestAppendChunk(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		if got := string(AppendChunk([]byte("x"), make([]byte, n))); got != "x"+want {
			t.Errorf("%d bytes: %q; want %q", n, got, want)
		}
	}
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	f(0, "")
	f(1, "1\r\n\x00\r\n")
	f(10, "a\r\n"+zeros(10)+"\r\n")
	f(65536, "10000\r\n"+zeros(65536)+"\r\n")
	if got := string(AppendLastChunk([]byte("x"))); got != "x0\r\n\r\n" {
		t.Errorf("last chunk: %q", got)
	}
}

// TestChunkedRoundTrip decodes what AppendChunk wrote.
func TestChunkedRoundTrip(t *testing.T) {
	var wire []byte
	var want string
	for i := range 100 {
		part := strings.Repeat("p", i*i%97)
		wire = AppendChunk(wire, []byte(part))
		want += part
	}
	wire = append(AppendLastChunk(wire), "next"...)
	var c Chunked
	var got []byte
	for {
		n, data, done, err := c.Next(wire)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, data...)
		wire = wire[n:]
		if done {
			break
		}
		if n == 0 {
			t.Fatal("the decoder wants more than was written")
		}
	}
	if string(got) != want || string(wire) != "next" {
		t.Errorf("decoded %d bytes and left %q; want %d bytes", len(got), wire, len(want))
	}
	if n, _, done, err := c.Next(wire); n != 0 || !done || err != nil {
		t.Errorf("after the end: %d, %v, %v", n, done, err)
	}
}

func TestStatusText(t *testing.T) {
	f := func(status int, want string) {
		t.Helper()
		if got := StatusText(status); got != want {
			t.Errorf("%d: %q; want %q", status, got, want)
		}
	}
	f(100, "Continue")
	f(200, "OK")
	f(413, "Content Too Large")
	f(511, "Network Authentication Required")
	for _, status := range []int{-1, 0, 99, 299, 306, 512, 1 << 40} {
		f(status, "")
	}
	// Every line of the table has its own number in it.
	for status, line := range statusLines {
		if line != "" && !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", status)) {
			t.Errorf("%d: %q", status, line)
		}
	}
}
