package http1

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"pyspeed/gateway/exchange"
)

// answer is the Writer of a session's current exchange. One goroutine at a
// time calls its methods; they gather into out, and Flush and End hand that over to
// the connection's owner.
type answer struct {
	s      *Session
	out    []byte
	shared []byte // the end of the body, after out: memory of the responder's that nobody changes

	// What Head needs to know of the request, copied so that the owner may go on.
	minor     uint8
	head      bool // a HEAD request: no body in the answer
	keepAlive bool
	expects   int64 // the request body's length, -1 unknown

	status    int
	headSent  bool // a final head was gathered
	framing   Framing
	left      int64 // body bytes that the Content-Length still allows
	bodyBytes int64
	gathered  int64 // body bytes that the owner was not told of
	handed    bool  // some of the final answer may be with the client
	complete  bool  // the responder ended it, and its framing is whole
	close     bool  // no request can follow
	cut       bool  // it is not complete: end the connection, not the framing

	bodyOpen  atomic.Bool // the request's body has not arrived whole
	expecting atomic.Bool // and the client waits for 100 before it sends it
	closing   atomic.Bool // no request after this one
	dead      atomic.Bool // the client is gone

	handMu   sync.Mutex
	hand     []byte // flushed while another goroutine was owner
	handBody int64  // what of gathered belongs to it
}

// begin makes the answer ready for a request. Called by the owner.
func (r *answer) begin(req *exchange.Request) {
	r.minor, r.keepAlive, r.expects = req.Minor, req.KeepAlive, req.ContentLength
	r.head = string(req.Method) == "HEAD"
	r.status, r.headSent, r.left, r.bodyBytes, r.gathered = 0, false, -1, 0, 0
	r.handed, r.complete, r.close, r.cut = false, false, false, false
	r.framing = FramingNone
}

// reuse decides, before the head is written, whether the connection persists
// (RFC 9112 §9.3): not when more of the request's body is on its way than
// is worth reading.
func (r *answer) reuse() bool {
	switch {
	case !r.keepAlive || r.closing.Load() || r.s.all.Load().Close:
		return false
	case !r.bodyOpen.Load():
		return true
	case r.expecting.Load():
		// RFC 9110 §10.1.1: without a 100 the client may send the body or not; what
		// comes next cannot be told from it.
		return false
	case r.expects > maxDrain:
		body := r.s.x.Body
		return body == nil || r.expects-body.Received() <= maxDrain
	}
	return true
}

func (r *answer) Head(status int, fields []exchange.Field) error {
	return r.start(status, fields, -1)
}

// start gathers a head; length is the body's when it is known, else -1.
func (r *answer) start(status int, fields []exchange.Field, length int64) error {
	if r.headSent {
		return fmt.Errorf("cannot send a head of status %d: this answer has one already", status)
	}
	if r.out == nil {
		r.out = getBuffer()
	}
	h := AnswerHead{
		Minor: r.minor, Status: status, Fields: fields, Date: r.s.cfg.Clock.Date(),
		Length: length, KeepAlive: r.reuse(), HeadRequest: r.head,
	}
	out, err := AppendHead(r.out, &h)
	if err != nil {
		return err
	}
	if status < 200 {
		if r.minor > 0 { // RFC 9110 §15.2: never to an HTTP/1.0 client
			r.out = out
		}
		return nil
	}
	r.out = out
	r.headSent = true
	r.status = status
	r.close = !h.KeepAlive
	r.framing = h.Framing
	r.left = h.Length
	return nil
}

func (r *answer) Answer(status int, fields []exchange.Field, body []byte) error {
	if err := r.start(status, fields, int64(len(body))); err != nil {
		return err
	}
	if status >= 200 {
		r.Body(body)
		r.End()
	}
	return nil
}

// AnswerShared implements exchange.SharedAnswerer.
func (r *answer) AnswerShared(status int, fields []exchange.Field, body []byte) error {
	if len(body) < directWrite || status < 200 {
		return r.Answer(status, fields, body)
	}
	if err := r.start(status, fields, int64(len(body))); err != nil {
		return err
	}
	if r.framing != FramingLength || r.left != int64(len(body)) || r.dead.Load() {
		r.Body(body)
	} else {
		r.bodyBytes += r.left
		r.left = 0
		r.shared = body
	}
	r.End()
	return nil
}

