package marshal_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pyspeed/fcgi/marshal"
)

// field is a field type of another package.
type field struct{ Name, Value []byte }

func samePair(a, b marshal.Pair) bool {
	return bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Value, b.Value)
}

func pairsOf(s ...string) []marshal.Pair {
	var pairs []marshal.Pair
	for i := 0; i < len(s); i += 2 {
		pairs = append(pairs, marshal.Pair{Name: []byte(s[i]), Value: []byte(s[i+1])})
	}
	return pairs
}

func TestDecodeAnswerHead(t *testing.T) {
	f := func(v marshal.Value, wantStatus int, want ...string) {
		t.Helper()
		encoded := appendValue(nil, v)
		before := pairsOf("kept", "field")
		status, got, n, err := marshal.DecodeAnswerHead(append(slices.Clone(encoded), "body"...), before)
		if err != nil || status != wantStatus || n != len(encoded) || !slices.EqualFunc(got, append(before, pairsOf(want...)...), samePair) {
			t.Errorf("%.60q: status %d, fields %q, %d bytes, error %v", encoded, status, got, n, err)
		}
		for cut := range encoded {
			if _, _, _, err := marshal.DecodeAnswerHead[marshal.Pair](slices.Clone(encoded[:cut]), nil); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("%d bytes of %.60q give error %v", cut, encoded, err)
			}
		}
	}
	type T = marshal.Tuple
	type L = marshal.List
	f(T{200, L{}}, 200)
	f(T{100, T{}}, 100)
	f(T{999, T{}}, 999)
	f(T{"404 Not Found", L{T{"a", "b"}}}, 404, "a", "b")
	f(T{latin1("200"), L{T{latin1("a"), latin1("b")}}}, 200, "a", "b")
	f(T{[]byte("200 "), L{L{[]byte("a"), []byte("")}}}, 200, "a", "")
	f(T{200, T{T{[]byte("content-type"), []byte("text/plain")}, T{[]byte("content-length"), []byte("5")}}}, 200, "content-type", "text/plain", "content-length", "5")
	f(T{200, L{T{"mixed", []byte("\xff\x00")}}}, 200, "mixed", "\xff\x00")
	// Characters beyond ASCII in every place, and where they split an 8-byte step.
	f(T{200, L{T{"é", "ÿ\u0080"}, T{"a", "1234567é"}, T{"b", "ééééééé8"}, T{"after", "it"}}}, 200,
		"\xe9", "\xff\x80", "a", "1234567\xe9", "b", strings.Repeat("\xe9", 7)+"8", "after", "it")
	f(T{200, L{T{latin1("\xe9"), latin1("/%ff\xff")}}}, 200, "\xe9", "/%ff\xff")
	f(T{"200 Café", L{}}, 200)
	long := strings.Repeat("v", 300)
	f(T{200, L{T{"a", long}, T{latin1(long), []byte(long)}}}, 200, "a", long, long, long)

	many := L{}
	var want []string
	for range 300 {
		many = append(many, T{"Set-Cookie", "a=b"})
		want = append(want, "Set-Cookie", "a=b")
	}
	f(T{200, many}, 200, want...)
	f(T{200, T(many)}, 200, want...)
}

// TestDecodeAnswerHeadCodes has codes and forms that our encoder does not write.
func TestDecodeAnswerHeadCodes(t *testing.T) {
	f := func(encoded string, want ...string) {
		t.Helper()
		status, got, n, err := marshal.DecodeAnswerHead[marshal.Pair]([]byte(encoded), nil)
		if err != nil || status != 200 || n != len(encoded) || !slices.EqualFunc(got, pairsOf(want...), samePair) {
			t.Errorf("%q: status %d, fields %q, %d bytes, error %v", encoded, status, got, n, err)
		}
	}
	f("(\x02\x00\x00\x00Z\x03200(\x01\x00\x00\x00(\x02\x00\x00\x00Z\x01aA\x01\x00\x00\x00b", "a", "b")
	f(")\x02t\x03\x00\x00\x00200[\x01\x00\x00\x00[\x02\x00\x00\x00t\x02\x00\x00\x00\xc3\xa9z\x01\xe9", "\xe9", "\xe9")
	f(")\x02a\x03\x00\x00\x00200)\x01)\x02z\x00z\x00", "", "")
}

