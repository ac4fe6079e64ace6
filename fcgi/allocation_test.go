//go:build !race

package fcgi_test

import (
	"testing"

	"pyspeed/fcgi"
)

// noAllocs fails when f allocates. The race detector's own allocations would
// count, so this file is not built with it.
func noAllocs(t *testing.T, name string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s allocates %v times", name, n)
	}
}

func TestAllocations(t *testing.T) {
	content := fill(70000)
	pairs := encodePairs(t, []pair{{"REQUEST_METHOD", "GET"}, {"PATH_INFO", "/"}})
	answer := []byte("Status: 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno")
	dst := make([]byte, 0, 1<<20)
	stream := fcgi.AppendStream(nil, fcgi.TypeStdout, 1, content)
	request := fcgi.AppendRecord(nil, fcgi.TypeRequest, 0, 1, content)

	noAllocs(t, "encoding", func() {
		b := fcgi.AppendRecord(dst[:0], fcgi.TypeRequest, fcgi.FlagBody, 1, content)
		b = fcgi.AppendStream(b, fcgi.TypeStdin, 1, content)
		b = fcgi.AppendStreamEnd(b, fcgi.TypeStdin, 1)
		b = fcgi.AppendWindow(b, 1, 4096)
		b = fcgi.AppendBeginRequest(b, 1, fcgi.BeginRequest{})
		b = fcgi.AppendEndRequest(b, 1, fcgi.EndRequest{})
		if _, err := fcgi.AppendPair(b, "NAME", content); err != nil {
			t.Error(err)
		}
	})
	noAllocs(t, "Decoder", func() {
		var d fcgi.Decoder
		for b := stream; len(b) > 0; {
			n, _, ok, err := d.Next(b)
			if !ok || err != nil {
				t.Fatalf("ok %t, error %v", ok, err)
			}
			b = b[n:]
		}
	})
	var j fcgi.Joiner
	noAllocs(t, "Joiner", func() {
		var d fcgi.Decoder
		for b := request; len(b) > 0; {
			n, rec, _, _ := d.Next(b)
			if _, _, err := j.Add(rec); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
	})
	var p fcgi.Pairs
	noAllocs(t, "Pairs", func() {
		p.Reset()
		if err := p.Feed(pairs); err != nil {
			t.Fatal(err)
		}
		for {
			if _, _, ok, err := p.Next(); err != nil || !ok {
				return
			}
		}
	})
	var h fcgi.CGIHead
	noAllocs(t, "CGIHead", func() {
		h.Reset()
		if _, done, err := h.Feed(answer); !done || err != nil {
			t.Fatalf("done %t, error %v", done, err)
		}
		for range h.Fields() {
		}
	})
}
