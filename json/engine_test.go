package jsonpass

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// engines are all there are here.
func engines() []Engine {
	list := []Engine{standardEngine, ownEngine}
	if whyNoSonic() == "" {
		list = append(list, sonicEngine)
	}
	return list
}

// rewritten has texts and what becomes of them.
var rewritten = [][2]string{
	{`{"a": 1, "b": [true, false, null]}`, `{"a":1,"b":[true,false,null]}`},
	{" \t\r\n[ ] \n", `[]`},
	{`{ }`, `{}`},
	{`[ [ ] , { } , [ 1 , 2 ] ]`, `[[],{},[1,2]]`},
	{`"a  b"`, `"a  b"`},
	{` 0 `, `0`},
	// Numbers are text.
	{`[9007199254740993, 1.0, 1e2, -0.0, 1E400, 123456789012345678901234567890, 1.10, -0, 0e+1]`, `[9007199254740993,1.0,1e2,-0.0,1E400,123456789012345678901234567890,1.10,-0,0e+1]`},
	{`[1234567, 12345678, 123456789, 1234567890, 1]`, `[1234567,12345678,123456789,1234567890,1]`},
	// Keys stay in their order, and twice.
	{`{"b": 1, "a": 2, "b": 3}`, `{"b":1,"a":2,"b":3}`},
	// Escapes beyond ASCII become characters.
	{`"\u00e9\u4e2d\u20ac"`, `"é中€"`},
	{`"\ud83d\ude00"`, `"😀"`},
	{`"\uD83D\uDE00\ud83d\ude00"`, `"😀😀"`},
	{`{"\u00fc": "\u00fc"}`, `{"ü":"ü"}`},
	{`"\u0080\ufffd\uffff"`, "\"\u0080\ufffd\uffff\""},
	// ASCII's stay, and those of line ends.
	{`"\u003cscript\u003e\u0026\u0041\/\"\\\b\f\n\r\t\u007f\u0000"`, `"\u003cscript\u003e\u0026\u0041\/\"\\\b\f\n\r\t\u007f\u0000"`},
	{`"\u2028\u2029"`, `"\u2028\u2029"`},
	// Surrogates that are alone stay.
	{`"\ud800"`, `"\ud800"`},
	{`"\udc00\ud800"`, `"\udc00\ud800"`},
	{`"\ud800\u0041\ud800x"`, `"\ud800\u0041\ud800x"`},
	{`"\ud800\ud83d\ude00"`, `"\ud800😀"`},
	{`"\uDFFF"`, `"\uDFFF"`},
	{`"\udc00\udc00"`, `"\udc00\udc00"`},
	{`"\ud800\udc00\udbff\udfff"`, "\"\U00010000\U0010ffff\""},
	{"\"é中😀\"", "\"é中😀\""},
	{"\"\u0800\ud7ff\ue000\U00010000\U0010ffff\"", "\"\u0800\ud7ff\ue000\U00010000\U0010ffff\""},
	{`"` + strings.Repeat("long text without anything ", 10) + `\u00e9"`, `"` + strings.Repeat("long text without anything ", 10) + `é"`},
}

