package jsonpass

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deep a text may be nested, as in encoding/json. Python's own parsers give up long before.
const MaxDepth = 10_000

// compact writes src to dst, which is as long, without insignificant white space, and with characters beyond ASCII as
// themselves where they were escaped. It returns the length of what it wrote; false: src, which must be UTF-8, is no JSON
// text (RFC 8259).
//
// Everything else stays as it is: numbers, the order of keys and keys that are there twice, and the escapes of ASCII, which
// are only there because somebody wanted them, of U+2028 and U+2029, for the same reason, and of surrogates that are alone,
// which UTF-8 cannot hold. So the result is never longer than src.
//
// It checks and writes in one pass, in strings a word at a time: faster than to check first, by whatever means.
func compact(dst, src []byte) (int, bool) {
	if len(src) == 0 {
		return 0, false
	}
	dst = dst[:len(src)]
	var open nesting
	i, j := 0, 0
	var c byte
	var ok bool
value:
	for {
		if i >= len(src) {
			return 0, false
		}
		if c = src[i]; !isSpace(c) {
			break
		}
		i++
	}
	switch {
	case c == '"':
		if i, j = copyString(dst, src, i, j); i < 0 {
			return 0, false
		}
	case c == '{':
		if !open.push(true) {
			return 0, false
		}
		dst[j] = c
		j++
		if i, ok = skip(src, i+1); !ok {
			return 0, false
		}
		if c = src[i]; c == '"' {
			goto key
		}
		if c != '}' {
			return 0, false
		}
		goto after
	case c == '[':
		if !open.push(false) {
			return 0, false
		}
		dst[j] = c
		i, j = i+1, j+1
		if i, ok = skip(src, i); !ok {
			return 0, false
		}
		if src[i] != ']' {
			goto value
		}
	case c == '-' || isDigit(c):
		if i, j = copyNumber(dst, src, i, j); i < 0 {
			return 0, false
		}
	default:
		word := "null"
		switch c {
		case 't':
			word = "true"
		case 'f':
			word = "false"
		}
		if len(src)-i < len(word) || string(src[i:i+len(word)]) != word {
			return 0, false
		}
		i, j = i+len(word), j+copy(dst[j:], word)
	}
after:
	for {
		if i == len(src) {
			if open.depth > 0 {
				return 0, false
			}
			return j, true
		}
		if c = src[i]; !isSpace(c) {
			break
		}
		i++
	}
	if open.depth == 0 {
		return 0, false
	}
	dst[j] = c
	i, j = i+1, j+1
	switch c {
	case ',':
		if !open.object {
			goto value
		}
		if i, ok = skip(src, i); !ok || src[i] != '"' {
			return 0, false
		}
	case '}':
		if !open.object {
			return 0, false
		}
		open.pop()
		goto after
	case ']':
		if open.object {
			return 0, false
		}
		open.pop()
		goto after
	default:
		return 0, false
	}
key:
	if i, j = copyString(dst, src, i, j); i < 0 {
		return 0, false
	}
	if i, ok = skip(src, i); !ok || src[i] != ':' {
		return 0, false
	}
	dst[j] = ':'
	i, j = i+1, j+1
	goto value
}

// skip returns the index of what comes behind the white space at src[i]; false: nothing does.
func skip(src []byte, i int) (int, bool) {
	for ; i < len(src); i++ {
		if !isSpace(src[i]) {
			return i, true
		}
	}
	return i, false
}

// copyString copies the string that begins at src[i] to dst[j], and returns where both go on; a negative index: it is none.
func copyString(dst, src []byte, i, j int) (end, to int) {
	dst[j] = '"'
	i, j = i+1, j+1
	for {
		// Whole words that have none of the bytes that are looked at.
		for i+8 <= len(src) {
			word := binary.LittleEndian.Uint64(src[i:])
			binary.LittleEndian.PutUint64(dst[j:], word)
			if special := specials(word); special != 0 {
				n := bits.TrailingZeros64(special) >> 3
				i, j = i+n, j+n
				break
			}
			i, j = i+8, j+8
		}
		if i >= len(src) {
			return -1, 0
		}
		c := src[i]
		if c == '"' {
			dst[j] = c
			return i + 1, j + 1
		}
		if c < ' ' {
			return -1, 0
		}
		if c != '\\' { // at the end of src, where there is no whole word
			dst[j] = c
			i, j = i+1, j+1
			continue
		}
		n, r := escape(src[i:])
		if n == 0 {
			return -1, 0
		}
		if r >= utf8.RuneSelf && r != 0x2028 && r != 0x2029 {
			j += utf8.EncodeRune(dst[j:], r)
			i += n
			continue
		}
		for range n {
			dst[j] = src[i]
			i, j = i+1, j+1
		}
	}
}

