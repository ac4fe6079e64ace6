package fcgi_test

import (
	"bytes"
	"testing"

	"pyspeed/fcgi"
)

func TestAppendHeader(t *testing.T) {
	got := fcgi.AppendHeader([]byte("x"), fcgi.TypeRequest, fcgi.FlagBody|fcgi.FlagMore, 0x1234, 0xfedc, 7)
	want := []byte{'x', 1, 64, 0x12, 0x34, 0xfe, 0xdc, 7, 3}
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestAppendStream(t *testing.T) {
	f := func(contentLen int, wantLens ...int) {
		t.Helper()
		content := fill(contentLen)
		b := fcgi.AppendStream(nil, fcgi.TypeStdin, 9, content)
		var got []byte
		for _, want := range wantLens {
			rec, n := mustNext(t, b)
			if rec.Type != fcgi.TypeStdin || rec.ID != 9 || rec.Flags != 0 || len(rec.Content) != want {
				t.Fatalf("got %s id %d flags %d with %d bytes, want %d", rec.Type, rec.ID, rec.Flags, len(rec.Content), want)
			}
			got = append(got, rec.Content...)
			b = b[n:]
		}
		if len(b) != 0 || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes left over; content changed: %t", len(b), !bytes.Equal(got, content))
		}
	}
	f(0) // an empty record would end the stream
	f(1, 1)
	f(65535, 65535)
	f(65536, 65535, 1)
	f(131070, 65535, 65535)
	f(200000, 65535, 65535, 65535, 3395)

	rec, n := mustNext(t, fcgi.AppendStreamEnd(nil, fcgi.TypeParams, 3))
	if n != fcgi.HeaderLen || rec.Type != fcgi.TypeParams || rec.ID != 3 || len(rec.Content) != 0 {
		t.Errorf("stream end is %+v with %d bytes", rec, n)
	}
}

func TestWindowFlags(t *testing.T) {
	f := func(bytes, want int) {
		t.Helper()
		flags := fcgi.WindowFlags(bytes)
		if got := flags.Window(); got != want {
			t.Errorf("window of %d bytes is announced as %d, want %d", bytes, got, want)
		}
		if flags&(fcgi.FlagBody|fcgi.FlagLast|fcgi.FlagMore) != 0 {
			t.Errorf("window of %d bytes sets other flags: %08b", bytes, flags)
		}
		if got := (flags | fcgi.FlagBody | fcgi.FlagMore).Window(); got != want {
			t.Errorf("other flags change the window to %d, want %d", got, want)
		}
	}
	f(-1, 4096)
	f(0, 4096)
	f(4096, 4096)
	f(8191, 4096)
	f(8192, 8192)
	f(262144, 262144)
	f(300000, 262144)
	f(4096<<15, 4096<<15)
	f(4096<<15*4, 4096<<15)
}

func TestTypeString(t *testing.T) {
	f := func(typ fcgi.Type, want string) {
		t.Helper()
		if got := typ.String(); got != want {
			t.Errorf("type %d is %q, want %q", uint8(typ), got, want)
		}
	}
	f(0, "type 0")
	f(1, "BEGIN_REQUEST")
	f(2, "ABORT_REQUEST")
	f(3, "END_REQUEST")
	f(4, "PARAMS")
	f(5, "STDIN")
	f(6, "STDOUT")
	f(7, "STDERR")
	f(8, "DATA")
	f(9, "GET_VALUES")
	f(10, "GET_VALUES_RESULT")
	f(11, "UNKNOWN_TYPE")
	f(12, "type 12")
	f(64, "REQUEST")
	f(65, "RESPONSE")
	f(66, "WINDOW")
	f(67, "type 67")
	f(68, "MESSAGE")
	f(255, "type 255")
}

// mustNext decodes the record at the start of b.
func mustNext(t testing.TB, b []byte) (fcgi.Record, int) {
	t.Helper()
	var d fcgi.Decoder
	n, rec, ok, err := d.Next(b)
	if err != nil || !ok {
		t.Fatalf("cannot decode record: ok %t, error %v", ok, err)
	}
	return rec, n
}
