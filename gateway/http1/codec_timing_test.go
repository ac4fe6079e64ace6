package http1

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pyspeed/gateway/exchange"
)

func BenchmarkHead(b *testing.B) {
	for _, name := range []string{"get-wrk", "browser", "path-encoded", "length"} {
		b.Run(name, func(b *testing.B) {
			head, err := os.ReadFile(filepath.Join("testdata", "valid", name+".http"))
			if err != nil {
				b.Fatal(err)
			}
			var p Parser
			var req exchange.Request
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := p.Head(head, nil, &req); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkChunked(b *testing.B) {
	var body []byte
	for range 16 {
		body = AppendChunk(body, bytes.Repeat([]byte("x"), 1024))
	}
	body = AppendLastChunk(body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var c Chunked
		for rest, done := body, false; !done; {
			n, _, end, err := c.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest, done = rest[n:], end
		}
	}
}

func BenchmarkAppendHead(b *testing.B) {
	fs := fields("Content-Type: text/html; charset=utf-8", "Content-Length: 13", "X-Frame-Options: DENY")
	date := []byte(testDate)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		h := AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: 13, Date: date, Fields: fs}
		var err error
		if out, err = AppendHead(out[:0], &h); err != nil {
			b.Fatal(err)
		}
	}
}
