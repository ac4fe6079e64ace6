package fcgi_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pyspeed/fcgi"
)

type pair struct{ name, value string }

func encodePairs(t testing.TB, pairs []pair) []byte {
	t.Helper()
	var b []byte
	for _, p := range pairs {
		var err error
		if b, err = fcgi.AppendPair(b, p.name, p.value); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// decodePairs feeds p in chunks and takes pairs as soon as they are there.
func decodePairs(p *fcgi.Pairs, chunks [][]byte) ([]pair, error) {
	var pairs []pair
	for _, chunk := range chunks {
		if err := p.Feed(chunk); err != nil {
			return pairs, err
		}
		for {
			name, value, ok, err := p.Next()
			if err != nil {
				return pairs, err
			}
			if !ok {
				break
			}
			pairs = append(pairs, pair{string(name), string(value)})
		}
	}
	return pairs, p.End()
}

func TestAppendPair(t *testing.T) {
	f := func(nameLen, valueLen int, wantHead ...byte) {
		t.Helper()
		name, value := fill(nameLen), fill(valueLen)
		got, err := fcgi.AppendPair([]byte("x"), name, value)
		if err != nil {
			t.Fatal(err)
		}
		if want := slices.Concat([]byte("x"), wantHead, name, value); !bytes.Equal(got, want) {
			t.Errorf("pair of %d and %d bytes starts with % x, want % x", nameLen, valueLen, got[:min(len(got), 10)], wantHead)
		}
	}
	f(0, 0, 0, 0)
	f(127, 127, 127, 127)
	f(128, 127, 0x80, 0, 0, 128, 127)
	f(127, 128, 127, 0x80, 0, 0, 128)
	f(128, 128, 0x80, 0, 0, 128, 0x80, 0, 0, 128)
	f(1, 65536, 1, 0x80, 1, 0, 0)
	f(0, 1<<24+5, 0, 0x81, 0, 0, 5)
}

func TestPairs(t *testing.T) {
	long := strings.Repeat("v", 128)
	tests := []struct {
		name  string
		pairs []pair
	}{
		{"none", nil},
		{"empty", []pair{{"", ""}}},
		{"typical", []pair{{"REQUEST_METHOD", "GET"}, {"QUERY_STRING", ""}, {"PATH_INFO", "/\xff\x00"}, {"HTTP_COOKIE", long}}},
		{"127 and 128", []pair{{long[:127], long[:127]}, {long, long[:127]}, {long[:127], long}, {long, long}}},
		{"repeated", []pair{{"A", "1"}, {"A", "2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := encodePairs(t, tt.pairs)
			eachSplit(t, data, func(t *testing.T, chunks [][]byte) {
				p := fcgi.Pairs{Limit: max(len(data), 1)}
				got, err := decodePairs(&p, chunks)
				if err != nil || !slices.Equal(got, tt.pairs) {
					t.Errorf("got %q, error %v", got, err)
				}
			})
		})
	}
}

// TestParamsSplitAtEveryByte sends PARAMS as two records, for every place that
// the stream can be cut at.
func TestParamsSplitAtEveryByte(t *testing.T) {
	want := []pair{{"A", "1"}, {strings.Repeat("N", 127), strings.Repeat("v", 128)}, {strings.Repeat("N", 128), ""}, {"", "x"}}
	stream := encodePairs(t, want)
	var p fcgi.Pairs
	for cut := range len(stream) + 1 {
		data := fcgi.AppendStream(nil, fcgi.TypeParams, 1, stream[:cut])
		data = fcgi.AppendStream(data, fcgi.TypeParams, 1, stream[cut:])
		data = fcgi.AppendStreamEnd(data, fcgi.TypeParams, 1)
		recs, rest, err := readAll(t, [][]byte{data})
		if err != nil || len(rest) != 0 {
			t.Fatalf("cut at %d: %d bytes left over, error %v", cut, len(rest), err)
		}
		var contents [][]byte
		for _, rec := range recs {
			contents = append(contents, rec.Content)
		}
		p.Reset()
		if got, err := decodePairs(&p, contents); err != nil || !slices.Equal(got, want) {
			t.Fatalf("cut at %d: got %q, error %v", cut, got, err)
		}
	}
}

// TestPairsValid: what Next returned stays as it was while the stream goes on.
func TestPairsValid(t *testing.T) {
	var p fcgi.Pairs
	if err := p.Feed(encodePairs(t, []pair{{"FIRST", "kept"}})); err != nil {
		t.Fatal(err)
	}
	name, value, ok, err := p.Next()
	if !ok || err != nil {
		t.Fatalf("ok %t, error %v", ok, err)
	}
	_ = append(name, "overwritten"...)
	for range 1000 {
		if err := p.Feed(encodePairs(t, []pair{{"OTHER", "grows the buffer"}})); err != nil {
			t.Fatal(err)
		}
	}
	if string(name) != "FIRST" || string(value) != "kept" {
		t.Errorf("pair became %q: %q", name, value)
	}
}

func TestPairsFailure(t *testing.T) {
	f := func(name string, limit int, wantErr, data string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			eachSplit(t, []byte(data), func(t *testing.T, chunks [][]byte) {
				p := fcgi.Pairs{Limit: limit}
				_, err := decodePairs(&p, chunks)
				if err == nil || !strings.Contains(err.Error(), wantErr) {
					t.Errorf("got error %v, want %q", err, wantErr)
				}
			})
		})
	}
	f("ends in the first length", 0, "ends inside a pair", "\x80\x00\x00")
	f("ends before the second length", 0, "ends inside a pair", "\x01")
	f("ends in the second length", 0, "ends inside a pair", "\x01\x80\x00\x00")
	f("ends in the name", 0, "ends inside a pair", "\x02\x01N")
	f("ends in the value", 0, "ends inside a pair", "\x01\x02Nv")
	f("ends in the second pair", 0, "ends inside a pair", "\x01\x01Nv\x01")
	// The lengths of CVE-2025-23016, whose sum overflows 32 bits.
	f("both lengths at their most", 0, "larger than 1048576 bytes", "\xff\xff\xff\xff\xff\xff\xff\xffN")
	f("name at its most", 0, "name of 2147483647 and value of 0 bytes", "\xff\xff\xff\xff\x00N")
	f("value at its most", 0, "name of 0 and value of 2147483647 bytes", "\x00\xff\xff\xff\xff")
	f("one byte over the limit", 5, "larger than 5 bytes", "\x01\x03Nval")
	f("second pair over the limit", 6, "larger than 6 bytes", "\x01\x01Nv\x01\x01Nv")
	f("many empty pairs", 100, "larger than 100 bytes", strings.Repeat("\x00", 102))
}

func TestVariables(t *testing.T) {
	data, err := fcgi.AppendGetValues(nil, fcgi.VarMaxConns, fcgi.VarMpxsConns, fcgi.VarProfile)
	if err != nil {
		t.Fatal(err)
	}
	rec, n := mustNext(t, data)
	if n != len(data) || rec.Type != fcgi.TypeGetValues || rec.ID != fcgi.ManagementID {
		t.Errorf("query is %+v", rec)
	}
	got, err := fcgi.DecodeVariables(rec.Content)
	if want := []fcgi.Variable{{Name: "FCGI_MAX_CONNS"}, {Name: "FCGI_MPXS_CONNS"}, {Name: "PYSPEED_PROFILE"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("query decodes to %v, error %v", got, err)
	}

	want := []fcgi.Variable{{fcgi.VarMaxReqs, "65535"}, {fcgi.VarProfile, "1"}}
	if data, err = fcgi.AppendGetValuesResult(nil, want...); err != nil {
		t.Fatal(err)
	}
	rec, _ = mustNext(t, data)
	if got, err = fcgi.DecodeVariables(rec.Content); err != nil || rec.Type != fcgi.TypeGetValuesResult || !slices.Equal(got, want) {
		t.Errorf("answer %s decodes to %v, error %v", rec.Type, got, err)
	}
	if _, err := fcgi.DecodeVariables(rec.Content[:len(rec.Content)-1]); err == nil {
		t.Error("answer that is cut off gives no error")
	}
	if b, err := fcgi.AppendGetValuesResult([]byte("x"), fcgi.Variable{Name: "A", Value: string(fill(65535))}); err == nil || string(b) != "x" {
		t.Errorf("answer beyond one record gives %d bytes, error %v", len(b), err)
	}
}

func TestBodies(t *testing.T) {
	for _, want := range []fcgi.BeginRequest{{Role: fcgi.RoleResponder}, {Role: fcgi.RoleFilter, KeepConn: true}, {Role: 0xfffe}} {
		rec, _ := mustNext(t, fcgi.AppendBeginRequest(nil, 300, want))
		if got, err := fcgi.DecodeBeginRequest(rec.Content); err != nil || got != want || rec.Type != fcgi.TypeBeginRequest || rec.ID != 300 {
			t.Errorf("%+v becomes %s %d %+v, error %v", want, rec.Type, rec.ID, got, err)
		}
	}
	for _, want := range []fcgi.EndRequest{
		{},
		{AppStatus: 1},
		{AppStatus: 0xfffffffe, ProtocolStatus: fcgi.StatusOverloaded},
		{ProtocolStatus: 77},
	} {
		rec, _ := mustNext(t, fcgi.AppendEndRequest(nil, 301, want))
		if got, err := fcgi.DecodeEndRequest(rec.Content); err != nil || got != want || rec.Type != fcgi.TypeEndRequest || rec.ID != 301 {
			t.Errorf("%+v becomes %s %d %+v, error %v", want, rec.Type, rec.ID, got, err)
		}
	}
	rec, _ := mustNext(t, fcgi.AppendUnknownType(nil, 99))
	if typ, err := fcgi.DecodeUnknownType(rec.Content); err != nil || typ != 99 || rec.Type != fcgi.TypeUnknownType || rec.ID != 0 {
		t.Errorf("unknown type 99 becomes %s %d %d, error %v", rec.Type, rec.ID, typ, err)
	}
	rec, _ = mustNext(t, fcgi.AppendWindow(nil, 12, 0xfffffffd))
	if credit, err := fcgi.DecodeWindow(rec.Content); err != nil || credit != 0xfffffffd || rec.Type != fcgi.TypeWindow || rec.ID != 12 {
		t.Errorf("window becomes %s %d %d, error %v", rec.Type, rec.ID, credit, err)
	}
	// Flags other than KEEP_CONN mean nothing.
	if got, err := fcgi.DecodeBeginRequest([]byte{0, 1, 0xfe, 1, 2, 3, 4, 5}); err != nil || got != (fcgi.BeginRequest{Role: fcgi.RoleResponder}) {
		t.Errorf("foreign flags give %+v, error %v", got, err)
	}
	for _, n := range []int{0, 1, 3, 5, 7, 9, 65535} {
		content := fill(n)
		_, err1 := fcgi.DecodeBeginRequest(content)
		_, err2 := fcgi.DecodeEndRequest(content)
		_, err3 := fcgi.DecodeUnknownType(content)
		_, err4 := fcgi.DecodeWindow(content)
		for _, err := range []error{err1, err2, err3, err4} {
			if err == nil || !strings.Contains(err.Error(), "must have") {
				t.Errorf("body of %d bytes gives error %v", n, err)
			}
		}
	}
}

func TestProtocolStatusString(t *testing.T) {
	for i, want := range []string{"REQUEST_COMPLETE", "CANT_MPX_CONN", "OVERLOADED", "UNKNOWN_ROLE", "protocol status 4"} {
		if got := fcgi.ProtocolStatus(i).String(); got != want {
			t.Errorf("status %d is %q, want %q", i, got, want)
		}
	}
}
