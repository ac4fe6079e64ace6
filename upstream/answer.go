package upstream

import (
	"errors"
	"fmt"
	"io"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// headMost is the most bytes that the head of an answer may have; one line may be as long.
const headMost = 1 << 20

// answer is what was read of one.
type answer struct {
	decoder  fcgi.Decoder
	head     fcgi.CGIHead
	headDone bool
	headSent bool   // and body goes on at once
	pending  []byte // body that came with the head, in one read
	heard    bool   // something came on STDOUT
	ended    bool   // END_REQUEST was read
	trailing int    // bytes behind END_REQUEST
	errors   errorText
	list     []exchange.Field
}

// fields are the head's, without Status.
func (a *answer) fields() []exchange.Field {
	a.list = a.list[:0]
	for name, value := range a.head.Fields() {
		a.list = append(a.list, exchange.Field{Name: name, Value: value})
	}
	return a.list
}

// failure is a cause with its kind.
type failure struct {
	kind  Failure
	cause error
}

func (f *failure) Error() string { return f.cause.Error() }

func fail(kind Failure, format string, args ...any) error {
	return &failure{kind, fmt.Errorf(format, args...)}
}

// read takes the answer to its END_REQUEST. It reads only while the client's window is open.
func (r *request) read(c *conn) (Failure, error) {
	r.answer.head.Limit = headMost
	buffer := readBuffers.Get().(*readBuffer)
	defer readBuffers.Put(buffer)
	window := r.u.Budget.Window()
	start, end := 0, 0
	for !r.answer.ended {
		if !r.awaitWindow(window) {
			err := r.whyInterrupted()
			return kindOf(err), err
		}
		end = copy(buffer[:], buffer[start:end])
		n, err := r.readSome(c, buffer[end:])
		if err != nil {
			return kindOf(err), err
		}
		end += n
		used, err := r.records(buffer[:end])
		if err != nil {
			return kindOf(err), err
		}
		start = used
	}
	r.answer.trailing = end - start
	return 0, nil
}

func kindOf(err error) Failure {
	var f *failure
	if errors.As(err, &f) {
		return f.kind
	}
	return FailDied
}

// awaitWindow waits until the client has taken enough; false: the request was interrupted.
func (r *request) awaitWindow(window int) bool {
	for {
		r.mu.Lock()
		open, interrupted := r.owed < window, r.interrupted
		r.mu.Unlock()
		if interrupted || open {
			return !interrupted
		}
		select {
		case <-r.drained:
		case <-r.ctx.Done():
			return false
		}
	}
}

// readSome reads once, for as long as the responder has.
func (r *request) readSome(c *conn, p []byte) (int, error) {
	u := r.u
	limit, from := u.ReadTimeout, u.Now()
	if !r.answer.heard {
		limit = u.FirstByteTimeout
	}
	for {
		sent := time.Duration(r.sentAt.Load())
		// As long as the request is on its way the sender looks at the time.
		wait := limit
		if sent != 0 {
			wait = max(from, sent) + limit - u.Now()
			if !r.answer.heard {
				wait = sent + limit - u.Now() // error output is no answer
			}
			if wait <= 0 {
				return 0, fail(FailTimeout, "nothing was read for %s", limit)
			}
		}
		if !r.arm(c.SetReadDeadline, wait) {
			return 0, r.whyInterrupted()
		}
		n, err := c.Read(p)
		switch {
		case n > 0:
			return n, nil
		case isTimeout(err):
			r.mu.Lock()
			interrupted := r.interrupted
			r.mu.Unlock()
			if interrupted {
				return 0, r.whyInterrupted()
			}
		case errors.Is(err, io.EOF):
			return 0, fail(FailDied, "it was closed before END_REQUEST")
		default:
			return 0, fail(FailDied, "%w", err)
		}
	}
}

func (r *request) whyInterrupted() error {
	if r.late.Load() && !r.gone() {
		return fail(FailTimeout, "nothing of the request was taken for %s", r.u.ReadTimeout)
	}
	return errInterrupted
}

// records handles all whole records in p, and returns how much they were. What came of the answer leaves then.
func (r *request) records(p []byte) (used int, err error) {
	a := &r.answer
	for !a.ended {
		n, rec, ok, err := a.decoder.Next(p[used:])
		if err != nil {
			return used, fail(FailProtocol, "%w", err)
		}
		if !ok {
			break
		}
		used += n
		if err := r.record(rec); err != nil {
			return used, err
		}
	}
	if a.ended || !a.headDone {
		return used, nil
	}
	if !a.headSent {
		if err := r.x.Writer.Head(a.head.Status(), a.fields()); err != nil {
			return used, fail(FailAnswerHead, "%w", err)
		}
		a.headSent = true
		r.pass(a.pending)
		a.pending = nil
	}
	r.x.Writer.Flush()
	return used, nil
}

// pass gives body bytes to the client.
func (r *request) pass(p []byte) {
	r.mu.Lock()
	r.owed += len(p)
	r.mu.Unlock()
	r.x.Writer.Body(p)
}

func (r *request) record(rec fcgi.Record) error {
	a := &r.answer
	if rec.ID != requestID {
		return fail(FailProtocol, "%s record for request %d, which was not asked", rec.Type, rec.ID)
	}
	switch rec.Type {
	case fcgi.TypeStdout:
		return r.stdout(rec.Content)
	case fcgi.TypeStderr:
		a.errors.add(&r.u.output, r.x.Worker, rec.Content)
		return nil
	case fcgi.TypeEndRequest:
		end, err := fcgi.DecodeEndRequest(rec.Content)
		if err != nil {
			return fail(FailProtocol, "%w", err)
		}
		return r.end(end)
	}
	return fail(FailProtocol, "%s record, which no responder sends in a request", rec.Type)
}

func (r *request) stdout(p []byte) error {
	a := &r.answer
	if len(p) == 0 {
		return nil // the stream's end; END_REQUEST follows
	}
	a.heard = true
	if !a.headDone {
		n, done, err := a.head.Feed(p)
		if err != nil {
			return fail(FailAnswerHead, "%w", err)
		}
		if !done {
			return nil
		}
		if s := a.head.Status(); s < 200 {
			return fail(FailAnswerHead, "status %d is not that of a final answer (RFC 9110 §15.2)", s)
		}
		a.headDone = true
		p = p[n:]
	}
	if a.headSent {
		r.pass(p)
	} else {
		a.pending = append(a.pending, p...)
	}
	return nil
}

func (r *request) end(end fcgi.EndRequest) error {
	a := &r.answer
	switch end.ProtocolStatus {
	case fcgi.StatusRequestComplete:
	case fcgi.StatusOverloaded:
		return fail(FailOverloaded, "END_REQUEST says %s", end.ProtocolStatus)
	default:
		return fail(FailRefused, "END_REQUEST says %s", end.ProtocolStatus)
	}
	if !a.headDone {
		return fail(FailNoAnswer, "END_REQUEST came before the end of a head; appStatus is %d", end.AppStatus)
	}
	if end.AppStatus != 0 {
		r.u.Log.Warn("a responder's program ended with an error", "address", r.x.Worker, "appStatus", end.AppStatus)
	}
	a.ended = true
	return nil
}
