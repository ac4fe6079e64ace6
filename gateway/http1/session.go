package http1

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/gateway/exchange"
)

// Transport is the connection under a Session: what an edge provides. All methods are
// called by the session's owner, one at a time, and none may block.
type Transport interface {
	// Write sends a then b and returns how many bytes were taken; fewer than given
	// means that the client must drain first. An error ends the connection.
	Write(a, b []byte) (int, error)
	// WaitWritable asks for one call of Session.Writable once Write would take bytes.
	WaitWritable()
	// CloseWrite sends FIN and keeps reading (RFC 9112 §9.6).
	CloseWrite()
	// Spilling says that from now on this connection's input goes to disk.
	Spilling()
	// Close ends the connection; the edge then calls Session.Closed.
	Close()
}

// Config is what all sessions of a gateway share.
type Config struct {
	Limits Limits
	// Body is the most bytes a request body may have; more is 413.
	Body int64
	// BufferBody is the size up to which a body is complete before the responder is called.
	BufferBody int64
	// BodyMemory is what of one body may wait in memory; the rest goes to a
	// file in SpoolDir.
	BodyMemory int
	SpoolDir   string

	// Timeouts: a whole head, a byte of a body, the next request, a byte taken by the
	// client.
	HeaderTimeout, BodyTimeout, IdleTimeout, WriteTimeout time.Duration

	Responder exchange.Responder
	Budget    *exchange.Budget
	Clock     *Clock
	// Done is called by the connection's owner when an exchange has ended, with the request
	// still readable. It must not block.
	Done func(x *exchange.Exchange)
}

// Limits of a connection that no one should need to set.
const (
	maxCarry   = 1 << 20 // pipelined input while an answer is under way
	maxDrain   = 256 << 10
	lingerTime = time.Second
	// An idle connection still gets an answer this long after a shutdown began.
	shutdownGrace = 300 * time.Millisecond
	directWrite   = 16 << 10 // body parts from here on are written without a copy
)

// Events, and the owner bit, in Session.state.
const (
	evInput uint32 = 1 << iota
	evFlush
	evEnd
	evWritable
	evClosed
	evTimeout
	evShutdown
	owned
)

// What the session reads next.
type phase uint8

const (
	phaseHead   phase = iota
	phaseBody         // the current request's body
	phaseWait         // the request was read; its answer is under way
	phaseLinger       // the answer said close; input is thrown away until FIN
	phaseDead         // the transport is closed
)

// Session is one HTTP/1.x connection, without I/O: bytes come in by Feed, go out
// by its Transport, and requests go to the Responder one after the other.
//
// Ownership: every entry point posts an event; whoever finds the session
// unowned owns it and handles events until there are none. So parsing, answering
// and closing never run at once, an answer given inside Respond does not recurse, and
// nobody ever waits for another.
//
// The answer's side (Head, Body, Flush, End: one goroutine at a time) gathers
// into out, which is its own until End or a hand-over in Flush.
type Session struct {
	cfg   *Config
	tr    Transport
	peer  exchange.Peer
	state atomic.Uint32

	feedMu sync.Mutex
	fed    []byte // input that came while another goroutine was owner

	// The owner's.
	phase       phase
	buf         []byte // input not consumed; the current head's slices point into it
	off         int
	parser      Parser
	chunked     Chunked
	isChunked   bool
	bodyLeft    int64
	dispatched  bool // Respond was called and the answer has not ended
	started     bool // first byte of a head was seen
	override    *Error
	pending     []byte // answer bytes that the client has not taken
	pendingAt   int
	waiting     bool // WaitWritable was asked
	drainedBody int64

	deadline atomic.Int64 // Clock.Now at which evTimeout is due; 0: none

	x       exchange.Exchange
	respond answer
	index   int // in the Registry
}

// NewSession makes the session of a connection that was just accepted.
func NewSession(cfg *Config, tr Transport, peer exchange.Peer) *Session {
	s := &Session{cfg: cfg, tr: tr, peer: peer, index: -1}
	s.x.Peer = &s.peer
	s.respond.s = s
	s.setDeadline(cfg.HeaderTimeout)
	return s
}

