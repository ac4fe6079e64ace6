package ratelimit

import (
	"math/bits"
	"time"
)

// Rate is what a bucket allows: Burst requests at once, and Count more in each Period, evenly.
//
// All is reckoned in integers, so that nothing is lost or won by rounding: one request costs Period, in nanoseconds, and Count
// comes back in each nanosecond. Burst times Period must be within MostUnits.
type Rate struct {
	Count  int64
	Period time.Duration
	Burst  int64
}

// MostUnits bounds a full bucket, so that it is exact here and, in microseconds, in Redis' numbers too (2^53).
const MostUnits = 9_000_000_000_000_000_000

func (r Rate) cost() int64 { return int64(r.Period) }
func (r Rate) full() int64 { return r.Burst * int64(r.Period) }

// window is how long an empty bucket takes to be full, in seconds: who makes Burst requests in each is never refused.
func (r Rate) window() int64 { return max(1, (r.full()+r.Count*1e9-1)/(r.Count*1e9)) }

// refilled is what a bucket of level has after a time, in nanoseconds.
func (r Rate) refilled(level, gone int64) int64 {
	full := r.full()
	switch {
	case gone <= 0: // another thread's look at the clock
		return level
	case gone > (full-level)/r.Count:
		return full
	}
	return level + gone*r.Count
}

// left is how many requests a level allows, and after how many seconds, rounded up, it will be one more. Of a full bucket that
// is never.
func (r Rate) left(level int64) (requests, seconds int64) {
	requests = level / r.cost()
	if requests >= r.Burst {
		return requests, 0
	}
	missing := (requests+1)*r.cost() - level
	return requests, (missing + r.Count*1e9 - 1) / (r.Count * 1e9)
}

// converted is a level of another rate's in this one's units: as many requests, as far as there is room.
func (r Rate) converted(level int64, from Rate) int64 {
	high, low := bits.Mul64(uint64(level), uint64(r.cost()))
	if high >= uint64(from.cost()) {
		return r.full()
	}
	quotient, _ := bits.Div64(high, low, uint64(from.cost()))
	return int64(min(quotient, uint64(r.full())))
}
