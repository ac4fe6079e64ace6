package jsonpass

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// check feeds a text in parts of that length.
func check(text []byte, part int) *SyntaxError {
	var v Validator
	for len(text) > 0 {
		n := min(part, len(text))
		if err := v.Feed(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return v.End()
}

func TestValidator(t *testing.T) {
	for _, c := range rewritten {
		for part := 1; part < 20; part++ {
			if err := check([]byte(c[0]), part); err != nil {
				t.Errorf("%s: %v", c[0], err)
			}
		}
	}
	for _, c := range refused {
		if c == "\ufeff[]" {
			continue
		}
		first := check([]byte(c), 1)
		if first == nil {
			t.Errorf("%q is taken", c)
			continue
		}
		for part := 2; part < 20; part++ {
			if err := check([]byte(c), part); err == nil || *err != *first {
				t.Errorf("%q in parts of %d: %v; in bytes: %v", c, part, err, first)
			}
		}
	}
}

func TestPositions(t *testing.T) {
	f := func(text string, offset, line, column int64, reason string) {
		t.Helper()
		want := SyntaxError{offset, line, column, reason}
		for _, e := range engines() {
			if err := e.Check([]byte(text), nil); err == nil || *err != want {
				t.Errorf("%s: %q: %v, want %v", e, text, err, &want)
			}
		}
	}
	f(`{"a": 1,}`, 8, 1, 9, "expected a key in double quotes")
	f("{\"a\": 1,\n \"b\" 2}", 14, 2, 6, "expected :")
	f("{\r\n\"é\": x}", 9, 2, 6, "expected a value")
	f("[\"😀\", \"中文\" 1]", 18, 1, 12, "expected , or ]")
	f("\ufeff{x", 4, 1, 2, "expected a key in double quotes, or }")
	f("", 0, 1, 1, "the text ends early")
	f("[1,\n2", 5, 2, 2, "the text ends early")
	f(`"abc`, 4, 1, 5, "the text ends within a string")
	f(`"\ud8`, 5, 1, 6, "the text ends within a string")
	f(`{"a": NaN}`, 6, 1, 7, "expected a value")
	f(`[01]`, 2, 1, 3, "a number cannot begin with 0 and another digit")
	f(`[1.]`, 3, 1, 4, "expected a digit")
	f(`[1e]`, 3, 1, 4, "expected a digit")
	f("\"a\tb\"", 2, 1, 3, "a control character in a string must be escaped")
	f("\"\xe9\"", 2, 1, 3, "a byte that is not UTF-8")
	f("\"\xff\"", 1, 1, 2, "a byte that is not UTF-8")
	f(`"\x"`, 2, 1, 3, "unknown escape in a string")
	f(`"\u12x4"`, 5, 1, 6, "expected four hexadecimal digits")
	f(`[] 1`, 3, 1, 4, "expected nothing more behind the value")
	f(`{"a":1]`, 6, 1, 7, "expected , or }")
	f(`trUe`, 2, 1, 3, "expected true, false or null")
}

func TestByteOrderMark(t *testing.T) {
	for _, e := range engines() {
		if err := e.Check([]byte("\ufeff[1]"), nil); err != nil {
			t.Errorf("%s: %v", e, err)
		}
		for _, text := range []string{"\ufeff", "\ufeff\ufeff1", " \ufeff1", "\xef\xbb1", "\xef1", "\xef"} {
			if e.Check([]byte(text), nil) == nil {
				t.Errorf("%s: %q is taken", e, text)
			}
		}
	}
}

// FuzzCheck: all engines know what is JSON, and however a text is cut the answer is the same.
func FuzzCheck(f *testing.F) {
	for _, c := range rewritten {
		f.Add([]byte(c[0]), uint64(1))
	}
	for _, c := range refused {
		f.Add([]byte(c), uint64(2))
	}
	all := engines()
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		bare := bytes.TrimPrefix(text, []byte("\ufeff"))
		valid := json.Valid(bare) && utf8.Valid(bare)
		whole := check(text, len(text)+1)
		if (whole == nil) != valid {
			t.Fatalf("%q: %v; valid by encoding/json: %v", text, whole, valid)
		}
		for _, e := range all {
			err := e.Check(text, nil)
			if (err == nil) != valid || err != nil && *err != *whole {
				t.Fatalf("%s: %q: %v, and %v by the validator", e, text, err, whole)
			}
		}
		random := rand.New(rand.NewPCG(seed, 1))
		var v Validator
		var err *SyntaxError
		for rest := text; len(rest) > 0 && err == nil; {
			n := 1 + random.IntN(len(rest))
			err = v.Feed(rest[:n])
			rest = rest[n:]
		}
		if err == nil {
			err = v.End()
		}
		if (err == nil) != valid || err != nil && *err != *whole {
			t.Fatalf("%q in parts: %v, whole: %v", text, err, whole)
		}
		if err != nil {
			// Where it is wrong is behind whatever can still become a text.
			if at := err.Offset; at < 0 || at > int64(len(text)) {
				t.Fatalf("%q: offset %d", text, at)
			}
		}
	})
}
