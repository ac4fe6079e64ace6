package dispatch

import (
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// Where a call is. Guarded by Dispatcher.mu.
type place uint8

const (
	idle   place = iota
	queued       // waits for a worker
	sent         // a worker has it
	done         // its answer is being handed over; the worker has no part in it
)

// call is one exchange's way through the dispatcher. It lives in Exchange.Slot, so it is
// used again for the connection's next request, never for another connection's.
//
// From the moment that x.Writer's End, Answer or Abort is called, x and all that is here may
// belong to that next request already.
type call struct {
	d    *Dispatcher
	x    *exchange.Exchange
	wake func() // pump, made once
	head *buffer
	asgi bool // what head was encoded as
	// bound says that it is meant for one worker and never goes to another, nor counts as a client's.
	bound bool

	// Guarded by d.mu.
	place      place
	worker     *worker
	id         uint16
	position   int           // in the queue
	since      time.Duration // queued at
	sentAt     time.Duration
	turn       uint64 // counts the exchanges
	cancelled  bool   // the client left
	failed     bool   // it will end with failure, whatever the worker still says
	aborted    bool   // ABORT_REQUEST was sent
	failure    Failure
	body       *exchange.Body // of this one
	embeddable bool           // body may travel inside REQUEST
	bodyOpen   bool           // it follows by STDIN
	bodyEnd    bool           // the empty STDIN record was sent
	streamed   bool           // body bytes were sent by STDIN
	pumping    bool           // a goroutine is in pump's loop
	taking     bool           // that one holds body bytes that are nowhere else
	again      bool
	parked     *worker // in whose waiting it is
	credit     int     // STDIN bytes the worker takes
	owed       int     // answer bytes drained and not yet credited
	window     int
	begunAt    time.Duration // when its start mark was first seen; 0: not yet
	stood      time.Duration // the worker's stood then
	told       bool          // Settings.Slow knows of it
	abandoned  bool          // its exchange has ended without the worker, which keeps it until it ends it too

	claim claim // who may call x.Writer once the worker has it

	// The worker's reader's.
	heard    bool // the worker answered something
	answered bool // a final RESPONSE was read
	refused  bool // but its head must not be sent
	dirty    bool // Writer has bytes to flush
}

// begin makes c ready for x, as if it were queued. Called by the edge; returns with d.mu held.
func (c *call) begin(x *exchange.Exchange) {
	d := c.d
	c.x = x
	x.Source = c
	c.head = d.buffers.get()
	c.asgi = d.asgi.Load()
	c.head.b = d.Encoder.appendHead(c.head.b, x, c.asgi)
	body, embeddable := x.Body, false
	if body != nil {
		// Asked here, since it may wait for the disk while d.mu is held; a short body has
		// nothing on disk, and may be complete by the time that a worker is free.
		n := x.Request.ContentLength
		embeddable = n >= 0 && n <= embed
		if !embeddable {
			_, embeddable = body.Complete(embed)
		}
		body.Notify(c.wake)
	}

	d.mu.Lock()
	d.requests++
	c.turn++
	c.place = queued
	c.body, c.embeddable = body, embeddable
	c.cancelled, c.failed, c.aborted = false, false, false
	c.begunAt, c.told = 0, false
	c.claim.Store(0)
	c.bodyOpen, c.bodyEnd, c.streamed = false, false, false
	c.heard, c.answered, c.refused, c.dirty = false, false, false, false
}

// abort appends ABORT_REQUEST, once. With d.mu held and c sent; the caller flushes.
func (c *call) abort() {
	if !c.aborted {
		c.aborted = true
		m := c.worker.mux
		m.End(fcgi.AppendRecord(m.Begin(), fcgi.TypeAbortRequest, 0, c.id, nil))
	}
}

// fail decides that c ends with f as soon as the worker has ended it. With d.mu held and c
// sent; the caller flushes.
func (c *call) fail(f Failure) {
	if !c.failed {
		c.failed, c.failure = true, f
	}
	c.abort()
}

// Drained implements exchange.Source.
func (c *call) Drained(n int) {
	d := c.d
	d.mu.Lock()
	c.owed += n
	if c.place != sent || c.abandoned || c.owed < c.window/2 {
		d.mu.Unlock()
		return
	}
	m := c.worker.mux
	m.End(fcgi.AppendWindow(m.Begin(), c.id, uint32(c.owed)))
	c.owed = 0
	d.mu.Unlock()
	m.Flush(true)
}

// Cancelled implements exchange.Source: the client left.
func (c *call) Cancelled() {
	d := c.d
	d.mu.Lock()
	switch {
	case c.cancelled || c.abandoned:
	case c.place == queued:
		c.cancelled = true
		d.queue.remove(c)
		d.finish(c)
		d.mu.Unlock()
		c.x.Writer.Abort(0, "")
		return
	case c.place == sent:
		c.cancelled = true
		m := c.worker.mux
		c.abort()
		d.mu.Unlock()
		m.Flush(true)
		return
	}
	d.mu.Unlock()
}

// streaming is whether body bytes may go to the worker. With d.mu held.
func (c *call) streaming() bool {
	return c.place == sent && c.bodyOpen && !c.bodyEnd && !c.aborted
}

// pump sends as much of the body as there is and the worker takes. Called by the
// edge when bytes arrived and by the worker's reader when credit did; one of them
// does the work, the other leaves a note.
func (c *call) pump() {
	d := c.d
	d.mu.Lock()
	if c.pumping {
		c.again = true
		d.mu.Unlock()
		return
	}
	c.pumping = true
	for more := true; more && c.streaming(); {
		c.again = false
		if w := c.worker; w.mux.Full() {
			if c.parked != w {
				c.parked = w
				w.waiting = append(w.waiting, c)
			}
			break
		}
		turn, body, most := c.turn, c.body, min(c.credit, fcgi.MaxContentLen)
		// What Next gives is gone from the body: from here on another worker would not get all.
		c.taking = true
		d.mu.Unlock()

		part := d.buffers.get()
		data, end, err := body.Next(part.b, most)
		part.b = data

		d.mu.Lock()
		c.taking = false
		var m *fcgi.Mux
		// Meanwhile the exchange may have ended and its connection's next one begun.
		switch {
		case turn != c.turn || !c.streaming():
		case err != nil:
			// Either the client's fault, and then Cancelled comes, or the disk's.
			m = c.worker.mux
			c.fail(FailBody)
		case len(data) > 0 || end:
			m = c.worker.mux
			out := fcgi.AppendStream(m.Begin(), fcgi.TypeStdin, c.id, data)
			c.credit -= len(data)
			c.streamed = c.streamed || len(data) > 0
			if end {
				out = fcgi.AppendStreamEnd(out, fcgi.TypeStdin, c.id)
				c.bodyEnd = true
			}
			m.End(out)
			more = len(data) > 0 && c.credit > 0
		default:
			more = false
		}
		d.buffers.put(part)
		if m != nil {
			d.mu.Unlock()
			m.Flush(true)
			d.mu.Lock()
		}
		more = more || c.again
	}
	c.pumping = false
	d.mu.Unlock()
}
