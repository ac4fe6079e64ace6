package marshal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// DefaultDepth is the depth of [Limits] that name none.
	DefaultDepth = 16
	// DefaultSize is the size of [Limits] that name none, in bytes.
	DefaultSize = 1 << 20
)

// Limits bound what [Decode] accepts.
type Limits struct {
	// Depth is how deep values may be nested; an int has depth 1, a tuple of
	// ints 2. 0 stands for DefaultDepth.
	Depth int
	// Size is the most bytes that the encoded value may take; 0 stands for
	// DefaultSize. A decoded value needs at most about 100 times as much memory.
	Size int
}

// Value is a decoded value: nil (None), bool, int, string (a str, always valid
// UTF-8), []byte (bytes), [Tuple], [List] or [Dict].
type Value any

// Tuple is a tuple.
type Tuple []Value

// List is a list.
type List []Value

// Dict is a dict in the order in which it was written; keys may repeat if the
// peer repeats them.
type Dict []Item

// Item is one key of a [Dict] and what it stands for.
type Item struct {
	Key, Value Value
}

// Get returns what a str key stands for in d; ok is false when there is no such
// key, or when its value is not a T. Of repeated keys it takes the last, as
// CPython does.
func Get[T any](d Dict, key string) (value T, ok bool) {
	for i := len(d) - 1; i >= 0; i-- {
		if k, isStr := d[i].Key.(string); isStr && k == key {
			value, ok = d[i].Value.(T)
			return value, ok
		}
	}
	return value, false
}

// Decode decodes the value at the start of b and says how many bytes it took.
// Nothing in it points into b. Lone surrogates, which Python can have in a str
// but UTF-8 cannot, become U+FFFD.
//
// It fails for what is not in this package's part of the format, above all ints
// beyond 32 bits, floats and references.
func Decode(b []byte, limits Limits) (v Value, n int, err error) {
	if limits.Depth <= 0 {
		limits.Depth = DefaultDepth
	}
	if limits.Size <= 0 {
		limits.Size = DefaultSize
	}
	d := decoder{b: b, depth: limits.Depth}
	if len(b) > limits.Size {
		d.b, d.clipped = b[:limits.Size], true
	}
	if v, err = d.value(); err != nil {
		return nil, 0, fmt.Errorf("cannot decode marshal value at byte %d: %w", d.p, err)
	}
	return v, d.p, nil
}

var (
	errCut  = errors.New("it is cut off")
	errSize = errors.New("it is larger than allowed")
	errDeep = errors.New("it is nested deeper than allowed")
	errNull = errors.New("end of dict in the wrong place")
	errUTF8 = errors.New("str is not valid UTF-8")
)

type decoder struct {
	b       []byte
	p       int
	depth   int  // how much deeper values may be nested
	clipped bool // b was longer than allowed
}

// value decodes the value at d.p.
func (d *decoder) value() (Value, error) {
	if d.depth == 0 {
		return nil, errDeep
	}
	code, err := d.byte()
	if err != nil {
		return nil, err
	}
	switch code {
	case codeNone:
		return nil, nil
	case codeTrue:
		return true, nil
	case codeFalse:
		return false, nil
	case codeInt:
		s, err := d.take(4)
		if err != nil {
			return nil, err
		}
		return int(int32(binary.LittleEndian.Uint32(s))), nil
	case codeBytes:
		s, err := d.sized(d.long())
		if err != nil {
			return nil, err
		}
		return append([]byte{}, s...), nil
	case codeUnicode, codeInterned:
		s, err := d.sized(d.long())
		if err != nil {
			return nil, err
		}
		return utf8String(s)
	case codeASCII, codeASCIIInterned:
		return latin1String(d.sized(d.long()))
	case codeShortASCII, codeShortASCIIInterned:
		return latin1String(d.sized(d.short()))
	case codeTuple:
		items, err := d.items(d.long())
		return Tuple(items), err
	case codeSmallTuple:
		items, err := d.items(d.short())
		return Tuple(items), err
	case codeList:
		items, err := d.items(d.long())
		return List(items), err
	case codeDict:
		return d.dict()
	case codeNull:
		return nil, errNull
	}
	d.p--
	return nil, fmt.Errorf("type %q is not supported", code)
}

// items decodes n items of a tuple or list; err is that of reading n.
func (d *decoder) items(n int, err error) ([]Value, error) {
	if err != nil {
		return nil, err
	}
	// Each item takes a byte at least. Even so the number gets no memory in
	// advance: nested lists could each claim all the rest.
	if n > len(d.b)-d.p {
		return nil, d.cut()
	}
	d.depth--
	items := []Value{}
	for range n {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	d.depth++
	return items, nil
}

func (d *decoder) dict() (Value, error) {
	d.depth--
	dict := Dict{}
	for {
		if d.p == len(d.b) {
			return nil, d.cut()
		}
		if d.b[d.p] == codeNull {
			d.p++
			d.depth++
			return dict, nil
		}
		key, err := d.value()
		if err != nil {
			return nil, err
		}
		value, err := d.value()
		if err != nil {
			return nil, err
		}
		dict = append(dict, Item{Key: key, Value: value})
	}
}

func (d *decoder) byte() (byte, error) {
	if d.p == len(d.b) {
		return 0, d.cut()
	}
	d.p++
	return d.b[d.p-1], nil
}

// short reads a length of one byte.
func (d *decoder) short() (int, error) {
	c, err := d.byte()
	return int(c), err
}

// long reads a length of four bytes.
func (d *decoder) long() (int, error) {
	n, end := longLen(d.b, d.p)
	if end < 0 {
		// Too short, or above 2^31-1 and so more than b can hold.
		return 0, d.cut()
	}
	d.p = end
	return n, nil
}

// sized returns the n bytes that a length announced.
func (d *decoder) sized(n int, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

func (d *decoder) take(n int) ([]byte, error) {
	if n > len(d.b)-d.p {
		return nil, d.cut()
	}
	d.p += n
	return d.b[d.p-n : d.p], nil
}

func (d *decoder) cut() error {
	if d.clipped {
		return errSize
	}
	return errCut
}

func latin1String(s []byte, err error) (Value, error) {
	if err != nil {
		return nil, err
	}
	if isASCII(s) {
		return string(s), nil
	}
	var sb strings.Builder
	sb.Grow(2 * len(s))
	for _, c := range s {
		sb.WriteRune(rune(c))
	}
	return sb.String(), nil
}

// utf8String makes a string of what CPython's codec utf-8 with the error
// handler surrogatepass wrote.
func utf8String(s []byte) (Value, error) {
	if utf8.Valid(s) {
		return string(s), nil
	}
	// A surrogate is ED A0..BF 80..BF, where a well-formed ED is followed by
	// 80..9F (Unicode, table 3-7); U+FFFD has three bytes as well.
	out := append([]byte{}, s...)
	for i := 0; i < len(out); {
		if len(out)-i >= 3 && out[i] == 0xed && out[i+1]&0xe0 == 0xa0 && out[i+2]&0xc0 == 0x80 {
			i += copy(out[i:], "\uFFFD")
			continue
		}
		c, size := utf8.DecodeRune(out[i:])
		if c == utf8.RuneError && size <= 1 {
			return nil, errUTF8
		}
		i += size
	}
	return string(out), nil
}
