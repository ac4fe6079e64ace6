package http1

import (
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
	// CloseWrite sends FIN after what Write took, and keeps reading (RFC 9112 §9.6). false:
	// the client must drain first; the edge then calls Session.Writable, and the session
	// asks again. Calling it again after true does nothing.
	CloseWrite() bool
	// Spilling says that the rest of this request's body goes to disk.
	Spilling()
	// Close ends the connection; the edge then calls Session.Closed.
	Close()
}

// PipeTransport is a Transport that can send what waits in a pipe. Called as Write is.
type PipeTransport interface {
	// Splice moves up to n bytes from a pipe to the client and returns how many were taken, as Write does.
	Splice(pipe, n int) (int, error)
}

// Config is what all sessions of a gateway share. It is not changed once a Shared has it.
type Config struct {
	Limits Limits
	// Body is the most bytes a request body may have; more is 413.
	Body int64
	// BufferBody is the size up to which a body is complete before the responder is called. A chunked
	// one is in any case, unless it is 0: CGI's variables want its length (RFC 3875 §4.1.2), and
	// applications that trust them read nothing of a body without.
	BufferBody int64
	// Streaming says whether the application wants bodies so; nil: it does.
	Streaming *Streaming
	// BodyMemory is what of one body may wait in memory; the rest goes to a
	// file in SpoolDir.
	BodyMemory int
	SpoolDir   string

	// Timeouts: a whole head, a byte of a body, the next request, a byte taken by the
	// client. 0 is none.
	HeaderTimeout, BodyTimeout, IdleTimeout, WriteTimeout time.Duration

	// Close ends every connection with its next answer: the gateway is to be left alone.
	Close bool

	Responder exchange.Responder
	Budget    *exchange.Budget
	Clock     *Clock
	// Problem is told what the operator should know: the disk for bodies fails. It must not block.
	Problem func(error)
	// Done is called by the connection's owner when an exchange has ended, with the request
	// still readable; its Status is 0 if the client left before there was an answer. It
	// must not block.
	Done func(x *exchange.Exchange)
}

// Shared is the Config that sessions go by, each from its next request on when it is exchanged. Safe for concurrent use.
type Shared struct{ now atomic.Pointer[Config] }

// NewShared makes a Shared with that Config.
func NewShared(c *Config) *Shared {
	s := &Shared{}
	s.now.Store(c)
	return s
}

// Load returns the present Config.
func (s *Shared) Load() *Config { return s.now.Load() }

// Store exchanges the Config; Budget and Clock must stay the same.
func (s *Shared) Store(c *Config) { s.now.Store(c) }

// Limits of a connection that no one should need to set.
const (
	maxCarry   = 1 << 20 // input that waits behind an answer
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
	evRoom
	owned
)

// What the session reads next.
type phase uint8

const (
	phaseHead   phase = iota
	phaseBody         // the current request's body; without an exchange it is thrown away
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
	cfg   *Config // changes only between two requests
	all   *Shared // where the next one comes from
	tr    Transport
	peer  exchange.Peer
	state atomic.Uint32

	feedMu sync.Mutex
	fed    []byte // input that came while another goroutine was owner

	// The owner's.
	phase      phase
	buf        []byte // input; the current request's slices point into it
	off        int    // buf[off:] was not consumed
	parser     Parser
	chunked    Chunked
	streams    bool // the responder gets the request before its body is complete
	undecided  bool // streams may change, see Streaming
	isChunked  bool
	bodyLeft   int64
	drained    int64 // of a body that is thrown away
	spilling   bool  // the body under way goes to disk
	dispatched bool  // Respond was called and the answer has not ended
	started    bool  // first byte of a head was seen
	override   *Error
	pending    []byte // answer bytes that the client has not taken
	pendingAt  int
	waiting    bool  // WaitWritable was asked
	starving   bool  // the responder has bytes in a pipe and waits for room
	bodyOut    int64 // body bytes of this answer that the owner was given
	credited   int64 // of those, reported as gone

	readBy, writeBy time.Duration // deadlines on the clock; 0: none
	relieved        time.Duration // what writeBy was when the responder last was told of room
	armed           time.Duration // what deadline was set to
	deadline        atomic.Int64  // no later than the earliest of them; 0: none

	x       exchange.Exchange
	respond answer
	index   int // in the Registry
}

// NewSession makes the session of a connection that was just accepted.
func NewSession(all *Shared, tr Transport, peer exchange.Peer) *Session {
	cfg := all.Load()
	s := &Session{cfg: cfg, all: all, tr: tr, peer: peer, index: -1}
	s.x.Peer = &s.peer
	s.respond.s = s
	s.readWithin(cfg.HeaderTimeout)
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

// ReadingBody is whether a request's body is arriving, so that much may be waiting to be read. From any
// goroutine; the answer may be old by the time it is used.
func (s *Session) ReadingBody() bool { return s.respond.bodyOpen.Load() }

// Writable says that the transport takes bytes again, or sent FIN. Called by the edge once
// for each WaitWritable; calls without need do no harm.
func (s *Session) Writable() { s.post(evWritable) }

// Closed says that the client is gone or the transport was closed. Called by
// the edge, from any goroutine.
func (s *Session) Closed() { s.post(evClosed) }

// Shutdown ends the connection after the exchange under way, or after a moment if there
// is none.
func (s *Session) Shutdown() { s.post(evShutdown) }

// post leaves an event for the owner, or becomes the owner and handles it.
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

// release gives ownership up once no events are left. An unowned session has none, so
// none is ever lost.
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

// handle does what events ask for. The order matters: what was flushed leaves before the end of
// the answer, input and answers count before the connection's end.
func (s *Session) handle(ev uint32) {
	if ev&evFlush != 0 {
		s.takeHand()
	}
	if ev&evWritable != 0 {
		s.waiting = false
		s.writePending()
	}
	if ev&evRoom != 0 && s.dispatched {
		s.starve()
	}
	if ev&evInput != 0 {
		s.feedMu.Lock()
		p := s.fed
		s.fed = nil
		s.feedMu.Unlock()
		s.input(p)
	}
	if ev&evEnd != 0 && s.dispatched {
		s.end()
	}
	if ev&evTimeout != 0 {
		s.timeout()
	}
	if ev&evShutdown != 0 {
		s.respond.closing.Store(true)
		if s.phase == phaseHead && !s.started && !s.blocked() {
			s.awaitHead()
		}
	}
	if ev&evClosed != 0 {
		s.close()
	}
}
