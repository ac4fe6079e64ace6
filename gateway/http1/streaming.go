package http1

import "sync/atomic"

// Streaming says what the application wants of a request's body: to read it while it arrives, as one on an event loop
// does, or to find it complete, within Config.BufferBody. It may change while sessions run; the zero Streaming says complete.
type Streaming struct {
	// Asked is called by a connection's owner when a body begins whose request waits for an answer of Set; nil is allowed.
	// It must not block.
	Asked func()

	state atomic.Uint32
}

const (
	streamingNo uint32 = iota
	streamingYes
	streamingUnknown
)

// Set says which it is. Registry.Reconsider tells those that wait for it.
func (s *Streaming) Set(streams bool) {
	if streams {
		s.state.Store(streamingYes)
	} else {
		s.state.Store(streamingNo)
	}
}

// Forget says that nobody knows: requests wait for their bodies, or for Set, whichever comes first.
func (s *Streaming) Forget() { s.state.Store(streamingUnknown) }

// Known is whether Set was called since Forget.
func (s *Streaming) Known() bool { return s.state.Load() != streamingUnknown }

// decide finds out whether the responder gets the request before its body is complete.
func (s *Session) decide() {
	s.streams, s.undecided = true, false
	if n := s.cfg.BufferBody; n == 0 || s.x.Request.ContentLength > n {
		return
	}
	state := streamingNo
	if s.cfg.Streaming != nil {
		state = s.cfg.Streaming.state.Load()
	}
	s.streams, s.undecided = state == streamingYes, state == streamingUnknown
}

// reconsider lets a request go whose body was waited for in case the application wants it so.
func (s *Session) reconsider() {
	if s.phase != phaseBody || s.dispatched || s.x.Body == nil {
		s.undecided = false
		return
	}
	if s.decide(); s.streams {
		s.dispatch()
	}
}

// Reconsider tells all sessions that Config.Streaming was Set.
func (g *Registry) Reconsider() {
	g.mu.Lock()
	var reading []*Session
	for _, s := range g.sessions {
		if s.ReadingBody() {
			reading = append(reading, s)
		}
	}
	g.mu.Unlock()
	for _, s := range reading {
		s.post(evInput)
	}
}
