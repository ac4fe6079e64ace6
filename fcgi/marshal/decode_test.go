package marshal_test

import (
	"bytes"
	"strings"
	"testing"

	"pyspeed/fcgi/marshal"
)

func TestAppend(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("got %.20q, want %.20q", got, want)
		}
	}
	s255, s256 := strings.Repeat("x", 255), strings.Repeat("\xff", 256)
	f(marshal.AppendStr(nil, ""), "z\x00")
	f(marshal.AppendStr([]byte("<"), []byte("/%ff\xff")), "<z\x05/%ff\xff")
	f(marshal.AppendStr(nil, s255), "z\xff"+s255)
	f(marshal.AppendStr(nil, s256), "a\x00\x01\x00\x00"+s256)
	f(marshal.AppendUTF8(nil, "€"), "u\x03\x00\x00\x00\xe2\x82\xac")
	f(marshal.AppendBytes(nil, []byte(s256)), "s\x00\x01\x00\x00"+s256)
	f(marshal.AppendInt(nil, 200), "i\xc8\x00\x00\x00")
	f(marshal.AppendInt(nil, -2), "i\xfe\xff\xff\xff")
	f(marshal.AppendNone(nil), "N")
	f(marshal.AppendBool(marshal.AppendBool(nil, true), false), "TF")
	f(marshal.AppendTuple(nil, 255), ")\xff")
	f(marshal.AppendTuple(nil, 256), "(\x00\x01\x00\x00")
	f(marshal.AppendDictEnd(marshal.AppendDictStart(nil)), "{0")
	list := marshal.AppendList([]byte("<"), 0)
	marshal.PatchLen(list, 1, 0x01020304)
	f(list, "<[\x04\x03\x02\x01")
}

func TestDecode(t *testing.T) {
	f := func(encoded, want string) {
		t.Helper()
		v, n, err := marshal.Decode([]byte(encoded+"trailing"), marshal.Limits{})
		if err != nil || n != len(encoded) || show(v) != want {
			t.Errorf("%q: got %s, %d bytes, error %v; want %s", encoded, show(v), n, err, want)
		}
		for cut := range len(encoded) {
			if _, _, err := marshal.Decode([]byte(encoded[:cut]), marshal.Limits{}); err == nil {
				t.Errorf("%d bytes of %q give no error", cut, encoded)
			}
		}
	}
	f("N", "None")
	f("T", "True")
	f("F", "False")
	f("i\xff\xff\xff\x7f", "i2147483647")
	f("i\x00\x00\x00\x80", "i-2147483648")
	f("s\x02\x00\x00\x00\xff\x00", "sff00")
	f("z\x02ab", "u6162")
	f("Z\x01\xff", "uc3bf")
	f("a\x01\x00\x00\x00\xff", "uc3bf")
	f("A\x00\x00\x00\x00", "u")
	f("u\x03\x00\x00\x00\xe2\x82\xac", "ue282ac")
	f("t\x01\x00\x00\x00a", "u61")
	// What surrogatepass writes for a lone surrogate becomes U+FFFD.
	f("u\x05\x00\x00\x00a\xed\xb3\xbfb", "u61efbfbd62")
	f("u\x06\x00\x00\x00\xed\xa0\x80\xed\xbf\xbf", "uefbfbdefbfbd")
	f(")\x02TN", "(True,None)")
	f("(\x01\x00\x00\x00[\x01\x00\x00\x00{0", "([{}])")
	f("{z\x01aNi\x01\x00\x00\x00)\x000", "{u61:None,i1:()}")
}

