package fcgi_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// eachSplit runs f with data whole, byte by byte and in random pieces.
func eachSplit(t *testing.T, data []byte, f func(t *testing.T, chunks [][]byte)) {
	t.Helper()
	t.Run("whole", func(t *testing.T) { f(t, [][]byte{data}) })
	t.Run("byte by byte", func(t *testing.T) {
		var chunks [][]byte
		for i := range data {
			chunks = append(chunks, data[i:i+1])
		}
		f(t, chunks)
	})
	t.Run("random", func(t *testing.T) {
		r := newRand(t)
		for range 4 {
			f(t, split(r, data))
		}
	})
}

// newRand returns a random source whose seed a failing test shows.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// split cuts data into random pieces, some of them empty.
func split(r *rand.Rand, data []byte) [][]byte {
	var chunks [][]byte
	most := 1 << r.IntN(16)
	for len(data) > 0 {
		n := min(r.IntN(most+1), len(data))
		chunks = append(chunks, data[:n])
		data = data[n:]
	}
	return chunks
}

// fill returns n bytes that differ from place to place.
func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
