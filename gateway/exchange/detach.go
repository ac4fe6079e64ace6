package exchange

import "sync"

// Detached is an exchange whose responder is found after Respond has returned, on another goroutine: after a look at
// a disk, or a question to another server. It is the edge's Source until the responder's takes over, and whoever answers
// sees a copy, as the edge's own belongs to the edge.
type Detached struct {
	Exchange // for who answers; its Request is the original's until the end of the exchange
	origin   *Exchange

	mu        sync.Mutex
	source    Source // of who answers; nil: nobody does yet
	drained   int    // reported before
	called    bool   // Drained was, before
	cancelled bool
}

// Detach takes x, inside Respond. Give must follow.
func Detach(x *Exchange) *Detached {
	d := &Detached{origin: x}
	d.Request, d.Peer, d.Body, d.Accepted = x.Request, x.Peer, x.Body, x.Accepted
	d.Writer = settling{x.Writer, d}
	x.Source = d
	return d
}

// Gone is whether the client has left; who finds that may give the exchange to nobody and end it instead.
func (d *Detached) Gone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cancelled
}

// Give lets r answer. Called once, on any goroutine; r must not block.
func (d *Detached) Give(r Responder) {
	r.Respond(&d.Exchange)
	d.mu.Lock()
	source := d.Source
	d.source = source
	drained, called, cancelled := d.drained, d.called, d.cancelled
	d.mu.Unlock()
	if called {
		source.Drained(drained)
	}
	if cancelled {
		source.Cancelled()
	}
}

// Drained implements Source.
func (d *Detached) Drained(n int) {
	d.mu.Lock()
	source := d.source
	if source == nil {
		d.drained += n
		d.called = true
	}
	d.mu.Unlock()
	if source != nil {
		source.Drained(n)
	}
}

// Cancelled implements Source.
func (d *Detached) Cancelled() {
	d.mu.Lock()
	source := d.source
	d.cancelled = true
	d.mu.Unlock()
	if source != nil {
		source.Cancelled()
	}
}

// settling tells the original, before the exchange ends, what is logged and measured of it.
type settling struct {
	Writer
	d *Detached
}

func (s settling) settle() {
	x, d := s.d.origin, &s.d.Exchange
	x.Dispatched, x.Worker = d.Dispatched, d.Worker
}

// Answer implements Writer.
func (s settling) Answer(status int, fields []Field, body []byte) error {
	s.settle()
	return s.Writer.Answer(status, fields, body)
}

// AnswerShared implements SharedAnswerer.
func (s settling) AnswerShared(status int, fields []Field, body []byte) error {
	s.settle()
	return AnswerShared(s.Writer, status, fields, body)
}

// BodyPipe implements PipeTaker.
func (s settling) BodyPipe(pipe, n int) (int, bool) { return BodyPipe(s.Writer, pipe, n) }

// End implements Writer.
func (s settling) End() {
	s.settle()
	s.Writer.End()
}

// Abort implements Writer.
func (s settling) Abort(status int, reason string) {
	s.settle()
	s.Writer.Abort(status, reason)
}
