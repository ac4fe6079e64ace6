package exchange

// Cut returns what is before and after the first byte at.
func Cut(b []byte, at byte) (before, after []byte) {
	for i, c := range b {
		if c == at {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// TrimOWS takes optional whitespace off both ends (RFC 9110 §5.6.3).
func TrimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// Lists is whether a list of tokens (RFC 9110 §5.6.1) has that one, in lower case here, with an argument or without.
func Lists(value []byte, token string) bool {
	for len(value) > 0 {
		var item []byte
		item, value = Cut(value, ',')
		item, _ = Cut(item, '=')
		if EqualFold(TrimOWS(item), token) {
			return true
		}
	}
	return false
}
