package http1

import (
	"errors"
	"time"

	"pyspeed/gateway/exchange"
)

// Ends: of an exchange, of a request that is refused, of the connection, of the client's time.

// refuse answers a request that must not go on (RFC 9112 §2.2, §3.2): one error
// answer, then close. Nothing after the bad byte is parsed.
func (s *Session) refuse(err *Error) {
	switch {
	case s.phase == phaseDead:
	case s.dispatched:
		// The responder has the exchange: it ends it, and end() then sends this.
		s.override = err
		s.phase = phaseWait
		s.respond.closing.Store(true)
		s.readBy = 0
		s.off = len(s.buf)
		s.x.Body.Fail(errors.New(err.Reason))
		if s.x.Source != nil {
			s.x.Source.Cancelled()
		}
	case s.phase == phaseBody && s.x.Body == nil:
		// Its request was answered: one more would be taken for the next one's.
		s.linger()
	default:
		if s.x.Accepted == 0 {
			s.x.Accepted = s.cfg.Clock.Now()
		}
		s.respond.begin(&s.x.Request)
		s.respond.keepAlive = false
		s.respond.plain(err.Status, err.Reason)
		s.end()
	}
}

// overrule puts the refusal in place of an answer that was not completed.
func (s *Session) overrule() {
	r := &s.respond
	switch {
	case r.complete:
		// The application's own answer, to what it had read until then, is as good.
	case !r.handed:
		r.out = r.out[:0]
		r.begin(&s.x.Request)
		r.keepAlive = false
		r.plain(s.override.Status, s.override.Reason)
	}
	r.close = true
	s.override = nil
}

// end completes the exchange: what was gathered goes out, then the next request or the
// end of the connection.
func (s *Session) end() {
	r := &s.respond
	if s.override != nil {
		s.overrule()
	}
	// From here on the responder hears no more of it, whatever the write below leads to.
	s.x.Source = nil
	s.starving, s.relieved = false, 0
	if s.pendingAt == len(s.pending) {
		s.writeBy = 0 // what a pipe was waiting for came otherwise
	}
	s.dropBody()
	s.write(r.out, r.shared)
	r.out, r.shared = putBuffer(r.out), nil
	s.dispatched = false
	s.x.Status = r.status
	s.x.BytesOut = r.bodyBytes
	s.done()
	switch {
	case s.phase == phaseDead:
		s.buf, s.off = putBuffer(s.buf), 0
	case r.cut || r.close:
		// An answer that is cut has no last chunk, or too few bytes: closing in order
		// says so to the client and loses none of what there was.
		s.linger()
	case s.phase == phaseBody:
		// The client still sends: read on and throw away, within maxDrain.
		s.spilling = false
	default:
		s.nextRequest()
	}
}

// done reports the exchange and forgets it.
func (s *Session) done() {
	s.cfg.Done(&s.x)
	s.x.Dispatched, s.x.Accepted, s.x.Worker = 0, 0, ""
	s.x.Status, s.x.BytesOut = 0, 0
	s.x.Request.Method, s.x.Request.Fields = nil, s.x.Request.Fields[:0]
	s.bodyOut, s.credited = 0, 0
}

func (s *Session) dropBody() {
	if s.x.Body != nil {
		s.x.Body.Close()
		s.x.Body = nil
	}
}

// linger closes in the order of RFC 9112 §9.6: half-close, read until the client closes or
// a moment has passed, close. Closing at once would reset the connection and
// the client might lose the answer.
func (s *Session) linger() {
	s.phase = phaseLinger
	s.buf, s.off = putBuffer(s.buf), 0
	s.readBy = 0
	if s.pendingAt < len(s.pending) {
		return // writePending goes on
	}
	if !s.tr.CloseWrite() {
		if s.writeBy == 0 {
			s.writeWithin(s.cfg.WriteTimeout)
		}
		return
	}
	s.writeBy = 0
	s.readWithin(lingerTime)
}

// close ends the transport and tells the responder.
func (s *Session) close() {
	if s.phase == phaseDead {
		return
	}
	unfinished := s.phase == phaseBody && !s.dispatched && s.x.Body != nil
	s.phase = phaseDead
	s.respond.dead.Store(true)
	s.readBy, s.writeBy, s.armed = 0, 0, 0
	s.deadline.Store(0)
	s.tr.Close()
	s.dropPending()
	if s.dispatched {
		// The request's slices point into buf until end.
		if s.x.Source != nil {
			if s.x.Body != nil {
				s.x.Body.Fail(exchange.ErrBodyCut)
			}
			s.x.Source.Cancelled()
		}
		return
	}
	if unfinished {
		s.dropBody()
		s.done()
	}
	s.buf, s.off = putBuffer(s.buf), 0
}

// readWithin gives the client d for what it has to send; 0 is for ever.
func (s *Session) readWithin(d time.Duration) { s.readBy = s.within(d) }

// writeWithin gives the client d for taking some of what it has to read.
func (s *Session) writeWithin(d time.Duration) { s.writeBy = s.within(d) }

func (s *Session) within(d time.Duration) time.Duration {
	if d == 0 {
		return 0
	}
	// Coarse is up to a tick behind, and no one's time may be short.
	at := s.cfg.Clock.Coarse() + d + tick
	s.arm(at)
	return at
}

// arm sees to an evTimeout at that time or before. A deadline that is moved to later, or taken
// away, leaves what was armed: that costs one look in timeout, not a store for each request.
func (s *Session) arm(at time.Duration) {
	if at != 0 && (s.armed == 0 || at < s.armed) {
		s.armed = at
		s.deadline.Store(int64(at))
	}
}

// timeout is called when what was armed has passed.
func (s *Session) timeout() {
	if s.phase == phaseDead {
		return
	}
	now := s.cfg.Clock.Coarse()
	s.armed = 0
	s.deadline.Store(0)
	switch {
	case s.writeBy != 0 && s.writeBy <= now:
		s.close()
		return
	case s.readBy == 0 || s.readBy > now:
	case s.phase == phaseLinger:
		s.close()
		return
	case s.phase == phaseHead && !s.started:
		if s.tr.CloseWrite() {
			s.close()
			return
		}
		s.linger() // the last answer is on its way
	case s.phase == phaseHead:
		// What was parsed of it may point to bytes that were moved since.
		s.x.Request = exchange.Request{Fields: s.x.Request.Fields[:0], TLS: s.x.Request.TLS}
		s.refuse(&Error{Status: 408, Reason: "the request head took too long"})
	case s.phase == phaseBody:
		s.refuse(&Error{Status: 408, Reason: "the request body took too long"})
	}
	s.arm(s.readBy)
	s.arm(s.writeBy)
}
