package marshal

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// Pair is the default for the field type of [DecodeAnswerHead].
type Pair struct {
	Name, Value []byte
}

// Answer heads fail only when the shim is broken, and an application can make
// it fail at will, so the errors are made once and cost nothing.
var (
	errTruncated  = errors.New("cannot read answer head: it is cut off")
	errHeadShape  = errors.New("cannot read answer head: not a tuple (status, headers)")
	errStatus     = errors.New("cannot read answer head: status is neither an int in 100..999 nor a str that starts with such a number")
	errHeaders    = errors.New("cannot read answer head: headers are neither a list nor a tuple")
	errHeaderPair = errors.New("cannot read answer head: a header is not a pair of str or of bytes")
	errNotLatin1  = errors.New("cannot read answer head: a str has a character above U+00FF; encode it, for example with RFC 8187")
	errNotUTF8    = errors.New("cannot read answer head: a str is not valid UTF-8")
)

// DecodeAnswerHead decodes the value (status, headers) at the start of b and
// says how many bytes it took; b[n:] is body. The fields are appended to
// fields. It allocates only what that append needs.
//
// status is an int in 100..999, or a str or bytes that starts with three such
// digits and then ends or goes on with a space (PEP 3333); headers is a list or
// tuple of pairs, each item str or bytes. The names and values point into b. A
// str with characters beyond ASCII is changed to Latin-1 in place, so b can be
// decoded only once. What may stand in a name or value is not checked. After an
// error, out is only good for its memory; the record's boundaries are intact, so
// the connection need not be closed for it.
func DecodeAnswerHead[F ~struct{ Name, Value []byte }](b []byte, fields []F) (status int, out []F, n int, err error) {
	count, p := tupleLen(b, 0)
	if p < 0 || count != 2 {
		return 0, fields, 0, headError(p, errHeadShape)
	}
	if status, p = answerStatus(b, p); p < 0 {
		return 0, fields, 0, headError(p, errStatus)
	}
	if count, p = sequenceLen(b, p); p < 0 {
		return 0, fields, 0, headError(p, errHeaders)
	}
	// The count gets no memory in advance: it may be a lie.
	for range count {
		items, q := sequenceLen(b, p)
		if q < 0 || items != 2 {
			return 0, fields, 0, headError(q, errHeaderPair)
		}
		var name, value []byte
		if name, p, err = text(b, q); err != nil {
			return 0, fields, 0, err
		}
		if value, p, err = text(b, p); err != nil {
			return 0, fields, 0, err
		}
		fields = append(fields, F(struct{ Name, Value []byte }{name, value}))
	}
	return status, fields, p, nil
}

// What the functions below return instead of where a thing ends.
const (
	wrong = -1 // something else is there
	cut   = -2 // b ends before it does
)

func headError(end int, shape error) error {
	if end == cut {
		return errTruncated
	}
	return shape
}

// longLen reads a length of four bytes at b[p] and returns where it ends. One
// above 2^31-1, which CPython never writes, is more than b can hold.
func longLen(b []byte, p int) (n, end int) {
	if len(b)-p < 4 {
		return 0, cut
	}
	u := binary.LittleEndian.Uint32(b[p:])
	if u > math.MaxInt32 {
		return 0, cut
	}
	return int(u), p + 4
}

// tupleLen reads the start of a tuple.
func tupleLen(b []byte, p int) (n, end int) {
	if len(b)-p < 2 {
		return 0, cut
	}
	switch b[p] {
	case codeTuple:
		return longLen(b, p+1)
	case codeSmallTuple:
		return int(b[p+1]), p + 2
	}
	return 0, wrong
}

// sequenceLen reads the start of a list or tuple.
func sequenceLen(b []byte, p int) (n, end int) {
	if p < len(b) && b[p] == codeList {
		return longLen(b, p+1)
	}
	return tupleLen(b, p)
}

// answerStatus reads the status at b[p].
func answerStatus(b []byte, p int) (status, end int) {
	if p < len(b) && b[p] == codeInt {
		if len(b)-p < 5 {
			return 0, cut
		}
		status = int(int32(binary.LittleEndian.Uint32(b[p+1:])))
		end = p + 5
	} else {
		s, q, err := text(b, p)
		switch {
		case errors.Is(err, errTruncated):
			return 0, cut
		case err != nil || len(s) < 3 || len(s) > 3 && s[3] != ' ':
			return 0, wrong
		}
		for _, c := range s[3:] {
			// The reason phrase is not sent, but one with a line end is an
			// attempt to write a field (RFC 9112 §4).
			if c < ' ' && c != '\t' || c == 0x7f {
				return 0, wrong
			}
		}
		for _, c := range s[:3] {
			if c < '0' || c > '9' {
				return 0, wrong
			}
			status = status*10 + int(c-'0')
		}
		end = q
	}
	// RFC 9110 §15: "The status code of a response is a three-digit integer
	// code".
	if status < 100 || status > 999 {
		return 0, wrong
	}
	return status, end
}

// text reads a str, as Latin-1, or bytes at b[p].
func text(b []byte, p int) (s []byte, end int, err error) {
	if len(b)-p < 2 {
		return nil, 0, errTruncated
	}
	code := b[p]
	var n int
	switch code {
	case codeUnicode, codeBytes, codeASCII, codeASCIIInterned, codeInterned:
		if n, p = longLen(b, p+1); p < 0 {
			return nil, 0, errTruncated
		}
	case codeShortASCII, codeShortASCIIInterned:
		n, p = int(b[p+1]), p+2
	default:
		return nil, 0, errHeaderPair
	}
	if n > len(b)-p {
		return nil, 0, errTruncated
	}
	end = p + n
	s = b[p:end:end]
	if (code == codeUnicode || code == codeInterned) && !isASCII(s) {
		s, err = toLatin1(s)
	}
	return s, end, err
}

// isASCII reports whether no byte has its high bit set.
func isASCII(s []byte) bool {
	const high = 0x8080808080808080
	for len(s) >= 8 {
		if binary.LittleEndian.Uint64(s)&high != 0 {
			return false
		}
		s = s[8:]
	}
	var or byte
	for _, c := range s {
		or |= c
	}
	return or < utf8.RuneSelf
}

// toLatin1 changes UTF-8 to Latin-1 in place, which is never longer.
func toLatin1(s []byte) ([]byte, error) {
	w := 0
	for r := 0; r < len(s); {
		c, size := utf8.DecodeRune(s[r:])
		if c == utf8.RuneError && size <= 1 {
			return nil, errNotUTF8
		}
		if c > 0xff {
			return nil, errNotLatin1
		}
		s[w] = byte(c)
		w++
		r += size
	}
	return s[:w:w], nil
}