func (r *answer) Body(p []byte) {
	if len(p) == 0 || !r.headSent {
		return
	}
	r.bodyBytes += int64(len(p))
	r.gathered += int64(len(p))
	switch {
	case r.framing == FramingNone || r.dead.Load():
		return
	case r.framing == FramingLength:
		// Never more than was announced: the rest would be read as the next answer (RFC 9112 §6.3).
		if int64(len(p)) > r.left {
			p = p[:r.left]
		}
		r.left -= int64(len(p))
	}
	if len(p) == 0 {
		return
	}
	if r.out == nil {
		r.out = getBuffer()
	}
	if r.framing == FramingChunked {
		r.out = AppendChunkSize(r.out, len(p))
	}
	if len(p) >= directWrite && r.s.state.CompareAndSwap(0, owned) {
		r.handOver(p)
		if r.framing == FramingChunked {
			r.out = append(r.out, "\r\n"...)
		}
		r.s.release()
		return
	}
	r.out = append(r.out, p...)
	if r.framing == FramingChunked {
		r.out = append(r.out, "\r\n"...)
	}
}

// BodyPipe implements exchange.PipeTaker: where the length was announced and the edge can.
func (r *answer) BodyPipe(pipe, n int) (int, bool) {
	s := r.s
	t, can := s.tr.(PipeTransport)
	if !can || r.framing != FramingLength || int64(n) > r.left {
		return 0, false
	}
	switch {
	case n == 0 || r.dead.Load():
		return 0, true
	case !s.state.CompareAndSwap(0, owned):
		// The owner has no time for this, or we are about to be it.
		s.post(evRoom)
		return 0, true
	}
	n = s.splice(t, pipe, n)
	s.release()
	return n, true
}

// handOver writes what was gathered, and p. Called by the owner.
func (r *answer) handOver(p []byte) {
	s := r.s
	r.handed = r.headSent
	s.bodyOut += r.gathered
	r.gathered = 0
	s.write(r.out, p)
	r.out = r.out[:0]
	s.credit()
}

func (r *answer) Flush() {
	if len(r.out) == 0 && r.gathered == 0 {
		return
	}
	s := r.s
	if s.state.CompareAndSwap(0, owned) {
		r.handOver(nil)
		s.release()
		return
	}
	r.handed = r.headSent
	r.handMu.Lock()
	r.hand = append(r.hand, r.out...)
	r.handBody += r.gathered
	r.handMu.Unlock()
	r.out, r.gathered = r.out[:0], 0
	s.post(evFlush)
}

func (r *answer) End() {
	switch {
	case !r.headSent:
		r.plain(http.StatusInternalServerError, "the application sent no answer")
	case r.framing == FramingLength && r.left > 0:
		// Shorter than announced: only the end of the connection tells the client.
		r.cut = true
	default:
		if r.framing == FramingChunked {
			r.out = AppendLastChunk(r.out)
		}
		r.complete = true
	}
	r.s.post(evEnd)
}

func (r *answer) Abort(status int, reason string) {
	if r.headSent && !r.handed {
		// The client has seen none of it: it can still get an answer that is whole.
		r.out = r.out[:0]
		r.headSent, r.status, r.bodyBytes = false, 0, 0
		r.framing, r.close = FramingNone, false
	}
	if r.headSent || status == 0 {
		r.cut = true
	} else {
		r.plain(status, reason)
	}
	r.s.post(evEnd)
}

// plain gathers the gateway's own answer: a line of text.
func (r *answer) plain(status int, reason string) {
	body := strconv.Itoa(status) + " " + StatusText(status) + "\n"
	if reason != "" && status < 500 {
		body += reason + "\n"
	}
	fields := plainFields[:1]
	if status == http.StatusServiceUnavailable {
		fields = plainFields
	}
	if err := r.start(status, fields, int64(len(body))); err != nil {
		r.cut = true
		return
	}
	if !r.head {
		r.out = append(r.out, body...)
		r.bodyBytes += int64(len(body))
		r.left = 0
	}
}

var plainFields = []exchange.Field{
	{Name: []byte("Content-Type"), Value: []byte("text/plain; charset=utf-8")},
	{Name: []byte("Retry-After"), Value: []byte("1")},
}
