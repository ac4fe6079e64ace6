package static

import (
	"net/http"
	"sync"

	"pyspeed/gateway/exchange"
)

// ahead is how much of a file may wait for a client to take it, in bytes.
const ahead = 512 << 10

// piece is how much is read from a disk, or handed to the edge, at once.
const piece = 256 << 10

// How much of a file goes into a pipe at once: the more, the more the client has taken of what did.
const (
	leastMoved = 128 << 10
	mostMoved  = 512 << 10
)

// sender sends a file as fast as the client takes it. Its goroutine reads and writes; the edge calls Drained and
// Cancelled.
type sender struct {
	w     exchange.Writer
	p     *plan
	v     *variant
	file  *file         // nil: it is in memory
	slots chan struct{} // one is held while the file is read
	pipes pipes

	mu    sync.Mutex
	room  sync.Cond
	owed  int  // bytes that the client has not taken
	woken bool // the edge has called since this was last unset
	left  bool
}

func newSender(x *exchange.Exchange, p *plan, v *variant) *sender {
	s := &sender{w: x.Writer, p: p, v: v}
	s.room.L = &s.mu
	return s
}

// Drained implements exchange.Source.
func (s *sender) Drained(n int) {
	s.mu.Lock()
	s.owed -= n
	s.woken = true
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
	if s.w.Head(s.p.status, s.p.announce()) != nil {
		s.w.Abort(http.StatusInternalServerError, "")
		return
	}
	for i, part := range s.p.pieces(s.v) {
		if s.p.parts != nil && !s.give(s.p.parts[i]) || !s.span(part) {
			s.w.Abort(0, "")
			return
		}
	}
	if s.p.parts != nil && !s.give(s.p.parts[len(s.p.parts)-1]) {
		s.w.Abort(0, "")
		return
	}
	s.w.End()
}

// span sends a part of the file; false: the client has left, or the file has.
func (s *sender) span(part span) bool {
	if s.file == nil {
		for part.n > 0 {
			n := min(part.n, piece)
			if !s.give(s.v.body[part.start : part.start+n]) {
				return false
			}
			part.start, part.n = part.start+n, part.n-n
		}
		return true
	}
	if part.n >= leastKernel && (!s.pass(&part) || part.n == 0) {
		return part.n == 0
	}
	buffer := pieces.Get().(*[]byte)
	defer pieces.Put(buffer)
	for part.n > 0 {
		b := (*buffer)[:min(part.n, piece)]
		s.slots <- struct{}{}
		n, err := s.file.readAt(b, part.start)
		<-s.slots
		if err != nil || !s.give(b[:n]) {
			return false // an end: it has become shorter, and the client must not take it for whole
		}
		part.start, part.n = part.start+int64(n), part.n-int64(n)
	}
	return true
}

// pass sends a part of the file from the kernel's memory. What is left of it after that cannot be sent so; false: the client
// has left.
func (s *sender) pass(part *span) bool {
	if _, ok := exchange.BodyPipe(s.w, -1, 0); !ok {
		return true
	}
	most := int64(mostMoved)
	for part.n > 0 {
		p, n := s.fill(part.start, min(part.n, most))
		if p == nil {
			return true
		}
		s.mu.Lock()
		s.woken = false
		s.mu.Unlock()
		sent, ok := exchange.BodyPipe(s.w, p.end(), n)
		s.pipes.put(p, n-sent)
		part.start, part.n = part.start+int64(sent), part.n-int64(sent)
		if !ok {
			return true
		}
		if sent < n && !s.await() {
			return false
		}
		// What the client does not take is moved for nothing.
		most = min(max(2*int64(sent), leastMoved), mostMoved)
	}
	return true
}

// fill moves up to n bytes of the file into a pipe; nil: there is none, or this file cannot be moved. Who waits for the disk has no
// pipe yet.
func (s *sender) fill(at, n int64) (*pipe, int) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	p := s.pipes.get()
	if p == nil {
		return nil, 0
	}
	moved := p.fill(s.file, at, n)
	if moved == 0 {
		s.pipes.put(p, 0)
		return nil, 0
	}
	return p, moved
}

// await waits for a call of the edge; false: the client has left.
func (s *sender) await() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.woken && !s.left {
		s.room.Wait()
	}
	return !s.left
}

var pieces = sync.Pool{New: func() any {
	b := make([]byte, piece)
	return &b
}}

// give hands bytes to the edge, when the client has taken enough of those before; false: it has left.
func (s *sender) give(b []byte) bool {
	s.mu.Lock()
	for s.owed > 0 && s.owed+len(b) > ahead && !s.left {
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
