package fcgi_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/textproto"
	"slices"
	"testing"

	"pyspeed/fcgi"
)

// FuzzDecoder: every way of cutting the input gives the same records, rest and
// error, and what they encode to decodes to them.
func FuzzDecoder(f *testing.F) {
	f.Add(uint64(1), fcgi.AppendStream(nil, fcgi.TypeStdin, 1, fill(500)))
	f.Add(uint64(2), fcgi.AppendEndRequest(fcgi.AppendStreamEnd(nil, fcgi.TypeStdout, 9), 9, fcgi.EndRequest{AppStatus: 3}))
	f.Add(uint64(3), fcgi.AppendRecord(nil, fcgi.TypeRequest, fcgi.FlagBody, 65535, fill(300)))
	f.Add(uint64(4), padded(nil, fcgi.Record{Type: 99, Content: []byte("/%ff")}, 255))
	f.Add(uint64(5), []byte("HTTP/1.1 200 OK\r\n"))
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		recs, rest, err := readAll(t, [][]byte{data})
		r := rand.New(rand.NewPCG(seed, 0))
		again, restAgain, errAgain := readAll(t, split(r, data))
		if !slices.EqualFunc(recs, again, sameRecord) || !bytes.Equal(rest, restAgain) {
			t.Errorf("in pieces %d records and %d bytes, whole %d and %d", len(again), len(restAgain), len(recs), len(rest))
		}
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Errorf("in pieces error %v, whole %v", errAgain, err)
		}

		var encoded []byte
		taken := 0
		for _, rec := range recs {
			taken += fcgi.HeaderLen + len(rec.Content)
			encoded = fcgi.AppendRecord(encoded, rec.Type, rec.Flags, rec.ID, rec.Content)
		}
		if taken > len(data) {
			t.Errorf("%d bytes of records out of %d", taken, len(data))
		}
		fixed, restFixed, err := readAll(t, [][]byte{encoded})
		if err != nil || len(restFixed) != 0 || !slices.EqualFunc(recs, fixed, sameRecord) {
			t.Errorf("encoded again: %d records of %d, %d bytes left over, error %v", len(fixed), len(recs), len(restFixed), err)
		}

		// The joiner may refuse the records; it must not keep more than it may.
		j := fcgi.Joiner{Limit: 100}
		for _, rec := range recs {
			whole, ok, err := j.Add(rec)
			if err != nil {
				break
			}
			if ok && len(whole.Content) > max(j.Limit, len(rec.Content)) {
				t.Errorf("joined %d bytes", len(whole.Content))
			}
		}
	})
}

// FuzzPairs: every way of cutting the stream gives the same pairs and error, and
// what they encode to decodes to them.
func FuzzPairs(f *testing.F) {
	f.Add(uint64(1), []byte("\x01\x01Nv\x00\x00"))
	f.Add(uint64(2), []byte("\x80\x00\x00\x05\x03Names123"))
	f.Add(uint64(3), []byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add(uint64(4), append([]byte("\x80\x00\x00\x80\x7f"), fill(255)...))
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		const limit = 1 << 16
		p := fcgi.Pairs{Limit: limit}
		pairs, err := decodePairs(&p, [][]byte{data})
		again := fcgi.Pairs{Limit: limit}
		pairsAgain, errAgain := decodePairs(&again, split(rand.New(rand.NewPCG(seed, 0)), data))
		if (err == nil) != (errAgain == nil) {
			t.Errorf("in pieces error %v, whole %v", errAgain, err)
		}
		if err != nil {
			return
		}
		if !slices.Equal(pairs, pairsAgain) {
			t.Errorf("in pieces %q, whole %q", pairsAgain, pairs)
		}
		encoded := encodePairs(t, pairs)
		if len(encoded) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(encoded))
		}
		p.Reset()
		if fixed, err := decodePairs(&p, [][]byte{encoded}); err != nil || !slices.Equal(fixed, pairs) {
			t.Errorf("encoded again: %q, want %q, error %v", fixed, pairs, err)
		}
	})
}

// FuzzCGIHead: every way of cutting the answer gives the same head, body and
// error, and net/textproto reads the same where it accepts the head too.
func FuzzCGIHead(f *testing.F) {
	f.Add(uint64(1), []byte("Status: 404 Not Found\r\nContent-Type: text/html\r\n\r\nbody"))
	f.Add(uint64(2), []byte("content-type:a\nSet-Cookie: 1\nset-cookie:2 \n\n\n"))
	f.Add(uint64(3), []byte("Location: /\r\n folded\r\n\r\n"))
	f.Add(uint64(4), []byte("A : b\n\n"))
	f.Add(uint64(5), []byte("A:\xff\t \n\n\r\n"))
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		const limit = 2000
		h := fcgi.CGIHead{Limit: limit}
		fields, body, done, err := readHead(&h, [][]byte{data})
		again := fcgi.CGIHead{Limit: limit}
		fieldsAgain, bodyAgain, doneAgain, errAgain := readHead(&again, split(rand.New(rand.NewPCG(seed, 0)), data))
		if done != doneAgain || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("in pieces done %t, error %v; whole %t, %v", doneAgain, errAgain, done, err)
		}
		if !slices.Equal(fields, fieldsAgain) || body != bodyAgain || h.Status() != again.Status() {
			t.Errorf("in pieces %d %q %q, whole %d %q %q", again.Status(), fieldsAgain, bodyAgain, h.Status(), fields, body)
		}
		if !done {
			return
		}
		if h.Status() < 100 || h.Status() > 999 {
			t.Errorf("status %d", h.Status())
		}

		in := bufio.NewReader(bytes.NewReader(data))
		oracle, err := textproto.NewReader(in).ReadMIMEHeader()
		if err != nil {
			return
		}
		rest, err := io.ReadAll(in)
		if err != nil || string(rest) != body {
			t.Errorf("body is %q, textproto's %q (error %v)", body, rest, err)
		}
		oracle.Del("Status")
		got := textproto.MIMEHeader{}
		for _, f := range fields {
			got.Add(f.name, f.value)
		}
		if len(got) != len(oracle) {
			t.Errorf("got %q, textproto has %q", got, oracle)
		}
		for name, values := range oracle {
			if !slices.Equal(got[name], values) {
				t.Errorf("%s is %q, textproto has %q", name, got[name], values)
			}
		}
	})
}
