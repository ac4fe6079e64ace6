//go:build !race

package jsonpass

import (
	"fmt"
	"testing"

	"pyspeed/gateway/exchange"
)

// TestAllocations: an answer that is written anew costs the writer that is made for it, and its fields without the length.
func TestAllocations(t *testing.T) {
	r := newRig(t)
	r.Answered = func(string) {}
	list, body, e := fields(jsonType, fmt.Sprintf("Content-Length: %d", len(loose))), []byte(loose), &still{}
	responder := r.Wrap(app(func(x *exchange.Exchange) { _ = x.Writer.Answer(200, list, body) }))
	x := &exchange.Exchange{}
	x.Request.Method, x.Request.Path = []byte("GET"), []byte("/a")
	f := func(path string, most float64) {
		t.Helper()
		x.Request.Path = []byte(path)
		if n := testing.AllocsPerRun(200, func() {
			x.Writer = e
			responder.Respond(x)
		}); n > most {
			t.Errorf("%s: %v allocations, not %v", path, n, most)
		}
	}
	f("/a", 2)
	f("/raw", 0)
	if e.n == 0 {
		t.Error("nothing was answered")
	}
}
