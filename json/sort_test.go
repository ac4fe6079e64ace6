package jsonpass

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSortKeys(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got := []byte(text)
		sortKeys(got)
		if string(got) != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
	f(`{"b":1,"a":2}`, `{"a":2,"b":1}`)
	f(`{"b":1,"a":2,"b":3,"a":4}`, `{"a":2,"a":4,"b":1,"b":3}`) // the last of each still counts
	f(`[{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":"}"}]`, `[{"a":"}","b":{"c":[{"e":2,"f":1}],"d":1}}]`)
	f(`{"":1,"a\"b":2,"a":3}`, `{"":1,"a":3,"a\"b":2}`)
	f(`{"a\\":1,"a":2}`, `{"a":2,"a\\":1}`)
	f(`{"b":1,"\u0061":2}`, `{"\u0061":2,"b":1}`)
	f(`{"\n":1,"\t":2}`, `{"\t":2,"\n":1}`)
	var many, ordered []string
	for n := range 40 {
		many = append(many, fmt.Sprintf(`"b":%d`, n), fmt.Sprintf(`"a":%d`, n))
	}
	ordered = append(ordered, many...)
	slices.SortStableFunc(ordered, func(a, b string) int { return strings.Compare(a[:3], b[:3]) })
	f("{"+strings.Join(many, ",")+"}", "{"+strings.Join(ordered, ",")+"}")
	// By characters, not by UTF-16's units: 😀 is behind U+FFFF.
	f("{\"😀\":1,\"\uffff\":2,\"\\ud800\":3}", "{\"\\ud800\":3,\"\uffff\":2,\"😀\":1}")
	f(`{"é":1,"z":2,"Z":3}`, `{"Z":3,"z":2,"é":1}`)
	f(`{}`, `{}`)
	f(`[]`, `[]`)
	f(`"b"`, `"b"`)
	f(`-1.5e3`, `-1.5e3`)
	f(`[1,[2,{}],{"a":[]}]`, `[1,[2,{}],{"a":[]}]`)
	nested := func(levels int, object string) string {
		return strings.Repeat("[", levels) + object + strings.Repeat("]", levels)
	}
	f(nested(sortDepth-1, `{"b":"[[","a":2}`), nested(sortDepth-1, `{"a":2,"b":"[["}`))
	f(nested(sortDepth, `{"b":"[[","a":2}`), nested(sortDepth, `{"b":"[[","a":2}`))
}

// checkSorted sorts a text that compact made, and looks whether it is the same but for the order of members.
func checkSorted(t *testing.T, text []byte) {
	t.Helper()
	sorted := bytes.Clone(text)
	sortKeys(sorted)
	if !json.Valid(sorted) {
		t.Fatalf("%s became %s", text, sorted)
	}
	// encoding/json keeps the last of equal keys, and writes them in order.
	canonical := func(b []byte) []byte {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if !bytes.Contains(text, []byte(`\ud`)) && !bytes.Contains(text, []byte(`\uD`)) { // it makes one key of all surrogates
		if a, b := canonical(text), canonical(sorted); !bytes.Equal(a, b) {
			t.Fatalf("%s became %s: %s and %s", text, sorted, a, b)
		}
	}
	again := bytes.Clone(sorted)
	sortKeys(again)
	bytewise := func(b []byte) []byte { b = bytes.Clone(b); slices.Sort(b); return b }
	if !bytes.Equal(again, sorted) || !bytes.Equal(bytewise(text), bytewise(sorted)) {
		t.Fatalf("%s became %s and %s", text, sorted, again)
	}
}
