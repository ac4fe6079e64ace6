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
type call struct {
	d *Dispatcher
	x *exchange.Exchange

	// Guarded by d.mu.
	place     place
	worker    *worker
	id        uint16
	position  int           // in the queue
	since     time.Duration // queued at
	sentAt    time.Duration
	cancelled bool
	failed    bool           // its head was refused; the worker still works on it
	answered  bool           // a head reached Writer; of the worker's reader
	dirty     bool           // Writer has bytes to flush; of the worker's reader
	streamed  bool           // body bytes were sent by STDIN
	bodyEnd   bool           // the empty STDIN record was sent
	bodyOpen  bool           // a body follows by STDIN
	turn      uint64         // counts the exchanges
	body      *exchange.Body // of this one
	pumping   bool
	again     bool
	credit    int // STDIN bytes the worker takes
	owed      int // answer bytes drained and not yet credited
	window    int

	head []byte // the encoded request; of the dispatcher's pool
}

// Drained implements exchange.Source.
func (c *call) Drained(n int) {
	d := c.d
	d.mu.Lock()
	c.owed += n
	if c.place != sent || c.owed < c.window/2 {
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
	case c.cancelled:
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
		m.End(fcgi.AppendRecord(m.Begin(), fcgi.TypeAbortRequest, 0, c.id, nil))
		d.mu.Unlock()
		m.Flush(true)
		return
	}
	d.mu.Unlock()
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
	turn := c.turn
	for c.place == sent && !c.bodyEnd && !c.cancelled {
		c.again = false
		most, body := min(c.credit, fcgi.MaxContentLen), c.body
		d.mu.Unlock()

		data, end, err := body.Next(d.buffers.get(), most)

		d.mu.Lock()
		var m *fcgi.Mux
		// Meanwhile the exchange may have ended and its connection's next one begun.
		if turn == c.turn && c.place == sent && !c.cancelled && err == nil && (len(data) > 0 || end) {
			m = c.worker.mux
			out := fcgi.AppendStream(m.Begin(), fcgi.TypeStdin, c.id, data)
			c.credit -= len(data)
			c.streamed = true
			if end {
				out = fcgi.AppendStreamEnd(out, fcgi.TypeStdin, c.id)
				c.bodyEnd = true
			}
			m.End(out)
		}
		stop := !c.again && (len(data) == 0 || c.credit == 0) || err != nil || turn != c.turn
		d.buffers.put(data)
		if m != nil {
			d.mu.Unlock()
			m.Flush(true)
			d.mu.Lock()
		}
		if stop && !c.again {
			break
		}
		turn = c.turn
	}
	c.pumping = false
	d.mu.Unlock()
}
