package marshal_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pyspeed/fcgi/marshal"
)

// newRand returns a random source whose seed a failing test shows.
func newRand(t testing.TB) (r *rand.Rand, seed uint64) {
	t.Helper()
	seed = uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// appendValue encodes any value.
func appendValue(dst []byte, v marshal.Value) []byte {
	switch v := v.(type) {
	case nil:
		return marshal.AppendNone(dst)
	case bool:
		return marshal.AppendBool(dst, v)
	case int:
		return marshal.AppendInt(dst, int32(v))
	case string:
		return marshal.AppendUTF8(dst, v)
	case latin1:
		return marshal.AppendStr(dst, v)
	case []byte:
		return marshal.AppendBytes(dst, v)
	case marshal.Tuple:
		dst = marshal.AppendTuple(dst, len(v))
		for _, item := range v {
			dst = appendValue(dst, item)
		}
		return dst
	case marshal.List:
		at := len(dst)
		dst = marshal.AppendList(dst, 0)
		for _, item := range v {
			dst = appendValue(dst, item)
		}
		marshal.PatchLen(dst, at, len(v))
		return dst
	case marshal.Dict:
		dst = marshal.AppendDictStart(dst)
		for _, item := range v {
			dst = appendValue(appendValue(dst, item.Key), item.Value)
		}
		return marshal.AppendDictEnd(dst)
	}
	panic(fmt.Sprintf("test has a value of type %T", v))
}

// latin1 is a str to be written by AppendStr.
type latin1 string

// show returns a text that differs for values that differ in type or content,
// the same as testdata/oracle.py.
func show(v marshal.Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int:
		return fmt.Sprintf("i%d", v)
	case string:
		return "u" + hex.EncodeToString([]byte(v))
	case latin1:
		var sb strings.Builder
		for i := range len(v) {
			sb.WriteRune(rune(v[i]))
		}
		return show(sb.String())
	case []byte:
		return "s" + hex.EncodeToString(v)
	case marshal.Tuple:
		return "(" + showAll(v) + ")"
	case marshal.List:
		return "[" + showAll(v) + "]"
	case marshal.Dict:
		var items []string
		for _, item := range v {
			items = append(items, show(item.Key)+":"+show(item.Value))
		}
		return "{" + strings.Join(items, ",") + "}"
	}
	return fmt.Sprintf("%T", v)
}

func showAll(values []marshal.Value) string {
	var items []string
	for _, v := range values {
		items = append(items, show(v))
	}
	return strings.Join(items, ",")
}

// randomValue makes a value at most depth+1 deep.
func randomValue(r *rand.Rand, depth int) marshal.Value {
	kinds := 9
	if depth == 0 {
		kinds = 6
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return []int{0, -1, 200, 1<<31 - 1, -1 << 31, int(int32(r.Uint32()))}[r.IntN(6)]
	case 3:
		return randomUTF8(r)
	case 4:
		return latin1(randomBytes(r))
	case 5:
		return randomBytes(r)
	case 6:
		return marshal.Tuple(randomValues(r, depth))
	case 7:
		return marshal.List(randomValues(r, depth))
	}
	d := marshal.Dict{}
	// Numbered, because Python's dict has each key once.
	for i, v := range randomValues(r, depth) {
		d = append(d, marshal.Item{Key: latin1(fmt.Sprintf("%d%s", i, randomBytes(r))), Value: v})
	}
	return d
}

func randomValues(r *rand.Rand, depth int) []marshal.Value {
	counts := []int{0, 1, 2, 5}
	if depth == 1 {
		counts = append(counts, 255, 256)
	}
	values := make([]marshal.Value, counts[r.IntN(len(counts))])
	for i := range values {
		values[i] = randomValue(r, min(depth-1, 40/len(values)))
	}
	return values
}

func randomBytes(r *rand.Rand) []byte {
	b := make([]byte, []int{0, 1, 7, 8, 20, 127, 128, 255, 256, 300}[r.IntN(10)])
	high := r.IntN(2) * 128
	for i := range b {
		b[i] = byte(r.IntN(128 + high))
	}
	return b
}

func randomUTF8(r *rand.Rand) string {
	most := []rune{0x7f, 0xff, 0xd7ff, 0x10ffff}[r.IntN(4)]
	runes := make([]rune, r.IntN(100))
	for i := range runes {
		runes[i] = r.Int32N(most + 1) // surrogates become U+FFFD
	}
	return string(runes)
}
