//go:build sonic && (amd64 || arm64) && !go1.28

package jsonpass

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bytedance/sonic/ast"
	"github.com/bytedance/sonic/encoder"
)

// TestSonicValid has why sonic is not asked what is JSON. When it fails sonic has become better, and faster than compact may be
// worth a measurement.
func TestSonicValid(t *testing.T) {
	if why := whyNoSonic(); why != "" {
		t.Skip(why) // the processor has not what sonic needs; the build has it
	}
	taken := 0
	for _, text := range []string{"\"\x01\"", `"\x"`, `"\u12"`, `"` + strings.Repeat("0", 32)} {
		if ok, _ := encoder.Valid([]byte(text)); ok {
			taken++
		}
		if _, ok := sonicEngine.AppendCompact(nil, []byte(text)); ok {
			t.Errorf("%q is taken", text)
		}
	}
	if taken == 0 {
		t.Error("sonic's Valid refuses all of them")
	}
}

// visitor writes what sonic's visitor tells it of, and so is what an engine by sonic's own means would be, at its fastest: it
// escapes nothing that it should.
type visitor struct {
	out   []byte
	after []byte // for each open array or object, what stands before the next: a comma or nothing
}

func (v *visitor) value(text string) error {
	v.comma()
	v.out = append(v.out, text...)
	return nil
}

func (v *visitor) comma() {
	if n := len(v.after); n > 0 {
		if v.after[n-1] == ',' {
			v.out = append(v.out, ',')
		}
		v.after[n-1] = ','
	}
}

func (v *visitor) open(c byte) error {
	v.comma()
	v.out, v.after = append(v.out, c), append(v.after, 0)
	return nil
}

func (v *visitor) shut(c byte) error {
	v.out, v.after = append(v.out, c), v.after[:len(v.after)-1]
	return nil
}

func (v *visitor) quoted(s string) {
	v.out = append(append(append(v.out, '"'), s...), '"')
}

func (v *visitor) OnNull() error { return v.value("null") }
func (v *visitor) OnBool(b bool) error {
	if b {
		return v.value("true")
	}
	return v.value("false")
}

func (v *visitor) OnString(s string) error {
	v.comma()
	v.quoted(s)
	return nil
}
func (v *visitor) OnInt64(_ int64, n json.Number) error     { return v.value(string(n)) }
func (v *visitor) OnFloat64(_ float64, n json.Number) error { return v.value(string(n)) }
func (v *visitor) OnObjectBegin(int) error                  { return v.open('{') }
func (v *visitor) OnObjectKey(s string) error {
	v.comma()
	v.quoted(s)
	v.out = append(v.out, ':')
	v.after[len(v.after)-1] = 0
	return nil
}
func (v *visitor) OnObjectEnd() error     { return v.shut('}') }
func (v *visitor) OnArrayBegin(int) error { return v.open('[') }
func (v *visitor) OnArrayEnd() error      { return v.shut(']') }

// BenchmarkSonic has what sonic's own means cost, to be held against BenchmarkCompact.
func BenchmarkSonic(b *testing.B) {
	for name, text := range texts() {
		run := func(how string, f func() bool) {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if !f() {
						b.Fatal("an error")
					}
				}
			})
		}
		run("Valid", func() bool { ok, _ := encoder.Valid(text); return ok })
		v, s := &visitor{}, string(text)
		run("Preorder", func() bool {
			v.out, v.after = v.out[:0], v.after[:0]
			return ast.Preorder(s, v, &ast.VisitorOptions{OnlyNumber: true}) == nil
		})
		if name == "compact" && string(v.out) != s {
			b.Errorf("%s became %s", s, v.out)
		}
	}
}