// refused are no JSON.
var refused = []string{
	``, ` `, `{`, `[`, `}`, `]`, `[}`, `{]`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`,
	`{1:2}`, `{'a':1}`, `1 2`, `[] []`, `[1],`, `nul`, `nulL`, `tru`, `falsy`, `NaN`, `[Infinity]`, `-Infinity`, `None`, `True`,
	`-`, `+1`, `01`, `-01`, `1.`, `.5`, `1e`, `1e+`, `1.e1`, `0x10`, `1_000`, `--1`, `1.2.3`,
	`"`, `"a`, `"\`, `"\x"`, `"\u"`, `"\u00"`, `"\u00g0"`, `"\u00e`, "\"\n\"", "\"\x00\"", "\"a\x1fb\"", "\"12345678\t\"", `"a"b`, `'a'`,
	"\"\xff\"", "\"\xc3\"", "\"\xc3(\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe0\x9f\xbf\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\"", "\xe9", "[1]\xa0", "\u00a0[]",
	"\ufeff[]", "[1]\x00", "/* */ 1", "1 // one", "[1]\v", "\f1",
}

func TestCompact(t *testing.T) {
	for _, e := range engines() {
		for _, c := range rewritten {
			got, ok := e.AppendCompact([]byte("before"), []byte(c[0]))
			if !ok || string(got) != "before"+c[1] {
				t.Errorf("%s: %s became %q, %v; want %s", e, c[0], got, ok, c[1])
			}
			checkRewritten(t, []byte(c[0]), got[len("before"):])
		}
		for _, c := range refused {
			if got, ok := e.AppendCompact([]byte("before"), []byte(c)); ok || string(got) != "before" {
				t.Errorf("%s: %q became %q, %v", e, c, got, ok)
			}
		}
	}
}

// TestDepth: as deep as MaxDepth and no deeper, with arrays and objects mixed so that each has to be closed by its own.
func TestDepth(t *testing.T) {
	nested := func(depth int) []byte {
		var b, end []byte
		for i := range depth {
			if i%3 == 0 {
				b, end = append(b, `{"a": `...), append(end, '}')
			} else {
				b, end = append(b, '[', ' '), append(end, ']')
			}
		}
		slices.Reverse(end)
		return append(append(b, '1'), end...)
	}
	for _, e := range engines() {
		for _, depth := range []int{1, 63, 64, 65, 66, 127, 128, 129, 192, 1000, MaxDepth} {
			text := nested(depth)
			got, ok := e.AppendCompact(nil, text)
			if !ok || !bytes.Equal(got, bytes.ReplaceAll(text, []byte(" "), nil)) {
				t.Errorf("%s: depth %d: %v", e, depth, ok)
			}
			sortKeys(got)
			if err := e.Check(text, nil); err != nil {
				t.Errorf("%s: depth %d: %v", e, depth, err)
			}
			wrong := bytes.Clone(text)
			wrong[len(wrong)-1] ^= ']' ^ '}'
			if _, ok := e.AppendCompact(nil, wrong); ok || e.Check(wrong, nil) == nil {
				t.Errorf("%s: depth %d: an array closed by a brace is taken", e, depth)
			}
		}
		text := nested(MaxDepth + 1)
		if _, ok := e.AppendCompact(nil, text); ok {
			t.Errorf("%s: deeper than MaxDepth is taken", e)
		}
		if err := e.Check(text, nil); err == nil || err.Reason != "nested deeper than 10000" {
			t.Errorf("%s: deeper than MaxDepth: %v", e, err)
		}
	}
}

func TestEngines(t *testing.T) {
	for _, name := range []string{Own, Standard} {
		if e, _ := NewEngine(name); e.String() != name {
			t.Error(e)
		}
	}
	is := whyNoSonic() == ""
	e, err := NewEngine(Sonic)
	if (err == nil) != is || is && e.String() != Sonic || !is && !strings.HasPrefix(err.Error(), "cannot use sonic: ") {
		t.Errorf("%v, %v", e, err)
	}
	if e, _ := NewEngine(Auto); is != (e.String() == Sonic) || !is && e.String() != Own {
		t.Error(e)
	}
	if _, err := NewEngine("simdjson"); err == nil {
		t.Error("simdjson is taken")
	}
}

// item is a token; strings are in UTF-16, as escapes are.
type item struct {
	delim rune
	text  string
	units []uint16
}

// items reads what there is in a valid text: numbers as they are written, strings for what they stand for, everything in order.
// It is written apart from the rest of the package.
func items(text []byte) []item {
	var list []item
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case strings.IndexByte("{}[],:", c) >= 0:
			list = append(list, item{delim: rune(c)})
			i++
		case c == '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			list = append(list, item{delim: '"', units: units(text[i+1 : end])})
			i = end + 1
		default:
			end := i
			for end < len(text) && strings.IndexByte(" \t\r\n{}[],:\"", text[end]) < 0 {
				end++
			}
			list = append(list, item{text: string(text[i:end])})
			i = end
		}
	}
	return list
}

func units(s []byte) []uint16 {
	var list []uint16
	for len(s) > 0 {
		if s[0] != '\\' {
			r, n := utf8.DecodeRune(s)
			list, s = utf16.AppendRune(list, r), s[n:]
			continue
		}
		if s[1] == 'u' {
			var u uint16
			if _, err := fmt.Sscanf(string(s[2:6]), "%04x", &u); err != nil {
				panic(err)
			}
			list, s = append(list, u), s[6:]
			continue
		}
		list, s = append(list, uint16("\"\\/\b\f\n\r\t"[strings.IndexByte(`"\/bfnrt`, s[1])])), s[2:]
	}
	return list
}

