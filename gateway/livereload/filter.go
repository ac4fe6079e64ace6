package livereload

import (
	"math"
	"slices"
	"sync"

	"pyspeed/gateway/exchange"
)

// filter adds the script element to an answer, if that is a page. It keeps back at most the beginning of
// the tag that it goes in front of, some bytes.
//
// It is a Writer around the edge's and a Source around the responder's: what was added must not be credited
// to the responder as if it had sent it.
type filter struct {
	hub   *Hub
	w     exchange.Writer
	inner exchange.Source
	x     *exchange.Exchange
	from  uint64 // the latest event when the request came
	valid bool   // the browser has the page as of that event, and asked whether it still is as it was
	post  bool   // loading the page again would not be asking for it again

	// The writer's.
	adding  bool // this answer is a page, and has no script yet
	element []byte
	scan    scanner
	carry   [marker]byte
	kept    int   // of carry
	passed  int64 // body bytes given to the edge, less the element
	left    int64 // body bytes that the responder's Content-Length still announces; -1: it gave none

	mu      sync.Mutex
	at      int64 // where the element is in what the edge was given
	size    int64 // of it
	drained int64 // reported by the edge
	told    int64 // reported to the responder
}

// filtered gives x to next, with a filter around the answer. Called by the edge.
func (h *Hub) filtered(x *exchange.Exchange, next exchange.Responder) {
	f := &filter{hub: h, w: x.Writer, x: x, from: h.now(), at: math.MaxInt64, left: -1}
	f.post = string(x.Request.Method) != "GET"
	f.valid = h.conditions(&x.Request, f.from)
	x.Writer = f
	next.Respond(x)
	// The edge looks at Source as the exchange's owner only, which it is as long as Respond runs, whether or not the
	// answer has begun, or ended, elsewhere meanwhile.
	if x.Source != nil {
		f.inner = x.Source
		x.Source = f
	}
}

// Drained implements exchange.Source.
func (f *filter) Drained(n int) {
	f.mu.Lock()
	f.drained += int64(n)
	// Of what has left, all that was the responder's.
	gone := f.drained - min(max(f.drained-f.at, 0), f.size)
	n = int(gone - f.told)
	f.told = gone
	f.mu.Unlock()
	if n > 0 {
		f.inner.Drained(n)
	}
}

// Cancelled implements exchange.Source.
func (f *filter) Cancelled() { f.inner.Cancelled() }

// Head implements exchange.Writer.
func (f *filter) Head(status int, fields []exchange.Field) error {
	fields, adding := f.prepare(status, fields, -1)
	err := f.w.Head(status, fields)
	f.adding = adding && err == nil
	return err
}

// Answer implements exchange.Writer.
func (f *filter) Answer(status int, fields []exchange.Field, body []byte) error {
	fields, adding := f.prepare(status, fields, int64(len(body)))
	if !adding {
		return f.w.Answer(status, fields, body)
	}
	at := len(body)
	if i := f.scan.find(body); i >= 0 {
		at = i - marker
	}
	return f.w.Answer(status, fields, slices.Concat(body[:at], f.element, body[at:]))
}

// Body implements exchange.Writer.
func (f *filter) Body(p []byte) {
	if !f.adding {
		f.pass(p)
		return
	}
	var beyond []byte
	if f.left >= 0 {
		n := min(int64(len(p)), f.left)
		p, beyond = p[:n], p[n:]
		f.left -= n
	}
	if i := f.scan.find(p); i >= 0 {
		rest := f.until(p, i-marker)
		f.add()
		f.release()
		f.pass(rest)
	} else {
		f.keep(f.until(p, len(p)-f.scan.held()))
		if f.left == 0 {
			f.finish()
		}
	}
	f.pass(beyond) // the edge leaves it out, and credits it
}

// until passes what is kept and what of p is before index at, which is negative where that is within what is kept. It
// returns the rest of p; what was kept from there on still is.
func (f *filter) until(p []byte, at int) (rest []byte) {
	if at >= 0 {
		f.release()
		f.pass(p[:at])
		return p[at:]
	}
	n := f.kept + at
	f.pass(f.carry[:n])
	f.kept = copy(f.carry[:], f.carry[n:f.kept])
	return p
}

// keep takes the beginning of what may be the marker.
func (f *filter) keep(p []byte) { f.kept += copy(f.carry[f.kept:], p) }

// release passes what is kept.
func (f *filter) release() {
	f.pass(f.carry[:f.kept])
	f.kept = 0
}

// pass gives body bytes to the edge.
func (f *filter) pass(p []byte) {
	if len(p) > 0 {
		f.passed += int64(len(p))
		f.w.Body(p)
	}
}

// add gives the element to the edge.
func (f *filter) add() {
	f.adding = false
	f.mu.Lock()
	f.at, f.size = f.passed, int64(len(f.element))
	f.mu.Unlock()
	f.w.Body(f.element)
}

// finish puts the element at the end of a body that has no better place.
func (f *filter) finish() {
	f.release()
	f.add()
}

// Flush implements exchange.Writer.
func (f *filter) Flush() { f.w.Flush() }

// End implements exchange.Writer.
func (f *filter) End() {
	switch {
	case !f.adding:
	case f.left <= 0:
		f.finish()
	default:
		f.release() // shorter than announced, which the edge tells the client
	}
	f.w.End()
}

// Abort implements exchange.Writer.
func (f *filter) Abort(status int, reason string) {
	f.release()
	f.w.Abort(status, reason)
}
