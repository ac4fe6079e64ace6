package dispatch

import (
	"sync/atomic"

	"pyspeed/gateway/exchange"
)

// claim says who may call the Writer of an exchange that a worker has: the worker's reader, from an answer's
// head on for as long as it has something to flush, or else whoever ends the exchange without the worker. An answer that
// comes whole needs none: it ends under Dispatcher.mu.
//
// Who ends it holds Dispatcher.mu, and gives the call up to the worker, never back to the connection (abandon); so a
// claim that fails is that of a call which will not be used again.
type claim struct{ atomic.Uint32 }

const (
	claimReader uint32 = 1 << iota
	claimTaken         // by another; or, with claimReader, to be ended by the reader when it is through
	claimHead          // the final head was sent
	claimEvents        // of an event stream
)

// hold makes the Writer the reader's; false if the exchange has ended.
func (c *claim) hold() bool {
	for {
		s := c.Load()
		switch {
		case s&claimReader != 0:
			return true
		case s&claimTaken != 0:
			return false
		case c.CompareAndSwap(s, s|claimReader):
			return true
		}
	}
}

// head notes, by the reader, that the final head was sent.
func (c *claim) head(events bool) {
	s := claimHead
	if events {
		s |= claimEvents
	}
	c.Or(s)
}

// release ends hold; false if the reader has to end the exchange.
func (c *claim) release() bool {
	for {
		s := c.Load()
		switch {
		case s&claimReader == 0:
			return true
		case c.CompareAndSwap(s, s&^claimReader):
			return s&claimTaken == 0
		}
	}
}

// takeUnanswered makes the Writer the caller's if no head was sent and the reader is not about to.
func (c *claim) takeUnanswered() bool { return c.CompareAndSwap(0, claimTaken) }

// takeEvents makes the Writer of an event stream whose head was sent the caller's (mine), or has the reader end it.
func (c *claim) takeEvents() (found, mine bool) {
	for {
		s := c.Load()
		switch {
		case s&claimEvents == 0 || s&claimTaken != 0:
			return false, false
		case c.CompareAndSwap(s, s|claimTaken):
			return true, s&claimReader == 0
		}
	}
}

func (c *claim) taken() bool { return c.Load()&claimTaken != 0 }

// headless is whether no final head was sent.
func (c *claim) headless() bool { return c.Load()&claimHead == 0 }

// abandon gives c up to its worker, which keeps it, and with it the request's id, until it ends the request or dies: what
// it still says reaches nobody. With d.mu held and c sent and claimed; the caller flushes, and ends the exchange.
func (d *Dispatcher) abandon(c *call) *exchange.Exchange {
	x := c.x
	x.Slot = nil // the connection's next request gets a call of its own
	c.abort()
	c.abandoned = true
	c.x, c.body = nil, nil
	d.buffers.put(c.head)
	c.head = nil
	c.worker.abandoned++
	c.worker.checkEmpty()
	return x
}

// endStream ends c's answer as if the application had. By the reader, which has it.
func (d *Dispatcher) endStream(c *call) {
	d.mu.Lock()
	x := d.abandon(c)
	d.mu.Unlock()
	x.Writer.End()
}

// EndStreams ends the worker's answers that are event streams and have begun, so that their clients see a
// whole answer and connect again, and aborts them in the worker. It returns how many there were.
func (d *Dispatcher) EndStreams(id string) (n int) {
	d.mu.Lock()
	w := d.find(id)
	if w == nil {
		d.mu.Unlock()
		return 0
	}
	var ended []*exchange.Exchange
	for id := range w.calls[:w.ids] {
		c := w.calls[id].Load()
		if c == nil || c.cancelled || c.failed || c.abandoned {
			continue
		}
		found, mine := c.claim.takeEvents()
		if !found {
			continue
		}
		n++
		c.abort()
		if mine {
			ended = append(ended, d.abandon(c))
		}
	}
	d.mu.Unlock()
	w.mux.Flush(true)
	for _, x := range ended {
		x.Writer.End()
	}
	return n
}

// isEventStream is whether an answer's head says that server-sent events follow.
func isEventStream(fields []exchange.Field) bool {
	for _, f := range fields {
		if exchange.EqualFold(f.Name, "content-type") {
			const events = "text/event-stream"
			v := f.Value
			return len(v) >= len(events) && exchange.EqualFold(v[:len(events)], events) &&
				(len(v) == len(events) || v[len(events)] == ';' || v[len(events)] == ' ')
		}
	}
	return false
}