// decoded are encoding/json's tokens, with numbers as text.
func decoded(text []byte) ([]json.Token, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var list []json.Token
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, token)
	}
}

// checkRewritten is what must be true of every text and what became of it.
func checkRewritten(t *testing.T, src, got []byte) {
	t.Helper()
	if len(got) > len(src) || !json.Valid(got) || !utf8.Valid(got) {
		t.Fatalf("%q became %q", src, got)
	}
	equal := slices.EqualFunc(items(src), items(got), func(a, b item) bool {
		return a.delim == b.delim && a.text == b.text && slices.Equal(a.units, b.units)
	})
	if !equal {
		t.Fatalf("%q became %q, which is something else", src, got)
	}
	before, err1 := decoded(src)
	after, err2 := decoded(got)
	if err1 != nil || err2 != nil || !slices.Equal(before, after) {
		t.Fatalf("encoding/json reads %q, %v and %q, %v", before, err1, after, err2)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, got); err != nil || !bytes.Equal(b.Bytes(), got) {
		t.Fatalf("%q is not compact: %v", got, err)
	}
	again := make([]byte, len(got))
	if n, ok := compact(again, got); !ok || !bytes.Equal(again[:n], got) {
		t.Fatalf("%q became %q the second time", got, again[:n])
	}
}

// FuzzCompact: all engines agree, what is valid becomes its equal, and what is not is refused.
func FuzzCompact(f *testing.F) {
	for _, c := range rewritten {
		f.Add([]byte(c[0]))
	}
	for _, c := range refused {
		f.Add([]byte(c))
	}
	all := engines()
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		valid := json.Valid(src) && utf8.Valid(src)
		var first []byte
		for i, e := range all {
			got, ok := e.AppendCompact(nil, src)
			if ok != valid {
				t.Fatalf("%s: %q is valid: %v, %v by encoding/json", e, src, ok, valid)
			}
			if i == 0 && ok {
				checkRewritten(t, src, got)
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Fatalf("%s: %q became %q, another's is %q", e, src, got, first)
			}
		}
		if !bytes.Equal(src, before) {
			t.Fatal("the source was written to")
		}
		if valid {
			checkSorted(t, first)
		}
	})
}

// texts for benchmarks.
func texts() map[string][]byte {
	type product struct {
		ID     int      `json:"id"`
		Name   string   `json:"name"`
		Price  float64  `json:"price"`
		Tags   []string `json:"tags"`
		Active bool     `json:"active"`
		Parent *int     `json:"parent"`
	}
	var list []product
	for i := range 50 {
		list = append(list, product{i, fmt.Sprintf("Product number %d", i), float64(i) * 1.25, []string{"new", "sale", "blue"}, i%2 == 0, nil})
	}
	tight, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	python := bytes.ReplaceAll(bytes.ReplaceAll(tight, []byte(","), []byte(", ")), []byte(":"), []byte(": ")) // as json.dumps writes
	var indented bytes.Buffer
	if err := json.Indent(&indented, tight, "", "    "); err != nil {
		panic(err)
	}
	return map[string][]byte{
		"python": python, "compact": tight, "indented": indented.Bytes(),
		"chinese": []byte(`{"text": "` + strings.Repeat("中文字符很多,日本語も。 ", 400) + `"}`),
		"escaped": []byte(`{"text": "` + strings.Repeat(`\u4e2d\u6587 `, 800) + `"}`),
		"text":    []byte(`{"text": "` + strings.Repeat("all work and no play makes a dull page. ", 200) + `"}`),
		"hello":   []byte(`{"message": "Hello, World!", "n": 1}`),
	}
}

func BenchmarkCompact(b *testing.B) {
	for name, text := range texts() {
		run := func(how string, f func()) {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
		var buffer bytes.Buffer
		run("json.Compact", func() {
			buffer.Reset()
			if err := json.Compact(&buffer, text); err != nil {
				b.Fatal(err)
			}
		})
		var out []byte
		for _, e := range engines() {
			run(e.String(), func() { out, _ = e.AppendCompact(out[:0], text) })
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, text := range texts() {
		for _, e := range engines() {
			b.Run(name+"/"+e.String(), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				scratch := make([]byte, len(text))
				for b.Loop() {
					if err := e.Check(text, scratch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
