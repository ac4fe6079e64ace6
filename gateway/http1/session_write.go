package http1

// Writing: what the client does not take waits in pending, and the responder gets credit as it
// leaves.

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
		s.writeWithin(s.cfg.WriteTimeout)
	}
	rest := len(a) + len(b) - n
	if len(s.pending)+rest > cap(s.pending) && s.pendingAt >= len(s.pending)-s.pendingAt {
		// A client that is slow but steady never empties it.
		s.pending = s.pending[:copy(s.pending, s.pending[s.pendingAt:])]
		s.pendingAt = 0
	}
	if n < len(a) {
		s.pending = append(s.pending, a[n:]...)
		n = 0
	} else {
		n -= len(a)
	}
	s.pending = append(s.pending, b[n:]...)
	s.cfg.Budget.Hold(rest)
	s.wait()
}

func (s *Session) wait() {
	if !s.waiting {
		s.waiting = true
		s.tr.WaitWritable()
	}
}

// takeHand writes what was flushed while another goroutine was owner.
func (s *Session) takeHand() {
	r := &s.respond
	r.handMu.Lock()
	hand, n := r.hand, r.handBody
	r.hand, r.handBody = nil, 0
	r.handMu.Unlock()
	s.bodyOut += n
	s.write(hand, nil)
	s.credit()
}

// writePending goes on with what the client had not taken.
func (s *Session) writePending() {
	if s.phase == phaseDead {
		return
	}
	if s.pendingAt == len(s.pending) {
		s.relieve()
		if s.phase == phaseLinger && s.readBy == 0 {
			s.linger() // FIN was still to come
		}
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
			s.writeWithin(s.cfg.WriteTimeout)
		}
		s.credit()
		s.wait()
		return
	}
	s.pending, s.pendingAt = nil, 0
	s.writeBy = 0
	s.credit()
	s.relieve()
	switch s.phase {
	case phaseLinger:
		s.linger()
	case phaseHead:
		s.awaitHead()
		s.advance()
	}
}

// dropPending forgets what will never be sent.
func (s *Session) dropPending() {
	s.cfg.Budget.Hold(-(len(s.pending) - s.pendingAt))
	s.pending, s.pendingAt = nil, 0
}

// credit tells the responder how much more of its body has left. Heads and chunk sizes in
// pending count as if they were body: credit comes late by that, never early.
func (s *Session) credit() {
	if !s.dispatched || s.x.Source == nil {
		return
	}
	gone := s.bodyOut - int64(len(s.pending)-s.pendingAt)
	if n := gone - s.credited; n > 0 {
		s.credited = gone
		s.x.Source.Drained(int(n))
	}
}

// splice sends from a pipe, behind all that was gathered; the responder hears of room if not all of it is taken.
func (s *Session) splice(t PipeTransport, pipe, n int) int {
	r := &s.respond
	r.handOver(nil)
	if s.phase == phaseDead {
		return 0
	}
	if s.pendingAt < len(s.pending) {
		s.starving = true
		return 0
	}
	sent, err := t.Splice(pipe, n)
	if err != nil {
		s.close()
		return 0
	}
	r.left -= int64(sent)
	r.bodyBytes += int64(sent)
	if sent == n {
		s.writeBy, s.relieved = 0, 0
		return sent
	}
	switch {
	case sent == 0 && s.relieved != 0:
		// There was no room after all; only bytes give the client new time.
		s.writeBy = s.relieved
		s.arm(s.writeBy)
	case sent > 0 || s.writeBy == 0:
		s.writeWithin(s.cfg.WriteTimeout)
	}
	s.relieved = 0
	s.starving = true
	s.wait()
	return sent
}

// starve notes that the responder wants to hear of room; maybe there is some.
func (s *Session) starve() {
	s.starving = true
	if s.pendingAt == len(s.pending) && !s.waiting {
		s.relieve()
	}
}

// relieve tells the responder that there is room, if it waits for some. From now on the client is not who is slow.
func (s *Session) relieve() {
	if !s.starving {
		return
	}
	s.starving = false
	s.writeBy, s.relieved = 0, s.writeBy
	if s.dispatched && s.x.Source != nil {
		s.x.Source.Drained(0)
	}
}
