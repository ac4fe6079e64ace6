package http1

import "encoding/binary"

// Bytes of a word, for looking at eight octets at once.
const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// validValue is whether b has no control characters but HTAB (RFC 9110 §5.5).
func validValue(b []byte) bool {
	if len(b) < 8 {
		for _, c := range b {
			if octets[c]&isValue == 0 {
				return false
			}
		}
		return true
	}
	for i := 0; ; i += 8 {
		// The last word overlaps the one before it.
		i = min(i, len(b)-8)
		w := binary.LittleEndian.Uint64(b[i:])
		if hasControl(w) {
			for _, c := range b[i : i+8] {
				if octets[c]&isValue == 0 {
					return false
				}
			}
		}
		if i == len(b)-8 {
			return true
		}
	}
}

// hasControl is whether an octet of w is below SP or is DEL: the test "has a byte less than
// n", which subtracts n from every byte and looks for a borrow, and the same
// with n = 1 after DEL was made zero.
func hasControl(w uint64) bool {
	del := w ^ 0x7f*eachByte
	return ((w-0x20*eachByte)&^w|(del-eachByte)&^del)&highBits != 0
}
