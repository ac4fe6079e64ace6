package fcgi_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pyspeed/fcgi"
)

// readAll decodes what arrives in chunks as a connection's reader does, and
// checks that no record needs more memory than one can have.
func readAll(t testing.TB, chunks [][]byte) (recs []fcgi.Record, rest []byte, err error) {
	t.Helper()
	var d fcgi.Decoder
	for _, chunk := range chunks {
		rest = append(rest, chunk...)
		r := 0
		for {
			n, rec, ok, err := d.Next(rest[r:])
			if err != nil {
				return recs, nil, err
			}
			if !ok {
				if n != 0 {
					t.Fatalf("no record, but %d bytes taken", n)
				}
				break
			}
			r += n
			rec.Content = slices.Clone(rec.Content)
			recs = append(recs, rec)
		}
		rest = rest[:copy(rest, rest[r:])]
		if len(rest) >= fcgi.MaxRecordLen {
			t.Fatalf("%d bytes are no record yet", len(rest))
		}
	}
	return recs, rest, nil
}

func sameRecord(a, b fcgi.Record) bool {
	return a.Type == b.Type && a.Flags == b.Flags && a.ID == b.ID && bytes.Equal(a.Content, b.Content)
}

// padded appends a record as a peer may send it: with padding.
func padded(dst []byte, rec fcgi.Record, padLen uint8) []byte {
	dst = fcgi.AppendHeader(dst, rec.Type, rec.Flags, rec.ID, uint16(len(rec.Content)), padLen)
	dst = append(dst, rec.Content...)
	return append(dst, bytes.Repeat([]byte{0xff}, int(padLen))...)
}

func TestDecoder(t *testing.T) {
	end := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	tests := []struct {
		name string
		recs []fcgi.Record
		pad  uint8
		// rest is what follows the last whole record.
		rest []byte
	}{
		{name: "nothing"},
		{name: "empty content", recs: []fcgi.Record{{Type: fcgi.TypeStdin, ID: 1}}},
		{name: "longest content", recs: []fcgi.Record{{Type: fcgi.TypeStdout, ID: 65535, Content: fill(65535)}}},
		{name: "longest record", recs: []fcgi.Record{{Type: fcgi.TypeStdout, ID: 1, Content: fill(65535)}}, pad: 255},
		{name: "padding without content", recs: []fcgi.Record{{Type: fcgi.TypeStdin, ID: 1}, {Type: fcgi.TypeEndRequest, ID: 1, Content: end}}, pad: 255},
		{name: "management", recs: []fcgi.Record{{Type: fcgi.TypeGetValues, Content: []byte("\x01\x00A")}}, pad: 5},
		{name: "unknown types", recs: []fcgi.Record{{Type: 0, ID: 1}, {Type: 99, ID: 2, Content: []byte("x")}, {Type: 255}}},
		{name: "all flags", recs: []fcgi.Record{{Type: fcgi.TypeResponse, ID: 1, Flags: 255, Content: []byte("x")}}},
		{name: "octets", recs: []fcgi.Record{{Type: fcgi.TypeStdout, ID: 1, Content: []byte("/\xff\x00\x01\x06\r\n")}}},
		{name: "half a header", recs: []fcgi.Record{{Type: fcgi.TypeStdin, ID: 1, Content: []byte("abc")}}, rest: []byte{1, 6, 0}},
		{name: "header without content", recs: []fcgi.Record{{Type: fcgi.TypeStdin, ID: 1}}, rest: []byte{1, 6, 0, 1, 0, 2, 0, 0}},
		{name: "content without padding", rest: []byte{1, 6, 0, 1, 0, 2, 3, 0, 'a', 'b', 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var data []byte
			for _, rec := range tt.recs {
				data = padded(data, rec, tt.pad)
			}
			data = append(data, tt.rest...)
			eachSplit(t, data, func(t *testing.T, chunks [][]byte) {
				recs, rest, err := readAll(t, chunks)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.EqualFunc(recs, tt.recs, sameRecord) {
					t.Errorf("got records %+v", recs)
				}
				if !bytes.Equal(rest, tt.rest) {
					t.Errorf("rest is % x, want % x", rest, tt.rest)
				}
			})
		})
	}
}

func TestDecoderPadding(t *testing.T) {
	for pad := range 256 {
		rec := fcgi.Record{Type: fcgi.TypeStdout, ID: 5, Content: fill(pad)}
		data := padded(nil, rec, uint8(pad))
		var d fcgi.Decoder
		for cut := range data {
			if n, _, ok, err := d.Next(data[:cut]); n != 0 || ok || err != nil {
				t.Fatalf("padding %d, %d of %d bytes: n %d, ok %t, error %v", pad, cut, len(data), n, ok, err)
			}
		}
		got, n := mustNext(t, append(data, 1))
		if n != len(data) || !sameRecord(got, rec) {
			t.Fatalf("padding %d: got %+v of %d bytes", pad, got, n)
		}
	}
}

