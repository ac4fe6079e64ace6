package http1

import (
	"bytes"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

func TestHeadLimits(t *testing.T) {
	const host = "Host: x\r\n"
	f := func(lim *Limits, head string, want int) {
		t.Helper()
		var p Parser
		var req exchange.Request
		n, err := p.Head([]byte(head), lim, &req)
		status := 0
		if err != nil {
			status = err.Status
		} else if n == 0 {
			status = -1
		}
		if status != want {
			t.Errorf("%q with %+v: %d; want %d", head, lim, status, want)
		}
	}
	const line = "GET /abc HTTP/1.1\r\n" // 19 bytes
	f(&Limits{RequestLine: 19}, line+host+"\r\n", 0)
	f(&Limits{RequestLine: 18}, line+host+"\r\n", 414)
	// Before the end of the line: its LF is still to come.
	f(&Limits{RequestLine: 18}, line[:17], -1)
	f(&Limits{RequestLine: 18}, line[:18], 414)
	f(&Limits{HeaderBytes: 11}, line+host+"\r\n", 0)
	f(&Limits{HeaderBytes: 10}, line+host+"\r\n", 431)
	f(&Limits{HeaderBytes: 10}, line+host+"\r", 431)
	f(&Limits{HeaderBytes: 11}, line+host+"\r", -1)
	f(&Limits{HeaderCount: 2}, line+host+"A: b\r\n\r\n", 0)
	f(&Limits{HeaderCount: 1}, line+host+"A: b\r\n\r\n", 431)
	// Without limits the defaults hold.
	f(nil, "GET /"+strings.Repeat("a", 8192), 414)
	f(&Limits{}, line+strings.Repeat("A: b\r\n", 101), 431)
	// A pipelined body behind the head counts nothing.
	f(&Limits{RequestLine: 19, HeaderBytes: 11}, line+host+"\r\n"+strings.Repeat("x", 100), 0)
}

// TestHeadReset gives up a begun head; the next one must not remember it.
func TestHeadReset(t *testing.T) {
	var p Parser
	var req exchange.Request
	if n, err := p.Head([]byte("POST /old HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\nX"), nil, &req); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	p.Reset()
	head := []byte("GET /new HTTP/1.1\r\nHost: b\r\n\r\n")
	n, err := p.Head(head, nil, &req)
	if n != len(head) || err != nil {
		t.Fatal(n, err)
	}
	if string(req.Path) != "/new" || req.ContentLength != 0 || !req.KeepAlive || len(req.Fields) != 1 {
		t.Errorf("%+v", req)
	}
}

// TestHeadAgain asks with the same bytes twice, as a caller that was woken for
// nothing does.
func TestHeadAgain(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	var p Parser
	var req exchange.Request
	for i := range head {
		for range 2 {
			if n, err := p.Head(head[:i], nil, &req); n != 0 || err != nil {
				t.Fatal(i, n, err)
			}
		}
	}
	if n, err := p.Head(head, nil, &req); n != len(head) || err != nil || len(req.Fields) != 1 {
		t.Fatal(n, err, req.Fields)
	}
}

// TestErrorHead: what was understood before the error is valid even if the head came in
// pieces that moved, since the error answer and the log need the method.
func TestErrorHead(t *testing.T) {
	head := []byte("HEAD /a%20b HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
	var p Parser
	var req exchange.Request
	for i := range head {
		buf := bytes.Clone(head[:i+1])
		n, err := p.Head(buf, nil, &req)
		if err != nil {
			if string(req.Method) != "HEAD" || string(req.Path) != "/a b" || string(req.Fields[0].Value) != "a" {
				t.Errorf("%+v", req)
			}
			return
		}
		if n > 0 {
			t.Fatal("accepted")
		}
		clear(buf)
	}
	t.Fatal("no error")
}

// TestDecodedPathReusesMemory: the decoded path outlives Reset, and the next request
// has its own, whatever was there before.
func TestDecodedPathReusesMemory(t *testing.T) {
	var p Parser
	var req exchange.Request
	for _, want := range []string{"/first path", "/2 d"} {
		head := []byte("GET " + strings.ReplaceAll(want, " ", "%20") + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := p.Head(head, nil, &req); err != nil {
			t.Fatal(err)
		}
		p.Reset()
		if string(req.Path) != want {
			t.Errorf("path %q; want %q", req.Path, want)
		}
	}
}

func TestValidValue(t *testing.T) {
	for n := range 40 {
		for at := range n {
			for c := range 256 {
				b := bytes.Repeat([]byte("\xffa \t"), 10)[:n]
				b[at] = byte(c)
				want := c == '\t' || c >= ' ' && c != 0x7f
				if got := validValue(b); got != want {
					t.Fatalf("%q: %v; want %v", b, got, want)
				}
			}
		}
	}
	if !validValue(nil) {
		t.Error("an empty value is valid")
	}
}

func TestErrorText(t *testing.T) {
	var err error = &Error{Status: 400, Reason: "no Host field"}
	if got, want := err.Error(), "cannot accept the request: no Host field"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}
