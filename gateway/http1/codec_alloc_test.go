//go:build !race

package http1

import (
	"os"
	"path/filepath"
	"testing"

	"pyspeed/gateway/exchange"
)

func readExample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "valid", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCodecAllocations keeps the hot path free of garbage: heads, encoded paths, chunks
// and answers.
func TestCodecAllocations(t *testing.T) {
	f := func(what string, run func()) {
		t.Helper()
		run() // the buffers grow once
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	var p Parser
	var req exchange.Request
	for _, name := range []string{"get-wrk", "browser", "path-encoded", "absolute", "expect", "chunked", "fields-100"} {
		head := readExample(t, name)
		f(name, func() {
			if n, err := p.Head(head, nil, &req); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		})
		f(name+" in two pieces", func() {
			if n, err := p.Head(head[:20], nil, &req); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			if n, err := p.Head(head, nil, &req); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		})
	}
	body := []byte("5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n")
	f("chunked body", func() {
		var c Chunked
		for rest, done := body, false; !done; {
			n, _, end, err := c.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest, done = rest[n:], end
		}
	})
	var out []byte
	fs := fields("Content-Type: text/html; charset=utf-8", "Content-Length: 13", "X-Frame-Options: DENY", "Connection: close")
	f("answer", func() {
		var err error
		h := AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: -1, Date: []byte(testDate), Fields: fs}
		if out, err = AppendHead(out[:0], &h); err != nil {
			t.Fatal(err)
		}
		out = AppendLastChunk(AppendChunk(out, body))
	})
}
