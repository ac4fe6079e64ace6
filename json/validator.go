package jsonpass

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// SyntaxError says where and why a text is no JSON (RFC 8259).
type SyntaxError struct {
	Offset       int64 // of the byte that is wrong, from 0; the length where the text ends early
	Line, Column int64 // from 1, in characters, as Python's json and editors have them
	Reason       string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d (byte %d): %s", e.Line, e.Column, e.Offset, e.Reason)
}

// Validator looks at a JSON text that comes in parts, and keeps nothing of it. A byte order mark may come first, as Python's
// json.loads takes one (RFC 8259 §8.1). The zero Validator is ready.
type Validator struct {
	state  state
	open   nesting
	key    bool   // the string is one
	word   string // what is left of a literal
	left   uint8  // hexadecimal digits, or bytes of a UTF-8 sequence, to come
	low    byte   // the next of them is from low
	high   byte   // to high
	offset int64  // of the next part
	line   int64  // from 0
	from   int64  // offset at which the line begins, and so many more as characters have bytes beyond their first
}

type state uint8

const (
	atStart state = iota // a byte order mark may come
	inMark
	beforeValue
	beforeValueOrEnd // behind [
	beforeKeyOrEnd   // behind {
	beforeKey
	beforeColon
	afterValue
	inString
	inEscape
	inHex
	inCharacter
	inLiteral
	// In a number, what came last.
	sign
	zero
	digit
	point
	fraction
	exponent
	exponentSign
	exponentDigit
)

// Feed takes the next part.
func (v *Validator) Feed(p []byte) *SyntaxError {
	for i := 0; i < len(p); {
		// What comes in runs and changes nothing.
		switch v.state {
		case inString:
			i += v.characters(p[i:])
		case digit, fraction, exponentDigit:
			for i < len(p) && isDigit(p[i]) {
				i++
			}
		case beforeValue, beforeKey, beforeKeyOrEnd, beforeValueOrEnd, afterValue:
			for i < len(p) && p[i] == ' ' {
				i++
			}
		}
		if i == len(p) {
			break
		}
		c := p[i]
		again, reason := v.next(c)
		if reason != "" {
			return v.fail(v.offset+int64(i), reason)
		}
		if again {
			continue
		}
		i++
		if c == '\n' {
			v.line++
			v.from = v.offset + int64(i)
		}
	}
	v.offset += int64(len(p))
	return nil
}

// End says that there is no more.
func (v *Validator) End() *SyntaxError {
	switch v.state {
	case zero, digit, fraction, exponentDigit, afterValue:
		if v.open.depth == 0 {
			return nil
		}
	case inString, inEscape, inHex, inCharacter:
		return v.fail(v.offset, "the text ends within a string")
	}
	return v.fail(v.offset, "the text ends early")
}

func (v *Validator) fail(offset int64, reason string) *SyntaxError {
	return &SyntaxError{Offset: offset, Line: v.line + 1, Column: offset - v.from + 1, Reason: reason}
}

// characters is how many bytes of a string p begins with that have no meaning; next knows what follows.
func (v *Validator) characters(p []byte) int {
	for i := 0; ; {
		i += plain(p[i:])
		if i == len(p) || p[i] < utf8.RuneSelf {
			return i
		}
		_, n := utf8.DecodeRune(p[i:])
		if n == 1 {
			return i // not whole, or wrong
		}
		v.from += int64(n - 1)
		i += n
	}
}

// plain is how many bytes of a string, at least, p begins with that are ASCII and have no meaning.
func plain(p []byte) int {
	const high = 0x8080808080808080
	i := 0
	for ; i+8 <= len(p); i += 8 {
		word := binary.LittleEndian.Uint64(p[i:])
		if special := specials(word) | word&high; special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
	}
	for ; i < len(p); i++ {
		if c := p[i]; c == '"' || c == '\\' || c < ' ' || c >= 0x80 {
			break
		}
	}
	return i
}

// next takes a byte; again: only a number ended before it, and it is still to be taken.
func (v *Validator) next(c byte) (again bool, reason string) {
	switch v.state {
	case inString:
		return false, v.text(c)
	case inEscape:
		return false, v.escape(c)
	case inHex:
		if unhex[c] < 0 {
			return false, "expected four hexadecimal digits"
		}
		if v.left--; v.left == 0 {
			v.state = inString
		}
		return false, ""
	case inCharacter, inMark:
		return false, v.continuation(c)
	case inLiteral:
		if c != v.word[0] {
			return false, "expected true, false or null"
		}
		if v.word = v.word[1:]; v.word == "" {
			v.state = afterValue
		}
		return false, ""
	case sign, zero, digit, point, fraction, exponent, exponentSign, exponentDigit:
		return v.number(c)
	}
	if isSpace(c) {
		if v.state == atStart {
			v.state = beforeValue
		}
		return false, ""
	}
	return false, v.token(c)
}

