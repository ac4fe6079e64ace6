//go:build !race

package cache

import "testing"

// TestHitAllocates: an answer from memory allocates nothing, with Vary too. It is not built with the race detector, under which
// pools forget on purpose.
func TestHitAllocates(t *testing.T) {
	for _, fields := range []string{
		"Content-Type: application/json\nCache-Control: max-age=60", "Cache-Control: max-age=60\nVary: Accept-Encoding, Accept-Language",
	} {
		next, x := kept(t, fields)
		w := x.Writer.(*sink)
		n := testing.AllocsPerRun(1000, func() { next.Respond(x) })
		if n > 0 || w.n < 5_000_000 {
			t.Errorf("%g allocations, %d bytes", n, w.n)
		}
	}
}
