package http1

import (
	"sync"
	"sync/atomic"
)

// Registry knows the open sessions: it finds those whose deadline has passed, and
// reaches all at shutdown. Safe for concurrent use.
type Registry struct {
	clock *Clock
	count atomic.Int64

	mu       sync.Mutex
	most     int
	sessions []*Session
	closing  bool
	empty    chan struct{}
}

// NewRegistry makes a registry that admits at most most sessions.
func NewRegistry(clock *Clock, most int) *Registry {
	return &Registry{clock: clock, most: most, empty: make(chan struct{})}
}

// SetMost changes how many sessions are admitted; those that are open stay.
func (g *Registry) SetMost(most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = most
}

// Most is how many sessions are admitted.
func (g *Registry) Most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// Add admits a session; false means that there are too many, or that the gateway is
// stopping: the edge closes the connection.
func (g *Registry) Add(s *Session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing || len(g.sessions) >= g.most {
		return false
	}
	s.index = len(g.sessions)
	g.sessions = append(g.sessions, s)
	g.count.Store(int64(len(g.sessions)))
	return true
}

// Remove forgets a session whose transport is closed.
func (g *Registry) Remove(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.index < 0 {
		return
	}
	last := len(g.sessions) - 1
	moved := g.sessions[last]
	g.sessions[s.index] = moved
	moved.index = s.index
	g.sessions[last] = nil
	g.sessions = g.sessions[:last]
	s.index = -1
	g.count.Store(int64(last))
	if g.closing && last == 0 {
		close(g.empty)
	}
}

// Len is the number of open connections.
func (g *Registry) Len() int { return int(g.count.Load()) }

// expireStep bounds how long one scan holds the lock that accepting needs too.
const expireStep = 1024

func (g *Registry) expire() {
	now := int64(g.clock.Coarse())
	var due []*Session
	for from := 0; ; from += expireStep {
		g.mu.Lock()
		if from >= len(g.sessions) {
			g.mu.Unlock()
			break
		}
		for _, s := range g.sessions[from:min(from+expireStep, len(g.sessions))] {
			if at := s.deadline.Load(); at != 0 && at <= now {
				due = append(due, s)
			}
		}
		g.mu.Unlock()
	}
	for _, s := range due {
		s.post(evTimeout)
	}
}

// Shutdown lets every session end its exchange and returns a channel that is closed when
// all are gone.
func (g *Registry) Shutdown() <-chan struct{} {
	g.mu.Lock()
	if !g.closing {
		g.closing = true
		if len(g.sessions) == 0 {
			close(g.empty)
		}
	}
	all := append([]*Session(nil), g.sessions...)
	g.mu.Unlock()
	for _, s := range all {
		s.Shutdown()
	}
	return g.empty
}

// CloseAll ends every session at once.
func (g *Registry) CloseAll() {
	g.mu.Lock()
	all := append([]*Session(nil), g.sessions...)
	g.mu.Unlock()
	for _, s := range all {
		s.Closed()
	}
}