// token takes a byte that is no white space, outside of strings, numbers and literals.
func (v *Validator) token(c byte) (reason string) {
	switch v.state {
	case atStart:
		if c == 0xef {
			v.state, v.left, v.low, v.high = inMark, 2, 0xbb, 0xbb
			return ""
		}
		return v.value(c)
	case beforeValue:
		return v.value(c)
	case beforeValueOrEnd:
		if c == ']' {
			v.close()
			return ""
		}
		return v.value(c)
	case beforeKeyOrEnd, beforeKey:
		switch {
		case c == '"':
			v.state, v.key = inString, true
			return ""
		case v.state == beforeKey:
			return "expected a key in double quotes"
		case c != '}':
			return "expected a key in double quotes, or }"
		}
		v.close()
		return ""
	case beforeColon:
		if c != ':' {
			return "expected :"
		}
		v.state = beforeValue
		return ""
	}
	switch {
	case v.open.depth == 0:
		return "expected nothing more behind the value"
	case c == ',' && v.open.object:
		v.state = beforeKey
	case c == ',':
		v.state = beforeValue
	case c == '}' && v.open.object, c == ']' && !v.open.object:
		v.close()
	case v.open.object:
		return "expected , or }"
	default:
		return "expected , or ]"
	}
	return ""
}

// value takes the first byte of a value.
func (v *Validator) value(c byte) (reason string) {
	switch c {
	case '"':
		v.state, v.key = inString, false
	case '{', '[':
		if !v.open.push(c == '{') {
			return "nested deeper than " + strconv.Itoa(MaxDepth)
		}
		if v.state = beforeValueOrEnd; c == '{' {
			v.state = beforeKeyOrEnd
		}
	case '-':
		v.state = sign
	case '0':
		v.state = zero
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		v.state = digit
	case 't':
		v.state, v.word = inLiteral, "true"[1:]
	case 'f':
		v.state, v.word = inLiteral, "false"[1:]
	case 'n':
		v.state, v.word = inLiteral, "null"[1:]
	default:
		return "expected a value"
	}
	return ""
}

func (v *Validator) close() {
	v.open.pop()
	v.state = afterValue
}

// text takes a byte of a string.
func (v *Validator) text(c byte) (reason string) {
	switch {
	case c == '"' && v.key:
		v.state = beforeColon
	case c == '"':
		v.state = afterValue
	case c == '\\':
		v.state = inEscape
	case c < ' ':
		return "a control character in a string must be escaped"
	case c < 0x80:
	default:
		return v.lead(c)
	}
	return ""
}

func (v *Validator) escape(c byte) (reason string) {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		v.state = inString
	case 'u':
		v.state, v.left = inHex, 4
	default:
		return "unknown escape in a string"
	}
	return ""
}

const notUTF8 = "a byte that is not UTF-8"

// lead takes the first byte of a character beyond ASCII (RFC 3629 §4).
func (v *Validator) lead(c byte) (reason string) {
	v.state, v.low, v.high = inCharacter, 0x80, 0xbf
	switch {
	case c < 0xc2 || c > 0xf4:
		return notUTF8
	case c < 0xe0:
		v.left = 1
	case c < 0xf0:
		v.left = 2
	default:
		v.left = 3
	}
	switch c {
	case 0xe0:
		v.low = 0xa0
	case 0xed:
		v.high = 0x9f
	case 0xf0:
		v.low = 0x90
	case 0xf4:
		v.high = 0x8f
	}
	return ""
}

// continuation takes a further byte of a character or of the byte order mark.
func (v *Validator) continuation(c byte) (reason string) {
	if c < v.low || c > v.high {
		return notUTF8
	}
	v.from++
	v.left--
	switch {
	case v.state == inCharacter && v.left == 0:
		v.state = inString
	case v.state == inCharacter:
		v.low, v.high = 0x80, 0xbf
	case v.left == 0:
		v.state = beforeValue
		v.from++ // it is no character of the first line
	default:
		v.low, v.high = 0xbf, 0xbf
	}
	return ""
}

// number takes a byte of a number, or the one behind it.
func (v *Validator) number(c byte) (again bool, reason string) {
	if isDigit(c) {
		switch v.state {
		case sign:
			if v.state = digit; c == '0' {
				v.state = zero
			}
		case zero:
			return false, "a number cannot begin with 0 and another digit"
		case point:
			v.state = fraction
		case exponent, exponentSign:
			v.state = exponentDigit
		}
		return false, ""
	}
	switch v.state {
	case sign, point, exponentSign:
		return false, "expected a digit"
	case exponent:
		if c != '+' && c != '-' {
			return false, "expected a digit"
		}
		v.state = exponentSign
		return false, ""
	case zero, digit:
		if c == '.' {
			v.state = point
			return false, ""
		}
		if c|0x20 == 'e' {
			v.state = exponent
			return false, ""
		}
	case fraction:
		if c|0x20 == 'e' {
			v.state = exponent
			return false, ""
		}
	}
	v.state = afterValue
	return true, ""
}
