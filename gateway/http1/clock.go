package http1

import (
	"context"
	"sync/atomic"
	"time"
)

// tick is how often timeouts are looked for and the Date field is renewed; so
// a timeout is late by up to this much.
const tick = 100 * time.Millisecond

// Clock is the time all sessions of a gateway share: monotonic since its making, a coarse
// reading that costs one load, and the current Date field.
type Clock struct {
	start  time.Time
	coarse atomic.Int64
	date   atomic.Pointer[[]byte]
	second int64
}

// NewClock makes a clock; Registry.Run keeps it going.
func NewClock() *Clock {
	c := &Clock{start: time.Now()}
	c.turn(c.start)
	return c
}

// Now is the time since the clock was made.
func (c *Clock) Now() time.Duration { return time.Since(c.start) }

// Coarse is Now as of the last tick.
func (c *Clock) Coarse() time.Duration { return time.Duration(c.coarse.Load()) }

// Date is the current time in IMF-fixdate (RFC 9110 §5.6.7).
func (c *Clock) Date() []byte { return *c.date.Load() }

func (c *Clock) turn(now time.Time) {
	c.coarse.Store(int64(now.Sub(c.start)))
	if s := now.Unix(); s != c.second {
		c.second = s
		b := now.UTC().AppendFormat(nil, "Mon, 02 Jan 2006 15:04:05 GMT")
		c.date.Store(&b)
	}
}

// Run turns the clock and wakes the sessions whose time is up, until ctx ends.
// One goroutine per gateway.
func (g *Registry) Run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			g.clock.turn(now)
			g.expire()
		}
	}
}
