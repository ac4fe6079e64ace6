package http1

import "pyspeed/gateway/exchange"

// Reading: input goes through buf to the parser and, as a body, straight on.

// input handles bytes from the client; p is not kept.
func (s *Session) input(p []byte) {
	if s.undecided {
		s.reconsider()
	}
	if s.phase == phaseBody && s.off == len(s.buf) {
		// A body goes on without passing through buf.
		n, done := s.readBody(p)
		if done {
			s.bodyComplete()
		}
		p = p[n:]
	}
	// Behind a refusal and behind a last answer nothing is read (RFC 9112 §9.6).
	if s.phase == phaseLinger || s.phase == phaseDead || s.override != nil {
		return
	}
	if len(p) > 0 {
		s.keep(p)
	}
	s.advance()
	if s.phase <= phaseWait && len(s.buf)-s.off > maxCarry && s.blocked() {
		s.close()
	}
}

// keep appends p to what was not consumed.
func (s *Session) keep(p []byte) {
	if s.buf == nil {
		s.buf = getBuffer()
	}
	if len(s.buf)+len(p) > cap(s.buf) && !s.live() {
		s.shift()
	}
	s.buf = append(s.buf, p...)
}

// shift moves what was not consumed to the front of buf, if that is worth it: bytes are
// moved at most once for each byte that was consumed, so a client that pipelines a
// million requests costs linear time. Not while a request's slices are in use.
func (s *Session) shift() {
	if rest := len(s.buf) - s.off; s.off > 0 && s.off >= rest {
		s.buf = s.buf[:copy(s.buf, s.buf[s.off:])]
		s.off = 0
	}
}

// live is whether a request points into buf.
func (s *Session) live() bool { return s.dispatched || s.x.Body != nil }

// blocked is whether input has to wait: for an answer that has not ended, or for a
// client that does not read the answers it has.
func (s *Session) blocked() bool {
	return s.phase == phaseWait && s.state.Load()&evEnd == 0 ||
		s.phase == phaseHead && s.pendingAt < len(s.pending)
}

// advance parses as far as buf and the answer under way allow.
func (s *Session) advance() {
	for {
		switch s.phase {
		case phaseHead:
			if s.off == len(s.buf) || s.blocked() || !s.readHead() {
				return
			}
		case phaseBody:
			n, done := s.readBody(s.buf[s.off:])
			if s.phase != phaseBody {
				return // refused, and buf may be gone
			}
			s.off += n
			switch {
			case done:
				s.bodyComplete()
			case n == 0:
				return
			}
		default:
			return
		}
	}
}

// readHead parses a request head and starts its exchange. false: there is no more to parse
// for now.
func (s *Session) readHead() bool {
	req := &s.x.Request
	if !s.started {
		s.cfg = s.all.Load()
	}
	n, err := s.parser.Head(s.buf[s.off:], &s.cfg.Limits, req)
	if err != nil {
		s.refuse(err)
		return false
	}
	if n == 0 {
		if !s.started {
			s.started = true
			s.readWithin(s.cfg.HeaderTimeout)
		}
		return false
	}
	s.off += n
	s.started = false
	s.x.Accepted = s.cfg.Clock.Now()
	s.respond.begin(req)
	if req.ContentLength == 0 {
		s.phase = phaseWait
		s.readBy = 0
		s.dispatch()
		return true
	}
	if req.ContentLength > s.cfg.Body {
		s.refuse(tooLarge())
		return false
	}
	s.phase = phaseBody
	s.isChunked = req.ContentLength < 0
	s.bodyLeft, s.drained = req.ContentLength, 0
	s.chunked = Chunked{}
	s.x.Body = exchange.NewBody(s.cfg.BodyMemory, s.cfg.Budget, s.cfg.SpoolDir)
	s.respond.bodyOpen.Store(true)
	s.readWithin(s.cfg.BodyTimeout)
	// RFC 9110 §10.1.1: 100 is not needed once body bytes are here.
	expecting := req.ExpectContinue && s.off == len(s.buf)
	s.respond.expecting.Store(expecting)
	s.decide()
	if s.undecided && s.cfg.Streaming.Asked != nil {
		s.cfg.Streaming.Asked()
	}
	if s.streams && s.off == len(s.buf) {
		s.dispatch() // else readBody does, with what is here already: mostly the whole body
	}
	if expecting && s.state.Load()&evEnd == 0 {
		// Only now: a request that was refused at once gets no 100, and the
		// client need not send its body.
		s.respond.expecting.Store(false)
		s.write(continueAnswer, nil)
	}
	return s.phase == phaseBody
}