// Feed takes bytes from the client; p is only read during the call. Called by the
// edge, one call at a time; it does not block except when a body spills to disk.
func (s *Session) Feed(p []byte) {
	if s.state.CompareAndSwap(0, owned) {
		s.input(p)
		s.release()
		return
	}
	s.feedMu.Lock()
	s.fed = append(s.fed, p...)
	s.feedMu.Unlock()
	s.post(evInput)
}

// Writable says that the transport takes bytes again. Called by the edge once
// for each WaitWritable.
func (s *Session) Writable() { s.post(evWritable) }

// Closed says that the client is gone or the transport was closed. Called by
// the edge, from any goroutine.
func (s *Session) Closed() { s.post(evClosed) }

// Shutdown ends the connection after the exchange under way, or now if there
// is none.
func (s *Session) Shutdown() { s.post(evShutdown) }

// Spilling reports that input is being written to disk, so that an edge can feed it off
// its event loop. Called by the edge.
func (s *Session) Spilling() bool { return s.respond.spilling.Load() }

func (s *Session) post(ev uint32) {
	for {
		st := s.state.Load()
		if st&owned != 0 {
			if s.state.CompareAndSwap(st, st|ev) {
				return
			}
		} else if s.state.CompareAndSwap(st, owned) {
			s.handle(st | ev)
			s.release()
			return
		}
	}
}

func (s *Session) release() {
	for {
		st := s.state.Load()
		if st == owned {
			if s.state.CompareAndSwap(owned, 0) {
				return
			}
		} else if s.state.CompareAndSwap(st, owned) {
			s.handle(st &^ owned)
		}
	}
}

func (s *Session) handle(ev uint32) {
	if ev&evFlush != 0 {
		s.respond.handMu.Lock()
		hand := s.respond.hand
		s.respond.hand = nil
		s.respond.handMu.Unlock()
		s.write(hand, nil)
		s.credit()
	}
	if ev&evWritable != 0 {
		s.waiting = false
		s.writePending()
	}
	if ev&evInput != 0 {
		s.feedMu.Lock()
		p := s.fed
		s.fed = nil
		s.feedMu.Unlock()
		s.input(p)
	}
	if ev&evEnd != 0 {
		s.end()
	}
	if ev&evTimeout != 0 {
		s.timeout()
	}
	if ev&evShutdown != 0 {
		s.respond.closing.Store(true)
		if !s.dispatched && s.phase == phaseHead && !s.started && s.pendingAt == len(s.pending) {
			// A request may be on its way already: it still gets its answer.
			s.setDeadline(shutdownGrace)
		}
	}
	if ev&evClosed != 0 {
		s.close()
	}
}

// close ends the transport and tells the responder.
func (s *Session) close() {
	if s.phase == phaseDead {
		return
	}
	s.phase = phaseDead
	s.respond.dead.Store(true)
	s.setDeadline(0)
	s.tr.Close()
	s.dropPending()
	if s.dispatched {
		// The request's slices point into buf until end.
		if s.x.Body != nil {
			s.x.Body.Fail(exchange.ErrBodyCut)
		}
		s.x.Source.Cancelled()
		return
	}
	if s.x.Body != nil {
		s.x.Body.Close()
		s.x.Body = nil
	}
	s.buf, s.off = putBuffer(s.buf), 0
}

// setDeadline makes evTimeout due after d; 0 is never.
func (s *Session) setDeadline(d time.Duration) {
	if d == 0 {
		s.deadline.Store(0)
		return
	}
	s.deadline.Store(int64(s.cfg.Clock.Coarse() + d))
}

