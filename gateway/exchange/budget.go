package exchange

import "sync/atomic"

// Windows an answer may start with, in bytes.
const (
	MaxWindow = 256 << 10
	MinWindow = 4 << 10
)

// MaxBody is what of one request body waits in memory while there is room, in bytes.
const MaxBody = 1 << 20

// Budget is the memory that all answers may hold for clients that have not taken them, and all request
// bodies for responders that have not, together. Safe for concurrent use.
type Budget struct {
	limit atomic.Int64
	held  atomic.Int64
}

// NewBudget makes a budget of limit bytes.
func NewBudget(limit int64) *Budget {
	b := &Budget{}
	b.limit.Store(limit)
	return b
}

// SetLimit changes how many bytes there are; what is held stays.
func (b *Budget) SetLimit(limit int64) { b.limit.Store(limit) }

// Hold counts n more bytes as waiting; a negative n releases them.
func (b *Budget) Hold(n int) { b.held.Add(int64(n)) }

// Held is the number of bytes waiting now.
func (b *Budget) Held() int64 { return b.held.Load() }

// Left is how many more bytes may wait; negative: that many too many do.
func (b *Budget) Left() int64 { return b.limit.Load() - b.held.Load() }

// Window is what a new answer may send before the client has taken any of it:
// MaxWindow while there is room, halving as less and less of the budget is left.
func (b *Budget) Window() int {
	w, left := int64(MaxWindow), b.limit.Load()-b.held.Load()
	for w > MinWindow && w*64 > left {
		w >>= 1
	}
	return int(w)
}

// Body is what one request body may hold: MaxBody while there is room for 32 of them,
// halving as less is left.
func (b *Budget) Body() int {
	n, left := int64(MaxBody), b.limit.Load()-b.held.Load()
	for n > MinWindow && n*32 > left {
		n >>= 1
	}
	return int(n)
}
