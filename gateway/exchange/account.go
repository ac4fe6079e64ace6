package exchange

import "sync"

// Account is the Source of a filter whose output is not as long as its input: the responder is to be credited with its own
// bytes, and not with those that are left of them.
//
// Bytes that the filter keeps count as gone, for they may leave only when more comes. What it keeps must be bounded.
type Account struct {
	mu      sync.Mutex
	inner   Source // the responder's; nil: Respond has not returned
	taken   int64  // body bytes that the responder gave
	given   int64  // body bytes that the edge was given
	drained int64  // of those, reported by the edge
	told    int64  // reported to the responder
}

// Note counts bytes before the edge gets them.
func (a *Account) Note(taken, given int) {
	a.mu.Lock()
	a.taken += int64(taken)
	a.given += int64(given)
	a.mu.Unlock()
}

// Credit tells the responder of what is out of its hands: all it gave, less what the edge still holds. To be called when bytes
// were noted of which none are given to the edge.
func (a *Account) Credit() {
	a.mu.Lock()
	inner, n := a.inner, a.taken-(a.given-a.drained)-a.told
	if n > 0 && inner != nil {
		a.told += n
	}
	a.mu.Unlock()
	if n > 0 && inner != nil {
		inner.Drained(int(n))
	}
}

// Connect says whom to credit, also for what was taken before, on another goroutine.
func (a *Account) Connect(inner Source) {
	a.mu.Lock()
	a.inner = inner
	a.mu.Unlock()
	a.Credit()
}

// Drained implements Source.
func (a *Account) Drained(n int) {
	a.mu.Lock()
	a.drained += int64(n)
	a.mu.Unlock()
	a.Credit()
}

// Cancelled implements Source.
func (a *Account) Cancelled() {
	a.mu.Lock()
	inner := a.inner
	a.mu.Unlock()
	if inner != nil {
		inner.Cancelled()
	}
}