func TestDecodeFailure(t *testing.T) {
	f := func(encoded, wantErr string) {
		t.Helper()
		v, n, err := marshal.Decode([]byte(encoded), marshal.Limits{Depth: 5, Size: 100})
		if err == nil || !strings.Contains(err.Error(), wantErr) || v != nil || n != 0 {
			t.Errorf("%.20q: got %v, %d bytes, error %v", encoded, v, n, err)
		}
	}
	f("", "at byte 0: it is cut off")
	f("l\x02\x00\x00\x00\x00\x00\x02\x00", `at byte 0: type 'l' is not supported`)
	f("gabcdefgh", `type 'g' is not supported`)
	f("r\x00\x00\x00\x00", `type 'r' is not supported`)
	f("\xe9\x01\x00\x00\x00", "is not supported") // an int with FLAG_REF
	f("0", "end of dict in the wrong place")
	f(")\x010", "end of dict in the wrong place")
	f("{N0", "end of dict in the wrong place")
	f("{NN", "cut off")
	f("s\xff\xff\xff\xff", "cut off")
	f("s\xff\xff\xff\x7f", "cut off")
	f("u\xff\xff\xff\xffa", "cut off")
	f("(\xff\xff\xff\xffN", "cut off")
	f("[\xff\xff\xff\x7fN", "cut off")
	f("u\x01\x00\x00\x00\xff", "not valid UTF-8")
	f("u\x02\x00\x00\x00\xc0\x80", "not valid UTF-8")
	f("u\x02\x00\x00\x00\xed\xa0", "not valid UTF-8")
	f("u\x04\x00\x00\x00\xed\xa0\x80\xff", "not valid UTF-8")
	f(strings.Repeat(")\x01", 5)+"N", "nested deeper")
	f(strings.Repeat("{", 6), "nested deeper")
	f(strings.Repeat("[\x01\x00\x00\x00", 6), "nested deeper")
	f("s\x60\x00\x00\x00"+strings.Repeat("x", 96), "larger than allowed")
	f("{"+strings.Repeat("NN", 50)+"0", "larger than allowed")

	if _, n, err := marshal.Decode([]byte("s\x5f\x00\x00\x00"+strings.Repeat("x", 95)+"more"), marshal.Limits{Size: 100}); err != nil || n != 100 {
		t.Errorf("value at its largest: %d bytes, error %v", n, err)
	}
	// Depth is given back when a branch ends.
	if _, _, err := marshal.Decode([]byte(")\x04)\x01)\x00[\x00\x00\x00\x00{0)\x01{NN0"), marshal.Limits{Depth: 4}); err != nil {
		t.Errorf("branches: %v", err)
	}
	if _, _, err := marshal.Decode([]byte(strings.Repeat(")\x01", marshal.DefaultDepth)+"N"), marshal.Limits{}); err == nil {
		t.Error("no depth limit by default")
	}
	large := append([]byte("s\x00\x00\x10\x00"), bytes.Repeat([]byte("x"), marshal.DefaultSize)...)
	if _, _, err := marshal.Decode(large, marshal.Limits{}); err == nil {
		t.Error("no size limit by default")
	}
}

// TestDecodeCopies: a control message outlives the buffer it was read into.
func TestDecodeCopies(t *testing.T) {
	b := []byte(")\x02z\x03strs\x05\x00\x00\x00bytes")
	v, _, err := marshal.Decode(b, marshal.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if got, want := show(v), show(marshal.Tuple{"str", []byte("bytes")}); got != want {
		t.Errorf("value became %s, want %s", got, want)
	}
}

func TestGet(t *testing.T) {
	d := marshal.Dict{{"event", "ready"}, {"n", 1}, {1, "int key"}, {"n", 2}, {"none", nil}}
	if s, ok := marshal.Get[string](d, "event"); s != "ready" || !ok {
		t.Errorf("event is %q, %t", s, ok)
	}
	if n, ok := marshal.Get[int](d, "n"); n != 2 || !ok {
		t.Errorf("n is %d, %t; want the last", n, ok)
	}
	if s, ok := marshal.Get[string](d, "n"); s != "" || ok {
		t.Errorf("n as str is %q, %t", s, ok)
	}
	if v, ok := marshal.Get[bool](d, "missing"); v || ok {
		t.Errorf("missing key is %t, %t", v, ok)
	}
	if v, ok := marshal.Get[string](d, "none"); v != "" || ok {
		t.Errorf("None as str is %q, %t", v, ok)
	}
}
