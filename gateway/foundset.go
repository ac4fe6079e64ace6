package gateway

import (
	"sync"
	"sync/atomic"

	"pyspeed/gateway/exchange"
	"pyspeed/static"
)

// foundSet is a set of folders that is closed when it is out of use and the last request for them has ended: an application that is deployed
// often has others each time, and the system gives a process few instances of inotify.
type foundSet struct {
	*static.Set
	uses   atomic.Int64 // requests under way, and one as long as the set is in use; 0: it is closed
	once   sync.Once
	closed func(*foundSet)
}

// newFoundSet is in use until leave is called once; closed is told then, on a goroutine of its own.
func newFoundSet(set *static.Set, closed func(*foundSet)) *foundSet {
	s := &foundSet{Set: set, closed: closed}
	s.uses.Store(1)
	return s
}

// enter keeps the set open until leave; false: it is closed.
func (s *foundSet) enter() bool {
	for {
		n := s.uses.Load()
		if n == 0 {
			return false
		}
		if s.uses.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *foundSet) leave() {
	if s.uses.Add(-1) == 0 {
		go s.close() // who ends a request must not block
	}
}

func (s *foundSet) close() {
	s.once.Do(func() {
		s.Set.Close()
		s.closed(s)
	})
}

// sites are the responders, in the order of the settings; app answers what they pass on.
func (s *foundSet) sites(app exchange.Responder) []exchange.Responder {
	list := s.Sites(passedOn{app})
	for i, site := range list {
		list[i] = foundSite{s, site, app}
	}
	return list
}

// foundSite counts the requests for a folder.
type foundSite struct {
	set       *foundSet
	site, app exchange.Responder
}

// Respond implements exchange.Responder.
func (f foundSite) Respond(x *exchange.Exchange) {
	if !f.set.enter() {
		f.app.Respond(x) // it came by sessions as they were before
		return
	}
	x.Writer = counted{x.Writer, f.set}
	f.site.Respond(x)
}

// passedOn is the application, for requests that turned out to be for no file at once. One that a look at the disk came before stays
// counted until its end, as its Writer is no longer ours to change.
type passedOn struct{ app exchange.Responder }

// Respond implements exchange.Responder.
func (p passedOn) Respond(x *exchange.Exchange) {
	if c, ok := x.Writer.(counted); ok {
		x.Writer = c.Writer
		c.set.leave()
	}
	p.app.Respond(x)
}

// counted is the Writer of a request for a folder.
type counted struct {
	exchange.Writer
	set *foundSet
}

// Answer implements exchange.Writer.
func (c counted) Answer(status int, fields []exchange.Field, body []byte) error {
	err := c.Writer.Answer(status, fields, body)
	if err == nil {
		c.set.leave()
	}
	return err
}

// AnswerShared implements exchange.SharedAnswerer.
func (c counted) AnswerShared(status int, fields []exchange.Field, body []byte) error {
	err := exchange.AnswerShared(c.Writer, status, fields, body)
	if err == nil {
		c.set.leave()
	}
	return err
}

// BodyPipe implements exchange.PipeTaker.
func (c counted) BodyPipe(pipe, n int) (int, bool) { return exchange.BodyPipe(c.Writer, pipe, n) }

// End implements exchange.Writer.
func (c counted) End() {
	c.Writer.End()
	c.set.leave()
}

// Abort implements exchange.Writer.
func (c counted) Abort(status int, reason string) {
	c.Writer.Abort(status, reason)
	c.set.leave()
}