// timeout is called when the deadline has passed; it may have been moved since.
func (s *Session) timeout() {
	at := s.deadline.Load()
	if at == 0 || s.phase == phaseDead || time.Duration(at) > s.cfg.Clock.Coarse() {
		return
	}
	switch {
	case s.pendingAt < len(s.pending), s.phase == phaseLinger:
		s.close()
	case s.phase == phaseHead && s.started:
		s.refuse(&Error{Status: 408, Reason: "the request head took too long"})
	case s.phase == phaseHead:
		s.close()
	case s.phase == phaseBody:
		s.refuse(&Error{Status: 408, Reason: "the request body took too long"})
	}
}

// input handles bytes from the client; p is not kept.
func (s *Session) input(p []byte) {
	// A body goes straight on without passing through buf.
	if s.phase == phaseBody && s.off == len(s.buf) {
		n := s.readBody(p)
		p = p[n:]
	}
	switch {
	case s.phase == phaseLinger || s.phase == phaseDead:
		return
	case len(p) > 0:
		if s.buf == nil {
			s.buf = getBuffer()
		}
		if s.off > 0 && !s.dispatched && s.x.Body == nil && len(s.buf)+len(p) > cap(s.buf) {
			s.buf = s.buf[:copy(s.buf, s.buf[s.off:])]
			s.off = 0
		}
		s.buf = append(s.buf, p...)
		if s.phase == phaseWait && len(s.buf)-s.off > maxCarry {
			s.close()
			return
		}
	}
	s.advance()
}

// advance parses as far as buf and the answer under way allow.
func (s *Session) advance() {
	for {
		switch s.phase {
		case phaseHead:
			if s.off == len(s.buf) || s.pendingAt < len(s.pending) {
				// A client that does not read its answers gets no further ones.
				return
			}
			if !s.readHead() {
				return
			}
		case phaseBody:
			n := s.readBody(s.buf[s.off:])
			s.off += n
			if n == 0 {
				return
			}
		default:
			return
		}
	}
}

// readHead parses a request head and starts its exchange.
func (s *Session) readHead() bool {
	req := &s.x.Request
	n, err := s.parser.Head(s.buf[s.off:], &s.cfg.Limits, req)
	if err != nil {
		s.refuse(err)
		return false
	}
	if n == 0 {
		if !s.started {
			s.started = true
			s.setDeadline(s.cfg.HeaderTimeout)
		}
		return false
	}
	s.off += n
	s.started = false
	s.x.Accepted = s.cfg.Clock.Now()
	s.respond.begin(req)
	if req.ContentLength == 0 {
		s.phase = phaseWait
		s.setDeadline(0)
		s.dispatch()
		return true
	}
	if req.ContentLength > s.cfg.Body {
		s.refuse(&Error{Status: 413, Reason: "the request body is larger than the limit"})
		return false
	}
	s.phase = phaseBody
	s.isChunked = req.ContentLength < 0
	s.bodyLeft = req.ContentLength
	s.chunked = Chunked{}
	s.x.Body = exchange.NewBody(s.cfg.BodyMemory, s.cfg.SpoolDir)
	s.respond.bodyOpen.Store(true)
	s.setDeadline(s.cfg.BodyTimeout)
	if req.ExpectContinue && s.off == len(s.buf) {
		// RFC 9110 §10.1.1: not needed once body bytes are here.
		s.write(continueAnswer, nil)
	}
	if s.phase == phaseBody && (s.cfg.BufferBody == 0 || req.ContentLength > s.cfg.BufferBody) {
		s.dispatch()
	}
	return s.phase != phaseDead
}