func TestDecodeAnswerHeadFailure(t *testing.T) {
	f := func(encoded, wantErr string) {
		t.Helper()
		status, _, n, err := marshal.DecodeAnswerHead[marshal.Pair]([]byte(encoded), nil)
		if err == nil || !strings.Contains(err.Error(), wantErr) || status != 0 || n != 0 {
			t.Errorf("%q: status %d, %d bytes, error %v", encoded, status, n, err)
		}
	}
	const ok = ")\x02i\xc8\x00\x00\x00"
	f("", "cut off")
	f("N.", "not a tuple (status, headers)")
	f("[\x02\x00\x00\x00", "not a tuple (status, headers)")
	f(")\x03NNN", "not a tuple (status, headers)")
	f("(\xff\xff\xff\xff", "cut off")
	f(")\x02i\x63\x00\x00\x00)\x00", "status is neither")
	f(")\x02i\xe8\x03\x00\x00)\x00", "status is neither")
	f(")\x02i\xff\xff\xff\xff)\x00", "status is neither")
	f(")\x02N.)\x00", "status is neither")
	f(")\x02z\x0220)\x00", "status is neither")
	f(")\x02z\x042000)\x00", "status is neither")
	f(")\x02z\x04200\t)\x00", "status is neither")
	f(")\x02z\x03099)\x00", "status is neither")
	f(")\x02z\x032\xb20)\x00", "status is neither")
	f(")\x02u\x03\x00\x00\x00\xe2\x82\xac)\x00", "status is neither")
	f(ok+"N.", "headers are neither")
	f(ok+"{0", "headers are neither")
	f(ok+"s\x00\x00\x00\x00", "headers are neither")
	f(ok+"[\xff\xff\xff\xff", "cut off")
	f(ok+"[\xff\xff\xff\x7f", "cut off")
	f(ok+")\x01N.", "not a pair")
	f(ok+")\x01)\x03z\x00z\x00z\x00", "not a pair")
	f(ok+")\x01)\x02i\x00\x00\x00\x00z\x00", "not a pair")
	f(ok+")\x01)\x02z\x00N.", "not a pair")
	f(ok+")\x01)\x02z\x02a", "cut off")
	f(ok+")\x01)\x02z\x00s\xff\xff\xff\x7f", "cut off")
	f(ok+")\x01)\x02z\x00u\xff\xff\xff\xff", "cut off")
	f(ok+")\x01)\x02z\x00u\x03\x00\x00\x00\xe2\x82\xac", "above U+00FF")
	f(ok+")\x01)\x02z\x00u\x02\x00\x00\x00\xc4\x80", "above U+00FF")
	f(ok+")\x01)\x02z\x00u\x03\x00\x00\x00\xef\xbf\xbd", "above U+00FF")
	f(ok+")\x01)\x02z\x00u\x01\x00\x00\x00\xff", "not valid UTF-8")
	f(ok+")\x01)\x02z\x00u\x02\x00\x00\x00\xc1\xbf", "not valid UTF-8")
	f(ok+")\x01)\x02z\x00u\x03\x00\x00\x00\xed\xb3\xbf", "not valid UTF-8")
}

// TestDecodeAnswerHeadFieldType: the caller's own field type, and slices that
// an append cannot run out of.
func TestDecodeAnswerHeadFieldType(t *testing.T) {
	b := appendValue(nil, marshal.Tuple{200, marshal.List{marshal.Tuple{"naïve", "value"}, marshal.Tuple{"next", "one"}}})
	_, fields, _, err := marshal.DecodeAnswerHead[field](b, nil)
	if err != nil || len(fields) != 2 {
		t.Fatalf("fields %q, error %v", fields, err)
	}
	_ = append(fields[0].Name, "overwritten"...)
	_ = append(fields[0].Value, "overwritten"...)
	if string(fields[0].Name) != "na\xefve" || string(fields[0].Value) != "value" || string(fields[1].Name) != "next" {
		t.Errorf("fields became %q", fields)
	}
}
