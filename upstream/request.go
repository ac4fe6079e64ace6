package upstream

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// requestID is the id of the one request that a connection carries.
const requestID = 1

// request is one exchange's way through an upstream. run, on a goroutine of its own, is the only one that
// touches x; the edge calls Drained, Cancelled and wake.
type request struct {
	u      *Upstream
	x      *exchange.Exchange
	body   *exchange.Body
	script script
	length int64 // of the body; -1: there is none

	ctx     context.Context // done when the client left
	leave   context.CancelFunc
	arrived chan struct{} // bytes or the end of the body
	drained chan struct{} // the client took something

	mu          sync.Mutex
	conn        *conn // which interrupt wakes
	interrupted bool
	owed        int // answer bytes that the client has not taken

	// The sender's, which is run or a goroutine beside it.
	sentAt   atomic.Int64 // when there was nothing more to send; 0: there is
	whole    atomic.Bool  // the request was sent whole
	late     atomic.Bool  // the responder took nothing of it for too long
	bodyErr  error        // read after sender
	cut      bool         // a write was not taken whole: records cannot follow; read after sender
	sender   chan struct{}
	stopping chan struct{} // tells the sender to stop

	answer answer
}

// Drained implements exchange.Source.
func (r *request) Drained(n int) {
	r.mu.Lock()
	r.owed -= n
	r.mu.Unlock()
	select {
	case r.drained <- struct{}{}:
	default:
	}
}

// Cancelled implements exchange.Source: the client left.
func (r *request) Cancelled() {
	r.leave()
	r.interrupt()
}

func (r *request) interrupt() {
	r.mu.Lock()
	r.interrupted = true
	if r.conn != nil {
		r.conn.interrupt()
	}
	r.mu.Unlock()
	select { // whoever waits for the client's window looks again
	case r.drained <- struct{}{}:
	default:
	}
}

