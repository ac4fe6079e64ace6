package marshal

import "encoding/binary"

// The type codes of CPython's Python/marshal.c.
const (
	codeNone               = 'N'
	codeTrue               = 'T'
	codeFalse              = 'F'
	codeInt                = 'i'
	codeBytes              = 's'
	codeUnicode            = 'u'
	codeInterned           = 't'
	codeASCII              = 'a'
	codeASCIIInterned      = 'A'
	codeShortASCII         = 'z'
	codeShortASCIIInterned = 'Z'
	codeTuple              = '('
	codeSmallTuple         = ')'
	codeList               = '['
	codeDict               = '{'
	codeNull               = '0'
)

// maxShort is the most that a length of one byte can say.
const maxShort = 255

// AppendDictStart begins a dict; keys and values follow in turn, then
// [AppendDictEnd].
func AppendDictStart(dst []byte) []byte { return append(dst, codeDict) }

// AppendDictEnd ends a dict.
func AppendDictEnd(dst []byte) []byte { return append(dst, codeNull) }

// AppendStr appends a str whose characters are the bytes of s, U+0000..U+00FF:
// a native string of PEP 3333. s may be at most 2^31-1 bytes long.
func AppendStr[S ~string | ~[]byte](dst []byte, s S) []byte {
	if len(s) <= maxShort {
		return append(append(dst, codeShortASCII, byte(len(s))), s...)
	}
	return appendLong(dst, codeASCII, s)
}

// AppendUTF8 appends a str. s must be valid UTF-8, which the caller checks
// (loads fails for the whole value otherwise), of at most 2^31-1 bytes.
func AppendUTF8[S ~string | ~[]byte](dst []byte, s S) []byte {
	return appendLong(dst, codeUnicode, s)
}

// AppendBytes appends a bytes object of at most 2^31-1 bytes.
func AppendBytes[S ~string | ~[]byte](dst []byte, s S) []byte {
	return appendLong(dst, codeBytes, s)
}

// appendLong appends what has a length of four bytes.
func appendLong[S ~string | ~[]byte](dst []byte, code byte, s S) []byte {
	n := len(s)
	return append(append(dst, code, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), s...)
}

// AppendInt appends an int.
func AppendInt(dst []byte, n int32) []byte {
	return append(dst, codeInt, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// AppendNone appends None.
func AppendNone(dst []byte) []byte { return append(dst, codeNone) }

// AppendBool appends True or False.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

// AppendTuple begins a tuple of n items, which follow; n is at most 2^31-1.
func AppendTuple(dst []byte, n int) []byte {
	if n <= maxShort {
		return append(dst, codeSmallTuple, byte(n))
	}
	return append(dst, codeTuple, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// AppendList begins a list of n items, which follow; n is at most 2^31-1. When
// the number is not known yet, keep len(dst) and correct it with [PatchLen].
func AppendList(dst []byte, n int) []byte {
	return append(dst, codeList, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// PatchLen sets the number of items of the list that was begun at b[at], or the
// length of the bytes or UTF-8 str there.
func PatchLen(b []byte, at, n int) {
	binary.LittleEndian.PutUint32(b[at+1:], uint32(n))
}
