package exchange

import "time"

// Field is one header field (RFC 9110 §5). In a Request both slices point into
// the connection's buffer and are valid until the exchange ends.
type Field struct {
	Name, Value []byte
}

// Request is one parsed and validated request head.
//
// All byte slices stay valid, and unchanged, until the answer's End or Abort.
type Request struct {
	Method []byte // a token (RFC 9110 §9.1), case kept
	Target []byte // the request-target as it was sent (RFC 9112 §3.2)
	// RawPath is the target's path before decoding; Path is decoded exactly
	// once (RFC 3986 §2.1). They share memory when nothing was encoded.
	RawPath, Path []byte
	Query         []byte // without the "?"; nil when there was none
	Authority     []byte // from absolute-form, else from Host; may be empty (HTTP/1.0)
	Fields        []Field
	Minor         uint8 // the x of HTTP/1.x
	// ContentLength is the body's length; 0 when there is none, -1 when it is
	// chunked and so not known before its end.
	ContentLength  int64
	ExpectContinue bool // Expect: 100-continue (RFC 9110 §10.1.1)
	// KeepAlive is whether the client's version and Connection field let the
	// connection persist (RFC 9112 §9.3).
	KeepAlive bool
	TLS       bool
}

// Get returns the value of the first field of that name (lower case), or nil.
func (r *Request) Get(name string) []byte {
	for i := range r.Fields {
		if EqualFold(r.Fields[i].Name, name) {
			return r.Fields[i].Value
		}
	}
	return nil
}

// EqualFold compares a field name with a lower-case ASCII name.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(b) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Peer names the two ends of a connection, as text, so that no request has to
// format them again.
type Peer struct {
	RemoteAddr, RemotePort string // the client; a unix socket has "" and ""
	ServerName, ServerPort string // the listener; a unix socket's path and ""
}

// Exchange is one request on its way and the answer on its way back.
type Exchange struct {
	Request Request
	Peer    *Peer
	// Writer takes the answer. The edge sets it; a filter wraps it.
	Writer Writer
	// Source is set by the responder inside Respond, before it returns and
	// before its first call to Writer; the edge reports back to it.
	Source Source
	// Body is the request's body; nil when there is none.
	Body *Body
	// Slot is the responder's: whatever it keeps there is still there for the
	// connection's next request, which begins only after this one has ended.
	Slot any

	Accepted   time.Duration // monotonic, when the head was complete
	Dispatched time.Duration // when a worker was given it; 0: never
	Worker     string        // id of the worker that had it last
	Status     int           // what was sent; 0 until Head
	BytesOut   int64         // body bytes handed to Writer
}

// Responder answers requests.
type Responder interface {
	// Respond starts to answer x. Called by an edge, on its own goroutine; it
	// must not block. It may answer before it returns.
	Respond(x *Exchange)
}

// Writer takes one answer. One goroutine at a time calls it; no method blocks.
// After End or Abort the exchange belongs to the edge again and must not be
// touched.
type Writer interface {
	// Head starts the answer. A status in 100..199 is an informational answer,
	// and another Head follows. It reports an error, and sends nothing, when
	// a field is not allowed (RFC 9110 §5.5); the responder may then send another
	// head. The fields are only read during the call.
	Head(status int, fields []Field) error
	// Answer sends a complete answer: Head, Body and End in one, so that the
	// length is known. After an error nothing was sent and the exchange goes on.
	Answer(status int, fields []Field, body []byte) error
	// Body appends to the answer's body; p is only read during the call.
	Body(p []byte)
	// Flush sends what Head and Body have gathered.
	Flush()
	// End completes the answer.
	End()
	// Abort ends an answer that cannot be completed: with status if no head
	// was sent, else by closing the connection so that the client notices
	// (RFC 9112 §8).
	Abort(status int, reason string)
}

// SharedAnswerer is a Writer that can send memory which nobody changes without a copy of its own.
type SharedAnswerer interface {
	// AnswerShared is Writer.Answer with a body that stays as it is for good.
	AnswerShared(status int, fields []Field, body []byte) error
}

// AnswerShared is w.Answer with a body that nobody will ever change: where w is an edge's, it is not copied.
func AnswerShared(w Writer, status int, fields []Field, body []byte) error {
	if s, ok := w.(SharedAnswerer); ok {
		return s.AnswerShared(status, fields, body)
	}
	return w.Answer(status, fields, body)
}

// PipeTaker is a Writer that can send what waits in a pipe, which has the kernel's own pages of a file, without a copy of its own.
type PipeTaker interface {
	// BodyPipe is Writer.Body and Flush for n bytes of a pipe whose end to read is that descriptor. sent is how many the client
	// took, which may be none; the rest stays in the pipe. If it is less than n, Source.Drained is called when there is room again,
	// maybe with 0, or Source.Cancelled. ok is false, and nothing happens, where this answer's body has to be given by Writer.Body; no bytes
	// are enough to ask.
	BodyPipe(pipe, n int) (sent int, ok bool)
}

// BodyPipe is w.BodyPipe, where w has it.
func BodyPipe(w Writer, pipe, n int) (sent int, ok bool) {
	if t, can := w.(PipeTaker); can {
		return t.BodyPipe(pipe, n)
	}
	return 0, false
}

// Source is what an edge calls back while an answer is under way. Neither
// method may block; both may be called from any goroutine.
type Source interface {
	// Drained reports that n more body bytes left the gateway's memory; n is 0 only after BodyPipe.
	Drained(n int)
	// Cancelled reports that the client left. The responder still ends the
	// exchange with End or Abort.
	Cancelled()
}