var continueAnswer = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// readBody takes body bytes from p and returns how many it consumed.
func (s *Session) readBody(p []byte) (consumed int) {
	body := s.x.Body
	for len(p) > consumed {
		var data []byte
		var done bool
		if s.isChunked {
			n, d, end, err := s.chunked.Next(p[consumed:])
			if err != nil {
				s.refuse(err)
				return len(p)
			}
			if n == 0 && !end {
				break
			}
			consumed += n
			data, done = d, end
		} else {
			n := int(min(int64(len(p)-consumed), s.bodyLeft))
			data = p[consumed : consumed+n]
			s.bodyLeft -= int64(n)
			consumed += n
			done = s.bodyLeft == 0
		}
		if s.isChunked && body != nil && body.Received()+int64(len(data)) > s.cfg.Body {
			s.refuse(&Error{Status: 413, Reason: "the request body is larger than the limit"})
			return len(p)
		}
		if body != nil {
			if err := body.Append(data); err != nil {
				s.refuse(&Error{Status: 500, Reason: err.Error()})
				return len(p)
			}
		} else if s.isChunked {
			// The answer was sent already; the rest of its request's body is thrown away.
			if s.bodyLeft += int64(len(data)); s.bodyLeft > maxDrain {
				s.close()
				return len(p)
			}
		}
		if done {
			s.bodyComplete()
			return consumed
		}
	}
	if s.phase == phaseBody {
		s.setDeadline(s.cfg.BodyTimeout)
		if body != nil && !s.dispatched && s.isChunked && body.Received() > s.cfg.BufferBody {
			s.dispatch()
		}
		if body != nil && !s.respond.spilling.Load() && body.Received() > int64(s.cfg.BodyMemory) {
			s.respond.spilling.Store(true)
			s.tr.Spilling()
		}
	}
	return consumed
}

func (s *Session) bodyComplete() {
	s.respond.bodyOpen.Store(false)
	s.respond.spilling.Store(false)
	s.setDeadline(0)
	if s.x.Body == nil {
		s.nextRequest() // the answer ended before its request's body did
		return
	}
	s.phase = phaseWait
	s.x.Body.Finish()
	if !s.dispatched {
		s.dispatch()
	}
}

func (s *Session) dispatch() {
	s.dispatched = true
	s.x.Writer = &s.respond
	s.cfg.Responder.Respond(&s.x)
}

// refuse answers a request that must not go on (RFC 9112 §2.2, §3.2): one error
// answer, then close. Nothing after the bad byte is parsed.
func (s *Session) refuse(err *Error) {
	if s.phase == phaseDead {
		return
	}
	if s.dispatched {
		// The responder has the exchange: it ends it, and end() then sends this.
		s.override = err
		s.phase = phaseWait
		s.respond.closing.Store(true)
		s.setDeadline(0)
		s.off = len(s.buf)
		s.x.Body.Fail(errors.New(err.Reason))
		s.x.Source.Cancelled()
		return
	}
	if s.x.Body != nil {
		s.x.Body.Close()
		s.x.Body = nil
	}
	if s.x.Accepted == 0 {
		s.x.Accepted = s.cfg.Clock.Now()
	}
	s.respond.closing.Store(true)
	s.respond.begin(&s.x.Request)
	s.respond.plain(err.Status, err.Reason)
	s.end()
}

// end completes the exchange: what was gathered goes out, then the next request or the
// end of the connection.
func (s *Session) end() {
	r := &s.respond
	if s.dispatched && s.override != nil {
		if !r.headSent {
			r.out = r.out[:0]
			r.plain(s.override.Status, s.override.Reason)
		} else {
			r.cut = true
		}
	}
	s.override = nil
	if s.phase != phaseDead {
		s.write(r.out, nil)
	}
	r.out = putBuffer(r.out)
	s.dispatched = false
	s.x.Status = r.status
	s.x.BytesOut = r.bodyBytes
	if s.x.Request.Method != nil || r.status != 0 {
		s.cfg.Done(&s.x)
	}
	if s.x.Body != nil {
		s.x.Body.Close()
		s.x.Body = nil
	}
	s.x.Source, s.x.Dispatched, s.x.Accepted, s.x.Worker = nil, 0, 0, ""
	s.x.Request.Method = nil
	s.drainedBody = 0
	switch {
	case s.phase == phaseDead:
		s.buf, s.off = putBuffer(s.buf), 0
	case r.cut:
		s.close()
	case r.mustClose():
		s.linger()
	case s.phase == phaseBody:
		// The client still sends: read on and throw away, within maxDrain.
		s.respond.spilling.Store(false)
		if s.isChunked {
			s.bodyLeft = 0 // counts what is thrown away, from here
		}
	default:
		s.nextRequest()
	}
}

