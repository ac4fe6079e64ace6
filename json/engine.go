package jsonpass

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Engine is with whose help texts are handled. All give the same results; FuzzCompact compares them.
type Engine struct {
	name string
	// compact is as the function of that name; but src may be anything.
	compact func(dst, src []byte) (int, bool)
}

// Names of engines. Auto is the fastest that is there: sonic's, or our own.
const (
	Auto     = "auto"
	Own      = "own"
	Sonic    = "sonic"
	Standard = "encoding/json"
)

// NewEngine returns the engine of that name.
func NewEngine(name string) (Engine, error) {
	switch name {
	case Auto, "":
		if whyNoSonic() == "" {
			return sonicEngine, nil
		}
		return ownEngine, nil
	case Own:
		return ownEngine, nil
	case Sonic:
		if why := whyNoSonic(); why != "" {
			return Engine{}, fmt.Errorf("cannot use sonic: %s; or write auto", why)
		}
		return sonicEngine, nil
	case Standard:
		return standardEngine, nil
	}
	return Engine{}, fmt.Errorf("cannot use the JSON engine %q: there are %s", name, strings.Join([]string{Auto, Own, Sonic, Standard}, ", "))
}

// String is the engine's name.
func (e Engine) String() string { return e.name }

// AppendCompact appends src as compact writes it to dst; false: src is no JSON, and dst is as it was.
func (e Engine) AppendCompact(dst, src []byte) ([]byte, bool) {
	start := len(dst)
	if n := start + len(src); n > cap(dst) {
		dst = append(make([]byte, 0, n), dst...)
	}
	n, ok := e.compact(dst[start:start+len(src)], src)
	return dst[:start+n], ok
}

// Check says what is wrong with text, which may begin with a byte order mark; nil: it is JSON. It writes to scratch, if that is as
// long.
func (e Engine) Check(text, scratch []byte) *SyntaxError {
	if _, ok := e.AppendCompact(scratch[:0], text); ok {
		return nil
	}
	var v Validator // which knows where
	if err := v.Feed(text); err != nil {
		return err
	}
	return v.End()
}

// ownEngine needs nobody's help: one pass, after one that only looks for what is no UTF-8.
var ownEngine = Engine{
	name: Own,
	compact: func(dst, src []byte) (int, bool) {
		if !utf8.Valid(src) {
			return 0, false
		}
		return compact(dst, src)
	},
}

// standardEngine is the reference: it leaves the texts' structure to the standard library.
var standardEngine = Engine{
	name: Standard,
	compact: func(dst, src []byte) (int, bool) {
		if !utf8.Valid(src) {
			return 0, false
		}
		var b bytes.Buffer
		b.Grow(len(src))
		if json.Compact(&b, src) != nil {
			return 0, false
		}
		return unescape(dst, b.Bytes()), true
	},
}

// unescape does what compact does with strings, to a text that is valid and has no white space.
func unescape(dst, src []byte) int {
	i, j := 0, 0
	for {
		n := bytes.IndexByte(src[i:], '"')
		if n < 0 {
			return j + copy(dst[j:], src[i:])
		}
		j += copy(dst[j:], src[i:i+n])
		i, j = copyString(dst, src, i+n, j)
	}
}
