//go:build !race

package marshal_test

import (
	"testing"

	"pyspeed/fcgi/marshal"
)

// TestAllocations is not built with the race detector, whose own allocations
// would count.
func TestAllocations(t *testing.T) {
	f := func(name string, run func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	dst := make([]byte, 0, 4096)
	f("encoding", func() { dst = appendEnviron(dst[:0], typicalEnviron) })

	heads := map[string][]byte{
		"head of str":   appendValue(nil, typicalHead("str")),
		"head of bytes": appendValue(nil, typicalHead("bytes")),
	}
	fields := make([]field, 0, 16)
	for name, head := range heads {
		f(name, func() {
			var err error
			if _, fields, _, err = marshal.DecodeAnswerHead(head, fields[:0]); err != nil {
				t.Fatal(err)
			}
		})
	}
	beyond := appendValue(nil, marshal.Tuple{200, marshal.List{marshal.Tuple{"a", "é"}}})
	work := make([]byte, len(beyond))
	f("head beyond ASCII", func() {
		copy(work, beyond)
		var err error
		if _, fields, _, err = marshal.DecodeAnswerHead(work, fields[:0]); err != nil {
			t.Fatal(err)
		}
	})
	broken := []byte(")\x02N.")
	f("broken head", func() {
		if _, _, _, err := marshal.DecodeAnswerHead(broken, fields[:0]); err == nil {
			t.Fatal("no error")
		}
	})
}