func TestDecoderVersion(t *testing.T) {
	good := fcgi.AppendRecord(nil, fcgi.TypeStdout, 0, 1, []byte("ok"))
	for _, bad := range [][]byte{{0}, {2}, []byte("HTTP/1.1 200 OK\r\n"), {255, 6, 0, 1, 0, 0, 0, 0}} {
		eachSplit(t, slices.Concat(good, bad), func(t *testing.T, chunks [][]byte) {
			recs, _, err := readAll(t, chunks)
			if err == nil || !strings.Contains(err.Error(), "at byte 10 of the connection") {
				t.Errorf("% x gives error %v", bad, err)
			}
			if len(recs) != 1 {
				t.Errorf("%d records before the error, want 1", len(recs))
			}
		})
	}
}

// TestDecoderContentCapacity makes sure that an append to a record's content
// does not write into the next record.
func TestDecoderContentCapacity(t *testing.T) {
	data := fcgi.AppendRecord(nil, fcgi.TypeStdout, 0, 1, []byte("one"))
	data = fcgi.AppendRecord(data, fcgi.TypeStdout, 0, 2, []byte("two"))
	first, n := mustNext(t, data)
	_ = append(first.Content, "overwritten"...)
	second, _ := mustNext(t, data[n:])
	if second.ID != 2 || string(second.Content) != "two" {
		t.Errorf("second record became %+v", second)
	}
}

// TestDecoderInterleaved mixes the answers of 1,000 requests on one connection
// and checks that each gets its own bytes.
func TestDecoderInterleaved(t *testing.T) {
	const requests = 1000
	r := newRand(t)
	want := make([][]byte, requests+1)
	for id := range want {
		want[id] = bytes.Repeat([]byte{byte(id), byte(id >> 8)}, r.IntN(50))
	}
	var data []byte
	left := slices.Clone(want)
	open := r.Perm(requests)
	for len(open) > 0 {
		i := r.IntN(len(open))
		id := open[i] + 1
		n := min(r.IntN(40), len(left[id]))
		data = padded(data, fcgi.Record{Type: fcgi.TypeStdout, ID: uint16(id), Content: left[id][:n]}, uint8(r.IntN(9)))
		left[id] = left[id][n:]
		if len(left[id]) == 0 {
			data = fcgi.AppendEndRequest(data, uint16(id), fcgi.EndRequest{AppStatus: uint32(id)})
			open = slices.Delete(open, i, i+1)
		}
	}
	recs, rest, err := readAll(t, split(r, data))
	if err != nil || len(rest) != 0 {
		t.Fatalf("%d bytes left over, error %v", len(rest), err)
	}
	got := make([][]byte, requests+1)
	ended := 0
	for _, rec := range recs {
		switch rec.Type {
		case fcgi.TypeStdout:
			got[rec.ID] = append(got[rec.ID], rec.Content...)
		case fcgi.TypeEndRequest:
			ended++
			end, err := fcgi.DecodeEndRequest(rec.Content)
			if err != nil || end.AppStatus != uint32(rec.ID) || !bytes.Equal(got[rec.ID], want[rec.ID]) {
				t.Fatalf("request %d got %q, want %q (end %+v, error %v)", rec.ID, got[rec.ID], want[rec.ID], end, err)
			}
		}
	}
	if ended != requests {
		t.Errorf("%d requests ended, want %d", ended, requests)
	}
}