// specials has the high bit set of each byte of a word, the first of them at least, that is a quote, a backslash or below a
// space.
func specials(w uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote := w ^ ones*'"'
	slash := w ^ ones*'\\'
	return ((quote - ones) | (slash - ones) | (w - ones*' ')) &^ w & high
}

// escape reads the escape that b begins with: n bytes, 0 where it is none, that stand for r; -1: for a surrogate that is alone.
func escape(b []byte) (n int, r rune) {
	if len(b) < 2 {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, rune(c)
	case 'u':
		if r = hex4(b[2:]); r < 0 {
			return 0, 0
		}
		if r < 0xd800 || r > 0xdfff {
			return 6, r
		}
		if r < 0xdc00 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if low := hex4(b[8:]); low >= 0xdc00 && low <= 0xdfff {
				return 12, (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
			}
		}
		return 6, -1
	}
	return 0, 0
}

// hex4 reads four hexadecimal digits; negative: they are none.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	return rune(unhex[b[0]])<<12 | rune(unhex[b[1]])<<8 | rune(unhex[b[2]])<<4 | rune(unhex[b[3]])
}

// unhex has the values of hexadecimal digits, and a negative one for everything else.
var unhex = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i := range 10 {
		table['0'+i] = int8(i)
	}
	for i := range 6 {
		table['a'+i], table['A'+i] = int8(10+i), int8(10+i)
	}
	return table
}()

// copyNumber copies the number that begins at src[i] to dst[j], and returns where both go on; a negative index: it is none.
func copyNumber(dst, src []byte, i, j int) (end, to int) {
	start := i
	if src[i] == '-' {
		i++
	}
	if i < len(src) && src[i] == '0' {
		i++
	} else if i = digits(src, i); i < 0 {
		return -1, 0
	}
	if i < len(src) && src[i] == '.' {
		if i = digits(src, i+1); i < 0 {
			return -1, 0
		}
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if i = digits(src, i); i < 0 {
			return -1, 0
		}
	}
	if start+8 <= len(src) && i-start <= 8 {
		binary.LittleEndian.PutUint64(dst[j:], binary.LittleEndian.Uint64(src[start:]))
		return i, j + i - start
	}
	return i, j + copy(dst[j:], src[start:i])
}

// digits returns where the digits at src[i] end; negative: there is none.
func digits(src []byte, i int) int {
	start := i
	for i < len(src) && isDigit(src[i]) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t') }

func isDigit(c byte) bool { return c-'0' <= 9 }

// nesting are the objects and arrays that are open.
type nesting struct {
	depth  int
	object bool     // the innermost is an object
	first  uint64   // the outermost 64, a bit each: it is an object
	rest   []uint64 // those within
}

// push opens one; false: there are too many.
func (n *nesting) push(object bool) bool {
	if n.depth >= 64 {
		return n.pushRest(object)
	}
	n.first <<= 1
	if object {
		n.first |= 1
	}
	n.depth++
	n.object = object
	return true
}

func (n *nesting) pushRest(object bool) bool {
	if n.depth >= MaxDepth {
		return false
	}
	at := n.depth/64 - 1
	if at == len(n.rest) {
		n.rest = append(n.rest, 0)
	}
	n.rest[at] <<= 1
	if object {
		n.rest[at] |= 1
	}
	n.depth++
	n.object = object
	return true
}

// pop closes the innermost.
func (n *nesting) pop() {
	n.depth--
	if n.depth < 64 {
		n.first >>= 1
		n.object = n.first&1 == 1
		return
	}
	n.rest[n.depth/64-1] >>= 1
	if n.depth == 64 {
		n.object = n.first&1 == 1
	} else {
		n.object = n.rest[(n.depth-1)/64-1]&1 == 1
	}
}
