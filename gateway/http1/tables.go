package http1

// What an octet may be used for, one bit per question, so that each check in the
// hot path is a load and a mask.
const (
	isToken    uint8 = 1 << iota // tchar, RFC 9110 §5.6.2
	isValue                      // field-vchar, obs-text, SP or HTAB, RFC 9110 §5.5
	isTarget                     // may stand in a request-target, see targetPath
	isPlain                      // isTarget without "%" and "?"
	isRegName                    // may stand in a reg-name without encoding, see validAuthority
	isHexDigit                   // HEXDIG in either case
)

// octets is never written to after its making.
var octets = makeOctets()

func makeOctets() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		alnum := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if alnum || inString(c, "!#$%&'*+-.^_`|~") {
			t[i] |= isToken
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[i] |= isValue
		}
		// RFC 3986 allows fewer, but browsers send "|", "^", "{" and others as
		// they are. "\" is refused since some read it as "/".
		if c > ' ' && c < 0x7f && c != '#' && c != '\\' {
			t[i] |= isTarget
			if c != '%' && c != '?' {
				t[i] |= isPlain
			}
		}
		// RFC 3986 §3.2.2, less ",": two Host fields that something joined.
		if alnum || inString(c, "-._~!$&'()*+;=") {
			t[i] |= isRegName
		}
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f' {
			t[i] |= isHexDigit
		}
	}
	return t
}

func inString(c byte, s string) bool {
	for i := range len(s) {
		if s[i] == c {
			return true
		}
	}
	return false
}

// unhex is the value of a HEXDIG.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&0x0f + 9
}