func TestJoiner(t *testing.T) {
	f := func(typ fcgi.Type, flags fcgi.Flags, contentLen, wantParts int) {
		t.Helper()
		content := fill(contentLen)
		data := fcgi.AppendRecord(nil, typ, flags, 7, content)
		data = fcgi.AppendRecord(data, fcgi.TypeWindow, 0, 8, []byte{0, 0, 0, 1})
		recs, rest, err := readAll(t, split(newRand(t), data))
		if err != nil || len(rest) != 0 || len(recs) != wantParts+1 {
			t.Fatalf("got %d records and %d bytes, error %v; want %d", len(recs), len(rest), err, wantParts+1)
		}
		var j fcgi.Joiner
		for i, rec := range recs {
			whole, ok, err := j.Add(rec)
			if err != nil {
				t.Fatal(err)
			}
			if want := i >= wantParts-1; ok != want || j.Open() == want {
				t.Fatalf("part %d of %d: ok %t, open %t", i+1, wantParts, ok, j.Open())
			}
			if i == wantParts-1 && !sameRecord(whole, fcgi.Record{Type: typ, Flags: flags, ID: 7, Content: content}) {
				t.Fatalf("joined %s %d flags %d with %d bytes", whole.Type, whole.ID, whole.Flags, len(whole.Content))
			}
			if i == wantParts && !sameRecord(whole, rec) {
				t.Fatalf("the record after it became %+v", whole)
			}
		}
	}
	f(fcgi.TypeRequest, fcgi.FlagBody|fcgi.WindowFlags(1<<18), 0, 1)
	f(fcgi.TypeRequest, fcgi.FlagBody|fcgi.WindowFlags(1<<18), 65535, 1)
	f(fcgi.TypeRequest, fcgi.FlagBody|fcgi.WindowFlags(1<<18), 65536, 2)
	f(fcgi.TypeResponse, fcgi.FlagLast, 131070, 2)
	f(fcgi.TypeResponse, 0, 131071, 3)
	f(fcgi.TypeMessage, 0, 300*1024, 5)
}

// TestJoinerReuse joins twice with one Joiner: nothing of the first may be in
// the second.
func TestJoinerReuse(t *testing.T) {
	j := fcgi.Joiner{Limit: 10}
	f := func(want string, parts ...string) {
		t.Helper()
		for i, part := range parts {
			rec := fcgi.Record{Type: fcgi.TypeMessage, ID: 1, Content: []byte(part)}
			if i < len(parts)-1 {
				rec.Flags = fcgi.FlagMore
			}
			whole, ok, err := j.Add(rec)
			if err != nil || ok != (i == len(parts)-1) || ok && string(whole.Content) != want {
				t.Fatalf("part %d: got %q, ok %t, error %v; want %q", i, whole.Content, ok, err, want)
			}
		}
	}
	f("0123456789", "01234", "56789")
	f("ab", "a", "", "b")
	f("alone and longer than the limit", "alone and longer than the limit")
	f("", "", "")
}

// TestJoinerReservedByte: FastCGI calls the byte reserved, so a bit in a
// standard record means nothing.
func TestJoinerReservedByte(t *testing.T) {
	var j fcgi.Joiner
	for _, typ := range []fcgi.Type{fcgi.TypeStdin, fcgi.TypeStdout, fcgi.TypeStderr, fcgi.TypeEndRequest, fcgi.TypeWindow, 99} {
		rec := fcgi.Record{Type: typ, Flags: 255, ID: 1, Content: []byte("x")}
		if whole, ok, err := j.Add(rec); err != nil || !ok || !sameRecord(whole, rec) {
			t.Errorf("%s with every flag: got %+v, ok %t, error %v", typ, whole, ok, err)
		}
	}
}

func TestJoinerFailure(t *testing.T) {
	more := fcgi.Record{Type: fcgi.TypeResponse, Flags: fcgi.FlagMore, ID: 1, Content: []byte("12345")}
	f := func(name, wantErr string, next fcgi.Record) {
		t.Helper()
		j := fcgi.Joiner{Limit: 9}
		if _, ok, err := j.Add(more); ok || err != nil {
			t.Fatalf("%s: first part: ok %t, error %v", name, ok, err)
		}
		_, ok, err := j.Add(next)
		if ok || err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: ok %t, error %v", name, ok, err)
		}
	}
	f("other id", "request 2 came between", fcgi.Record{Type: fcgi.TypeResponse, ID: 2})
	f("other type", "STDOUT record of request 1 came between", fcgi.Record{Type: fcgi.TypeStdout, ID: 1})
	f("too large", "larger than 9 bytes", fcgi.Record{Type: fcgi.TypeResponse, ID: 1, Content: []byte("67890")})
	f("too large, and more", "larger than 9 bytes", fcgi.Record{Type: fcgi.TypeResponse, ID: 1, Flags: fcgi.FlagMore, Content: []byte("67890")})

	j := fcgi.Joiner{Limit: 4}
	if _, ok, err := j.Add(more); ok || err == nil {
		t.Errorf("first part too large: ok %t, error %v", ok, err)
	}
	var byDefault fcgi.Joiner
	part := fcgi.Record{Type: fcgi.TypeMessage, Flags: fcgi.FlagMore, Content: fill(65535)}
	var err error
	for size := 0; err == nil; size += len(part.Content) {
		if size > fcgi.DefaultJoinLimit {
			t.Fatalf("joined %d bytes without a limit", size)
		}
		_, _, err = byDefault.Add(part)
	}
	if errors.Unwrap(err) != nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("default limit gives error %v", err)
	}
}
