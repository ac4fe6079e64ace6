package fcgi

import (
	"bytes"
	"testing"
)

// TestPairLen reaches lengths for which no test should hold the memory.
func TestPairLen(t *testing.T) {
	f := func(n uint32, want ...byte) {
		t.Helper()
		got := appendPairLen(nil, n)
		if !bytes.Equal(got, want) {
			t.Errorf("length %d is % x, want % x", n, got, want)
		}
		for i := range got {
			if _, taken := parsePairLen(got[:i]); taken != 0 {
				t.Errorf("length %d: %d of %d bytes are taken for a length", n, i, len(got))
			}
		}
		if back, taken := parsePairLen(append(got, 0xff)); back != n || taken != len(want) {
			t.Errorf("length %d reads as %d of %d bytes", n, back, taken)
		}
	}
	f(0, 0)
	f(1, 1)
	f(127, 127)
	f(128, 0x80, 0, 0, 128)
	f(255, 0x80, 0, 0, 255)
	f(256, 0x80, 0, 1, 0)
	f(MaxPairLen-1, 0xff, 0xff, 0xff, 0xfe)
	f(MaxPairLen, 0xff, 0xff, 0xff, 0xff)

	// The long form of a short length is unusual, not wrong.
	if n, taken := parsePairLen([]byte{0x80, 0, 0, 5}); n != 5 || taken != 4 {
		t.Errorf("long form of 5 reads as %d of %d bytes", n, taken)
	}
}
