package marshal_test

import (
	"bytes"
	"runtime"
	"slices"
	"testing"

	"pyspeed/fcgi/marshal"
)

// FuzzMarshalDecode: no input makes a decoder panic or use memory out of
// proportion, and what was decoded encodes to what decodes to the same.
func FuzzMarshalDecode(f *testing.F) {
	type T = marshal.Tuple
	f.Add(appendValue(nil, T{200, marshal.List{T{"content-type", []byte("text/plain")}, T{"é", latin1("\xe9")}}}))
	f.Add(appendValue(nil, marshal.Dict{{"event", "ready"}, {"threads", 4}, {"x", T{nil, true, false}}}))
	f.Add([]byte("(\xff\xff\xff\x7f"))
	f.Add([]byte("[\x08\x00\x00\x00[\x03\x00\x00\x00NNNNNNN"))
	f.Add([]byte("u\x03\x00\x00\x00\xed\xa0\x80"))
	f.Add([]byte(")\x02Z\x03200[\x01\x00\x00\x00(\x02\x00\x00\x00t\x01\x00\x00\x00aA\x01\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, n, err := marshal.Decode(data, marshal.Limits{})
		runtime.ReadMemStats(&after)
		// The constant is for what else the process does meanwhile.
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(100*len(data)+1<<20) {
			t.Errorf("%d bytes of input took %d bytes of memory", len(data), used)
		}
		if err == nil {
			if n > len(data) {
				t.Fatalf("took %d bytes of %d", n, len(data))
			}
			encoded := appendValue(nil, v)
			again, m, err := marshal.Decode(encoded, marshal.Limits{Size: len(encoded)})
			if err != nil || m != len(encoded) || show(again) != show(v) {
				t.Errorf("%s encoded again is %s, %d bytes of %d, error %v", show(v), show(again), m, len(encoded), err)
			}
			if twice := appendValue(nil, again); !bytes.Equal(twice, encoded) {
				t.Errorf("encoded twice: %q, once: %q", twice, encoded)
			}
		}

		head := slices.Clone(data)
		status, fields, m, headErr := marshal.DecodeAnswerHead[marshal.Pair](head, nil)
		if headErr != nil {
			return
		}
		// It must agree with Decode: the same fields out of the same bytes.
		if err != nil || m != n {
			t.Fatalf("answer head of %d bytes, value of %d, error %v", m, n, err)
		}
		if !bytes.Equal(head[m:], data[m:]) {
			t.Error("body was changed")
		}
		tuple := v.(marshal.Tuple)
		if i, ok := tuple[0].(int); status < 100 || status > 999 || ok && i != status {
			t.Errorf("status %d of %v", status, tuple[0])
		}
		headers := items(tuple[1])
		if len(headers) != len(fields) {
			t.Fatalf("%d fields of %d", len(fields), len(headers))
		}
		for i, h := range headers {
			name, value := items(h)[0], items(h)[1]
			if !bytes.Equal(fields[i].Name, octets(name)) || !bytes.Equal(fields[i].Value, octets(value)) {
				t.Errorf("field %q: %q of %q: %q", fields[i].Name, fields[i].Value, name, value)
			}
		}
	})
}

func items(v marshal.Value) []marshal.Value {
	if l, ok := v.(marshal.List); ok {
		return l
	}
	return v.(marshal.Tuple)
}

// octets returns bytes as they are and a str in Latin-1.
func octets(v marshal.Value) []byte {
	if b, ok := v.([]byte); ok {
		return b
	}
	var b []byte
	for _, r := range v.(string) {
		b = append(b, byte(r))
	}
	return b
}