// wake follows exchange.Body's notifications.
func (r *request) wake() {
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// gone is whether the client left.
func (r *request) gone() bool { return r.ctx.Err() != nil }

func (r *request) run() {
	defer r.leave()
	x, u := r.x, r.u
	var status int
	if r.script, status = u.Files.resolve(x.Request.RawPath, x.Request.Path); status != 0 {
		x.Writer.Abort(status, "")
		return
	}
	if !r.awaitBody() {
		x.Writer.Abort(0, "")
		return
	}
	f, ok := r.ask()
	switch {
	case r.gone():
		x.Writer.Abort(0, "")
	case !ok:
		u.Failed(f)
		x.Writer.Abort(f.Status(), "")
	case r.answer.headSent:
		x.Writer.End()
	default:
		// It came whole in one go, so that its length is known.
		if err := x.Writer.Answer(r.answer.head.Status(), r.answer.fields(), r.answer.pending); err != nil {
			u.Failed(FailAnswerHead)
			u.Log.Error("cannot send a responder's answer", "address", x.Worker, "cause", err)
			x.Writer.Abort(FailAnswerHead.Status(), "")
		}
	}
}

// awaitBody waits for a body that has to be complete; false: the client left.
func (r *request) awaitBody() bool {
	r.length = -1
	n := r.x.Request.ContentLength
	if r.body == nil {
		if r.x.Request.Get("content-length") != nil {
			r.length = 0
		}
		return true
	}
	if r.length = n; n > r.u.BufferBody {
		return true
	}
	for {
		if whole, known := r.body.Length(); known {
			r.length = whole
			return true
		}
		select {
		case <-r.arrived:
		case <-r.ctx.Done():
			return false
		}
	}
}

// ask finds a responder, sends the request and takes the answer to its end. With ok the exchange is to be ended
// in order, else for the reason f, unless the client left.
func (r *request) ask() (f Failure, ok bool) {
	u := r.u
	var tried []*address
	head := writeBuffers.Get().(*writeBuffer)
	defer head.free()
	err := r.encode(head)
	if err != nil {
		u.Log.Error("cannot encode a request", "cause", err)
		return FailRefused, false
	}
	encoded := len(head.b) // converse may append the body
	for {
		a, f, got := u.pool.acquire(r.ctx, tried, u.QueueTimeout)
		if !got {
			return f, false
		}
		c := u.pool.idle(a)
		if c == nil {
			if c, err = dial(r.ctx, a, u.ConnectTimeout); err != nil {
				u.pool.release(a, nil)
				if r.gone() {
					return 0, false
				}
				r.note(a, FailUnreachable, errAddress(a, err))
				tried = append(tried, a) // nothing was sent: another may be asked
				continue
			}
		}
		f, end := r.converse(c, head)
		switch end {
		case ended:
			_ = c.SetDeadline(time.Time{}) // fails only when closed, which the next look at it finds out
			u.pool.succeeded(a)
			u.pool.release(a, c)
			return 0, true
		case endedOnce:
			u.pool.succeeded(a)
			_ = c.Close() // all of the answer was read
			u.pool.release(a, nil)
			return 0, true
		case unsent:
			// It had been closed after the look at it, and took not one byte.
			_ = c.Close()
			u.pool.release(a, nil)
			head.b = head.b[:encoded]
			continue
		}
		_ = c.Close() // what else it may say is for nobody
		u.pool.release(a, nil)
		return f, false
	}
}

// note logs and counts what went wrong with an address.
func (r *request) note(a *address, f Failure, cause error) {
	k := consequences[f]
	r.u.Log.Error("a request failed: "+k.what, "address", a.name, "cause", cause)
	if k.counted && r.u.pool.failed(a) {
		r.u.Log.Warn("an address is left alone after failures", "address", a.name, "for", r.u.FailTimeout)
	}
}

// ending is how a conversation ended.
type ending uint8

const (
	broken    ending = iota
	ended            // with END_REQUEST, and the connection can be used again
	endedOnce        // with END_REQUEST
	unsent           // before a byte was sent
)

// converse sends the request on c and reads the answer.
func (r *request) converse(c *conn, head *writeBuffer) (f Failure, e ending) {
	u := r.u
	if !r.attach(c) {
		return 0, broken
	}
	defer r.attach(nil)
	r.x.Worker = c.at.name
	r.x.Dispatched = u.Now()
	r.sender, r.stopping = make(chan struct{}), make(chan struct{})
	if whole := r.withBody(head); whole {
		n, err := r.write(c, head.b)
		close(r.sender)
		if err != nil && n == 0 && c.reused && !r.gone() {
			return 0, unsent
		}
		r.wrote(err)
	} else {
		go r.send(c, head.b)
	}
	f, err := r.read(c)
	whole := r.whole.Load() // before END_REQUEST, or the connection is of no more use
	close(r.stopping)
	if !whole {
		r.interrupt() // for good: the sender must not begin another write
	}
	<-r.sender
	r.answer.errors.end(&u.output, c.at.name)
	switch {
	case err == nil && whole && u.KeepAlive && r.answer.trailing == 0:
		return 0, ended
	case err == nil:
		return 0, endedOnce
	case r.bodyErr != nil:
		// Either the client's fault, and then Cancelled comes, or the disk's.
		f, err = FailBody, r.bodyErr
		select {
		case <-r.ctx.Done():
		case <-time.After(time.Second):
		}
	}
	r.abort(c)
	if !r.gone() {
		r.note(c.at, f, err)
	}
	return f, broken
}

// wrote notes that the request was written to its end, or as far as the responder takes it.
func (r *request) wrote(err error) {
	if isTimeout(err) {
		r.late.Store(true)
		r.interrupt()
		return
	}
	// Another error means mostly that the responder wants no more: what it has answered is still read.
	r.whole.Store(err == nil)
	r.sentAt.Store(int64(r.u.Now()))
}

// attach makes c what interrupt wakes; false: the client left already.
func (r *request) attach(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = c
	return !r.interrupted
}

// abort tells the responder that nobody wants the answer. FastCGI §5.4.
func (r *request) abort(c *conn) {
	if r.cut {
		return // it waits for the rest of a record
	}
	// If its buffer is full it reads nothing, and learns it from the connection's end.
	_ = c.SetWriteDeadline(time.Now().Add(abortTime))
	_, _ = c.Write(fcgi.AppendRecord(nil, fcgi.TypeAbortRequest, 0, requestID, nil))
}

const abortTime = 100 * time.Millisecond

// arm sets a deadline by set; false: the request was interrupted, and there must be none but that.
func (r *request) arm(set func(time.Time) error, within time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupted {
		return false
	}
	_ = set(time.Now().Add(within)) // fails only when closed, which the read or write finds out
	return true
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
