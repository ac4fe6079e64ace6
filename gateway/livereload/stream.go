package livereload

import (
	"net/http"
	"sync/atomic"

	"pyspeed/gateway/exchange"
)

// stream is a browser that listens (WHATWG HTML §9.2, server-sent events). Hub.Run writes to it; the
// edge calls Drained and Cancelled.
type stream struct {
	hub  *Hub
	w    exchange.Writer
	from string // the position that the browser gave

	owed atomic.Int64 // bytes that the browser has not taken
	left atomic.Bool

	// Hub.Run's.
	begun bool
	last  uint64 // number of the last event that was sent
	b     []byte
}

var streamHead = []exchange.Field{
	{Name: []byte("Content-Type"), Value: []byte("text/event-stream")},
	{Name: []byte("Cache-Control"), Value: []byte("no-store")},
}

// listen makes x a stream. Called by the edge.
func (h *Hub) listen(x *exchange.Exchange, from string) {
	s := &stream{hub: h, w: x.Writer, from: from}
	x.Source = s
	h.mu.Lock()
	full := h.ended || len(h.streams) >= mostStreams
	if !full {
		h.streams = append(h.streams, s)
	}
	h.mu.Unlock()
	if full {
		x.Writer.Abort(http.StatusServiceUnavailable, "")
		return
	}
	h.poke()
}

// Drained implements exchange.Source.
func (s *stream) Drained(n int) { s.owed.Add(int64(-n)) }

// Cancelled implements exchange.Source: the browser left.
func (s *stream) Cancelled() {
	s.left.Store(true)
	s.hub.poke()
}

// write sends what is new; false: the stream has ended.
func (s *stream) write(beat bool) bool {
	if s.left.Load() {
		s.w.Abort(0, "")
		return false
	}
	if s.owed.Load() > mostOwed {
		s.end() // it asks again, from where it is then
		return false
	}
	s.b = s.b[:0]
	if !s.begun {
		_ = s.w.Head(http.StatusOK, streamHead) // the fields are constants
	}
	s.hub.mu.Lock()
	var list []event
	if s.begun {
		list, s.last = s.hub.behind(s.last), s.hub.last
	} else if list, s.last = s.hub.since(s.from); len(list) == 0 {
		// Nothing to do, but the browser repeats the id when it connects again.
		list = append(list, s.hub.event(s.last, message{}))
	}
	s.hub.mu.Unlock()
	if !s.begun {
		s.begun = true
		s.b = append(s.b, "retry: 500\n\n"...)
	}
	for _, e := range list {
		s.b = append(append(append(s.b, "id: "...), s.hub.position(e.number)...), "\ndata: "...)
		s.b = append(append(s.b, e.text...), "\n\n"...)
	}
	if beat && len(s.b) == 0 {
		s.b = append(s.b, ":\n\n"...)
	}
	if len(s.b) > 0 {
		s.owed.Add(int64(len(s.b)))
		s.w.Body(s.b)
		s.w.Flush()
	}
	return true
}

// end ends the stream in order.
func (s *stream) end() {
	if s.left.Load() {
		s.w.Abort(0, "")
		return
	}
	if !s.begun {
		_ = s.w.Head(http.StatusOK, streamHead)
	}
	s.w.End()
}
