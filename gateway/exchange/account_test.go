package exchange

import (
	"math/rand/v2"
	"sync"
	"testing"
)

type tally struct {
	mu        sync.Mutex
	drained   int
	cancelled int
}

func (t *tally) Drained(n int) {
	t.mu.Lock()
	t.drained += n
	t.mu.Unlock()
}

func (t *tally) Cancelled() { t.cancelled++ }

// TestAccount: whatever the order, the responder is never credited with more than has left, and with all of it in the end.
func TestAccount(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var a Account
		responder := &tally{}
		taken, given, drained, connected := 0, 0, 0, false
		for range random.IntN(30) {
			switch random.IntN(4) {
			case 0: // it gave bytes, of which some are given on at once
				n := random.IntN(100)
				made := random.IntN(150)
				a.Note(n, made)
				taken, given = taken+n, given+made
				if made == 0 {
					a.Credit()
				}
			case 1, 2:
				n := random.IntN(given - drained + 1)
				drained += n
				a.Drained(n)
			default:
				if !connected {
					connected = true
					a.Connect(responder)
				}
			}
			if most := max(0, taken-(given-drained)); responder.drained > taken || connected && responder.drained > most+given {
				t.Fatalf("credited with %d of %d bytes, and the edge holds %d", responder.drained, taken, given-drained)
			}
		}
		a.Connect(responder)
		a.Drained(given - drained)
		if responder.drained != taken {
			t.Fatalf("credited with %d of %d bytes in the end", responder.drained, taken)
		}
	}
	var a Account
	a.Cancelled()
	responder := &tally{}
	a.Connect(responder)
	if a.Cancelled(); responder.cancelled != 1 {
		t.Errorf("told %d times that the client has left", responder.cancelled)
	}
}
