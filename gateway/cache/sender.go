package cache

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
)

// piece is how much is handed to the edge at once, in bytes.
const piece = 64 << 10

// sender sends what is large, as fast as its client takes it: of a slow client's answer the edge holds no more than the window that
// the budget allows, and the rest is what is stored. Its goroutine writes; the edge calls Drained and Cancelled.
type sender struct {
	w      exchange.Writer
	window int
	d      delivery
	before func() delivery // makes d; nil: it is there

	mu   sync.Mutex
	room sync.Cond
	owed int // bytes that the client has not taken
	left bool
}

func newSender(h *handler, w exchange.Writer) *sender {
	s := &sender{w: w, window: h.cache.Budget.Window()}
	s.room.L = &s.mu
	return s
}

// plan takes a delivery, whose fields are another's memory.
func (s *sender) plan(d *delivery) {
	s.d = *d
	s.d.fields = make([]exchange.Field, 0, len(d.fields)+1)
	for _, f := range d.fields {
		// Age and Cache-Status are in the lookup's memory.
		s.d.fields = append(s.d.fields, exchange.Field{Name: f.Name, Value: bytes.Clone(f.Value)})
	}
}

// later is the sender for a form that is still to be made.
func (h *handler) later(q *exchange.Request, w exchange.Writer, a *asked, l *lookup, e *entry, now time.Duration, form int) *sender {
	s := newSender(h, w)
	own := &lookup{status: slices.Clone(l.status)}
	conditions := *a
	s.before = func() delivery {
		made := e.make(h.settings.Encoder, form)
		return h.plan(q, &conditions, own, e, made.fields, made.body, now)
	}
	return s
}

// Drained implements exchange.Source.
func (s *sender) Drained(n int) {
	s.mu.Lock()
	s.owed -= n
	s.mu.Unlock()
	s.room.Signal()
}

// Cancelled implements exchange.Source.
func (s *sender) Cancelled() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	s.room.Signal()
}

// run sends everything, and ends the exchange.
func (s *sender) run() {
	if s.before != nil {
		s.d = s.before()
	}
	d := &s.d
	if d.head {
		d.send(s.w)
		return
	}
	length := exchange.Field{Name: []byte("Content-Length"), Value: []byte(strconv.Itoa(len(d.body)))}
	if s.w.Head(d.status, append(slices.Clip(d.fields), length)) != nil {
		s.w.Abort(http.StatusInternalServerError, "")
		return
	}
	for body := d.body; len(body) > 0; {
		n := min(len(body), piece, s.window)
		if !s.give(body[:n]) {
			s.w.Abort(0, "")
			return
		}
		body = body[n:]
	}
	s.w.End()
}

// give hands bytes to the edge, when the client has taken enough of those before; false: it has left.
func (s *sender) give(b []byte) bool {
	s.mu.Lock()
	for s.owed > 0 && s.owed+len(b) > s.window && !s.left {
		s.room.Wait()
	}
	left := s.left
	s.owed += len(b)
	s.mu.Unlock()
	if left {
		return false
	}
	s.w.Body(b)
	s.w.Flush()
	return true
}