// nextRequest makes the connection wait for, or go on with, the next request.
func (s *Session) nextRequest() {
	if s.respond.closing.Load() {
		s.linger()
		return
	}
	s.phase = phaseHead
	s.parser.Reset()
	if s.off == len(s.buf) {
		s.buf, s.off = putBuffer(s.buf), 0
		if s.pendingAt == len(s.pending) {
			s.setDeadline(s.cfg.IdleTimeout)
		}
		return
	}
	// The request's slices are dead now: the rest can move to the front.
	s.buf = s.buf[:copy(s.buf, s.buf[s.off:])]
	s.off = 0
	if s.pendingAt == len(s.pending) {
		s.setDeadline(s.cfg.HeaderTimeout)
		s.state.Or(evInput) // go on in handle, not by recursion
	}
}

// linger closes in the order of RFC 9112 §9.6: half-close, read until the client closes or
// a moment has passed, close. Closing at once would reset the connection and
// the client might lose the answer.
func (s *Session) linger() {
	s.phase = phaseLinger
	s.buf, s.off = putBuffer(s.buf), 0
	if s.pendingAt < len(s.pending) {
		return // writePending goes on
	}
	s.tr.CloseWrite()
	s.setDeadline(lingerTime)
}

// write sends a then b, keeping what the client does not take.
func (s *Session) write(a, b []byte) {
	if s.phase == phaseDead || len(a)+len(b) == 0 {
		return
	}
	n := 0
	if s.pendingAt == len(s.pending) {
		var err error
		if n, err = s.tr.Write(a, b); err != nil {
			s.close()
			return
		}
		if n == len(a)+len(b) {
			return
		}
		s.setDeadline(s.cfg.WriteTimeout)
	}
	before := len(s.pending) - s.pendingAt
	if n < len(a) {
		s.pending = append(s.pending, a[n:]...)
		n = 0
	} else {
		n -= len(a)
	}
	s.pending = append(s.pending, b[n:]...)
	s.cfg.Budget.Hold(len(s.pending) - s.pendingAt - before)
	s.wait()
}

func (s *Session) wait() {
	if !s.waiting {
		s.waiting = true
		s.tr.WaitWritable()
	}
}

// writePending goes on with what the client had not taken.
func (s *Session) writePending() {
	if s.phase == phaseDead || s.pendingAt == len(s.pending) {
		return
	}
	n, err := s.tr.Write(s.pending[s.pendingAt:], nil)
	if err != nil {
		s.close()
		return
	}
	s.pendingAt += n
	s.cfg.Budget.Hold(-n)
	if s.pendingAt < len(s.pending) {
		if n > 0 {
			s.setDeadline(s.cfg.WriteTimeout)
		}
		s.credit()
		s.wait()
		return
	}
	s.pending, s.pendingAt = nil, 0
	s.setDeadline(0)
	s.credit()
	switch {
	case s.phase == phaseLinger:
		s.linger()
	case s.phase == phaseBody:
		s.setDeadline(s.cfg.BodyTimeout)
	case s.phase == phaseHead && !s.dispatched:
		if s.off == len(s.buf) {
			s.setDeadline(s.cfg.IdleTimeout)
		} else {
			s.setDeadline(s.cfg.HeaderTimeout)
			s.advance()
		}
	}
}

// dropPending forgets what will never be sent.
func (s *Session) dropPending() {
	s.cfg.Budget.Hold(-(len(s.pending) - s.pendingAt))
	s.pending, s.pendingAt = nil, 0
}

// credit tells the responder how much more of its body has left.
func (s *Session) credit() {
	if !s.dispatched || s.x.Source == nil {
		return
	}
	gone := s.respond.bodyFlushed.Load() - int64(len(s.pending)-s.pendingAt)
	if n := gone - s.drainedBody; n > 0 {
		s.drainedBody = gone
		s.x.Source.Drained(int(n))
	}
}
