package fcgi_test

import (
	"testing"

	"pyspeed/fcgi"
)

// BenchmarkDecoder walks over 60 records of 4 KiB, as the reader of a worker's
// socket does; one operation is one record.
func BenchmarkDecoder(b *testing.B) {
	var buf []byte
	for id := range uint16(60) {
		buf = fcgi.AppendRecord(buf, fcgi.TypeResponse, fcgi.FlagLast, id+1, fill(4096))
	}
	var d fcgi.Decoder
	var j fcgi.Joiner
	run := func(name string, step func(rec fcgi.Record) int) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r, sum := 0, 0
			for b.Loop() {
				n, rec, ok, err := d.Next(buf[r:])
				if err != nil {
					b.Fatal(err)
				}
				if !ok {
					r = 0
					continue
				}
				r += n
				sum += step(rec)
			}
		})
	}
	run("records", func(rec fcgi.Record) int { return int(rec.ID) + len(rec.Content) })
	run("joined", func(rec fcgi.Record) int {
		whole, _, _ := j.Add(rec)
		return len(whole.Content)
	})
}

func BenchmarkAppendRecord(b *testing.B) {
	b.ReportAllocs()
	content := fill(400)
	dst := make([]byte, 0, 1024)
	for b.Loop() {
		dst = fcgi.AppendRecord(dst[:0], fcgi.TypeRequest, 0, 7, content)
	}
}

func BenchmarkCGIHead(b *testing.B) {
	b.ReportAllocs()
	answer := []byte("Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nX-Powered-By: PHP/8.2\r\nContent-Length: 5\r\n\r\nhello")
	var h fcgi.CGIHead
	for b.Loop() {
		h.Reset()
		if _, done, err := h.Feed(answer); !done || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPairs(b *testing.B) {
	b.ReportAllocs()
	var list []pair
	for range 20 {
		list = append(list, pair{"HTTP_ACCEPT_ENCODING", "gzip, deflate, br"})
	}
	data := encodePairs(b, list)
	var p fcgi.Pairs
	for b.Loop() {
		p.Reset()
		if err := p.Feed(data); err != nil {
			b.Fatal(err)
		}
		for {
			if _, _, ok, err := p.Next(); err != nil || !ok {
				break
			}
		}
	}
}