var continueAnswer = []byte("HTTP/1.1 100 Continue\r\n\r\n")

func tooLarge() *Error {
	return &Error{Status: 413, Reason: "the request body is larger than the limit"}
}

// readBody takes body bytes from p and returns how many it consumed; done after the
// last. If it refuses the request the phase is another one afterwards.
func (s *Session) readBody(p []byte) (consumed int, done bool) {
	if len(p) == 0 {
		return 0, false
	}
	body := s.x.Body
	if s.respond.expecting.Load() {
		s.respond.expecting.Store(false)
	}
	for consumed < len(p) && !done {
		n, data, end, err := s.decode(p[consumed:])
		if err == nil && body == nil {
			if s.drained += int64(n); s.drained > maxDrain && s.isChunked {
				s.linger()
				return len(p), false
			}
		}
		if err == nil && body != nil {
			switch {
			case s.isChunked && body.Received()+int64(len(data)) > s.cfg.Body-s.chunked.Left():
				// The chunk's size says so before its data comes.
				err = tooLarge()
			case len(data) > 0:
				if e := body.Stage(data); e != nil {
					err = &Error{Status: 500, Reason: e.Error()}
					if s.cfg.Problem != nil {
						s.cfg.Problem(e)
					}
				}
			}
		}
		if err != nil {
			s.refuse(err)
			return len(p), false
		}
		if n == 0 && !end {
			break
		}
		consumed += n
		done = end
	}
	if done {
		return consumed, true
	}
	s.readWithin(s.cfg.BodyTimeout)
	if body == nil {
		return consumed, false
	}
	if !s.dispatched && s.streams {
		s.dispatch()
	}
	if consumed == 0 {
		return consumed, false
	}
	body.Wake()
	if !s.spilling && body.Spilled() {
		s.spilling = true
		s.tr.Spilling()
	}
	return consumed, false
}

// decode takes the framing off: it consumes n bytes of p, and data of them is body.
func (s *Session) decode(p []byte) (n int, data []byte, end bool, err *Error) {
	if s.isChunked {
		return s.chunked.Next(p)
	}
	n = int(min(int64(len(p)), s.bodyLeft))
	s.bodyLeft -= int64(n)
	return n, p[:n], s.bodyLeft == 0, nil
}

// bodyComplete is called after the last byte of a body was consumed.
func (s *Session) bodyComplete() {
	s.respond.bodyOpen.Store(false)
	s.spilling = false
	s.readBy = 0
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

// nextRequest makes the connection wait for, or go on with, the next request.
func (s *Session) nextRequest() {
	s.phase = phaseHead
	s.cfg = s.all.Load()
	if s.off == len(s.buf) {
		s.buf, s.off = putBuffer(s.buf), 0
	} else {
		s.shift()
		s.state.Or(evInput) // go on in handle, not by recursion
	}
	s.awaitHead()
}

// awaitHead starts the time the client has for its next request.
func (s *Session) awaitHead() {
	switch {
	case s.pendingAt < len(s.pending):
		s.readBy = 0 // it has an answer to take first
	case s.respond.closing.Load():
		// A request may be on its way already: it still gets its answer.
		s.readWithin(shutdownGrace)
	case s.off == len(s.buf):
		s.readWithin(s.cfg.IdleTimeout)
	default:
		s.readWithin(s.cfg.HeaderTimeout)
	}
}
