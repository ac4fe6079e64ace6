package supervisor

import (
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 10 * time.Second
	// settledAfter is how long a worker must have been ready for its death to
	// be an accident and not one more turn of a crash loop.
	settledAfter = 5 * time.Second
)

// backoff says how long a slot waits before it replaces its worker.
type backoff struct {
	spent    bool // the replacement at once was used since a worker last settled
	failures int  // waits since then
}

// next takes how the last worker fared: whether it ever was ready, and for how
// long. One that had settled, or the first that dies young, is replaced at once.
// Otherwise, and for one that never became ready, the wait is 100 ms, doubling to
// 10 s, each ±20 % so that slots that fail together do not fork together.
func (b *backoff) next(wasReady bool, served time.Duration) time.Duration {
	if wasReady && served >= settledAfter {
		*b = backoff{}
	}
	if wasReady && !b.spent {
		b.spent = true
		return 0
	}
	wait := backoffMost
	if b.failures < 7 { // 100 ms << 7 is beyond the most
		wait = backoffFirst << b.failures
		b.failures++
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}
