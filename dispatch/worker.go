package dispatch

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
	"pyspeed/gateway/exchange"
)

// Windows of requests in flight.
const (
	mostInFlight = 4096
	// mostIDs is how many request ids FastCGI has, less the management id.
	mostIDs = 1<<16 - 1
	// asyncFloor is what an ASGI worker may always have in flight.
	asyncFloor = 256
	// short is how long a request may take in the worker for the window to grow: then many in
	// flight make large batches; of longer ones they would only wait behind each other.
	short = 20 * time.Millisecond
	// stdinWindow is the credit for request bodies that the contract gives at the start.
	stdinWindow = 256 << 10
	// embed is the largest body that travels inside REQUEST.
	embed = 32 << 10
)

// worker is one worker process, as far as requests are concerned. It is the Sink of its
// connection: Record and Read run on the reader's goroutine, everything else under
// Dispatcher.mu.
type worker struct {
	d      *Dispatcher
	id     string
	asgi   bool
	mux    *fcgi.Mux
	marks  []byte
	joiner fcgi.Joiner

	opened, serving, ended, lost, eof, broken, hung bool

	requests, most int // that it was given; at which spent is called
	spent          func()
	outstanding    int
	abandoned      int // of those, the ones that nobody waits for
	floor, window  int
	calls          []atomic.Pointer[call] // by request id; changed with d.mu held
	free           []uint16               // ids to use again
	ids            int                    // ids below were used
	empty          chan struct{}
	emptied        bool
	waiting        []*call // whose bodies wait until the worker has taken what it was sent; some may have ended

	heard     atomic.Int64 // when it last sent something; written by the reader
	suspended atomic.Bool  // it hangs: no more requests until it sends something
	busySince time.Duration
	threads   int           // 0: it runs any number at once
	busy      time.Duration // of all its threads together, until counted
	counted   time.Duration
	stood     time.Duration // how long, in all, requests' time did not count; of the watch

	// The reader's.
	fields []exchange.Field
	dirty  []*call
	now    time.Duration // of this read
}

func newWorker(d *Dispatcher, cfg Worker) *worker {
	w := &worker{
		d: d, id: cfg.ID, asgi: cfg.ASGI, marks: cfg.Marks, most: cfg.MaxRequests, spent: cfg.Spent,
		threads: cfg.Threads,
		ids:     1, // 0 is FastCGI's management id
		empty:   make(chan struct{}),
	}
	w.mux = fcgi.NewMux(w)
	most := mostInFlight
	switch {
	case d.InFlight > 0:
		w.floor = min(d.InFlight, mostIDs)
		most = w.floor
	case cfg.Threads == 0:
		w.floor = asyncFloor
	default:
		w.floor = min(max(cfg.Threads, 2), most)
	}
	w.window = w.floor
	w.calls = make([]atomic.Pointer[call], most+1)
	return w
}

// send gives c to the worker. With d.mu held.
func (w *worker) send(c *call, now time.Duration) {
	var id uint16
	if n := len(w.free); n > 0 {
		id = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		id = uint16(w.ids)
		w.ids++
	}
	w.count(now)
	if w.outstanding++; w.outstanding == 1 {
		w.busySince = now
	}
	if !c.bound {
		if w.requests++; w.requests == w.most {
			w.spent()
		}
	}
	c.place, c.worker, c.id, c.sentAt = sent, w, id, now
	c.owed, c.credit = 0, stdinWindow
	c.window = w.d.Budget.Window()
	x := c.x
	x.Dispatched = now
	x.Worker = w.id
	w.marks[id] = 0
	if c.asgi != w.asgi {
		// It came before any worker had said what it runs.
		c.asgi = w.asgi
		c.head.b = w.d.Encoder.appendHead(c.head.b[:0], x, c.asgi)
	}

	flags := fcgi.WindowFlags(c.window)
	var inline []byte
	c.bodyOpen = false
	if c.body != nil {
		whole := false
		if c.embeddable {
			inline, whole = c.body.Complete(embed)
		}
		if !whole {
			flags |= fcgi.FlagBody
			c.bodyOpen = true
		}
	}
	w.calls[id].Store(c) // from here on the reader knows it
	out := w.mux.Begin()
	start := len(out)
	out = fcgi.AppendHeader(out, fcgi.TypeRequest, flags, id, 0, 0)
	out = marshal.AppendTuple(out, 2)
	out = append(out, c.head.b...)
	if c.bodyOpen {
		out = marshal.AppendNone(out)
	} else {
		out = marshal.AppendBytes(out, inline)
	}
	w.mux.End(fcgi.CloseRecord(out, start))
}

// count adds the time since it was called last to that which the worker's threads were busy. With d.mu held.
func (w *worker) count(now time.Duration) {
	w.busy += time.Duration(min(w.outstanding, w.threads)) * (now - w.counted)
	w.counted = now
}

// take removes c from the worker. With d.mu held.
func (w *worker) take(c *call, now time.Duration) {
	w.count(now)
	if c.abandoned {
		w.abandoned--
	}
	w.calls[c.id].Store(nil)
	w.free = append(w.free, c.id)
	w.outstanding--
}

// untouched is whether c, which w had when it died, is certain not to have begun there, and can
// be given to another as it was. With d.mu held, after the last of w's answers was read.
func (w *worker) untouched(c *call) bool {
	return w.marks[c.id] == 0 && !c.heard && !c.streamed && !c.taking && !c.cancelled && !c.failed && !c.bound
}

// checkEmpty closes empty when a worker that gets no more requests has none that anybody waits for. With d.mu held.
func (w *worker) checkEmpty() {
	if w.ended && w.outstanding == w.abandoned && !w.emptied {
		w.emptied = true
		close(w.empty)
	}
}

// adapt moves the window after an answer that took t. With d.mu held.
func (w *worker) adapt(t time.Duration) {
	if w.d.InFlight > 0 {
		return
	}
	switch {
	case t > short:
		if w.window > w.floor {
			w.window--
		}
	case w.d.queue.len > 0 && w.window < mostInFlight:
		w.window++
	}
}

// end finishes c's part in the worker, and gives the worker what waits. The exchange is nil if it has ended already.
func (w *worker) end(c *call) (x *exchange.Exchange, cancelled bool) {
	d := w.d
	if c.dirty {
		c.dirty = false
		w.dirty = slices.DeleteFunc(w.dirty, func(o *call) bool { return o == c })
	}
	if w.now == 0 {
		w.now = d.Now()
	}
	d.mu.Lock()
	w.take(c, w.now)
	w.adapt(w.now - c.sentAt)
	x, cancelled = c.x, c.cancelled
	var body *exchange.Body
	if c.bodyOpen {
		body = c.body
	}
	d.finish(c)
	var pump []*call
	if d.queue.len > 0 {
		pump = d.feed(w.now, w)
	}
	if w.ended {
		w.checkEmpty()
	}
	d.mu.Unlock()
	if body != nil {
		body.Notify(nil)
	}
	if pump != nil {
		startPumps(pump)
	}
	return x, cancelled
}

// Record implements fcgi.Sink.
func (w *worker) Record(rec fcgi.Record) error {
	if rec.Flags&fcgi.FlagMore != 0 || w.joiner.Open() {
		var whole bool
		var err error
		if rec, whole, err = w.joiner.Add(rec); err != nil || !whole {
			return err
		}
	}
	var c *call
	if int(rec.ID) < len(w.calls) {
		c = w.calls[rec.ID].Load()
	}
	if c == nil {
		return w.stray(rec)
	}
	switch rec.Type {
	case fcgi.TypeResponse:
		return w.response(c, rec)
	case fcgi.TypeStdout:
		if !c.answered {
			return fmt.Errorf("worker %s sent STDOUT for request %d before RESPONSE", w.id, rec.ID)
		}
		if !c.refused && c.claim.hold() {
			c.x.Writer.Body(rec.Content)
			w.touch(c)
		}
	case fcgi.TypeEndRequest:
		end, err := fcgi.DecodeEndRequest(rec.Content)
		if err != nil {
			return err
		}
		w.endRequest(c, end)
	case fcgi.TypeWindow:
		n, err := fcgi.DecodeWindow(rec.Content)
		if err != nil {
			return err
		}
		w.d.mu.Lock()
		c.credit += int(n)
		pump := c.streaming()
		w.d.mu.Unlock()
		if pump {
			c.pump()
		}
	case fcgi.TypeStderr:
		w.d.Log.Warn(string(rec.Content), "worker", w.id, "request", rec.ID)
	default:
		return fmt.Errorf("worker %s sent a %s record", w.id, rec.Type)
	}
	return nil
}

// stray handles a record for a request that the worker does not have. An application that
// reads on after its answer gives WINDOW late; anything else would be an answer to nobody, or to
// the wrong one.
func (w *worker) stray(rec fcgi.Record) error {
	switch rec.Type {
	case fcgi.TypeStderr:
		w.d.Log.Warn(string(rec.Content), "worker", w.id)
		return nil
	case fcgi.TypeWindow:
		w.d.mu.Lock()
		known := rec.ID != fcgi.ManagementID && int(rec.ID) < w.ids
		w.d.mu.Unlock()
		if known {
			return nil
		}
	}
	return fmt.Errorf("worker %s sent a %s record for request %d, which it does not have", w.id, rec.Type, rec.ID)
}

func (w *worker) response(c *call, rec fcgi.Record) error {
	if c.answered {
		return fmt.Errorf("worker %s sent a second RESPONSE for request %d", w.id, rec.ID)
	}
	c.heard = true
	status, fields, n, err := marshal.DecodeAnswerHead(rec.Content, w.fields[:0])
	w.fields = fields[:0]
	last := rec.Flags&fcgi.FlagLast != 0
	switch {
	case err != nil:
	case last && status < 200:
		err = errInformationalEnd
	case last:
		x, cancelled := w.end(c)
		switch {
		case x == nil:
		case cancelled:
			x.Writer.Abort(0, "")
		default:
			if err = x.Writer.Answer(status, fields, rec.Content[n:]); err != nil {
				w.refuse(err)
				w.d.fail(c, FailAnswerHead)
			}
		}
		return nil
	case !c.claim.hold():
		c.answered = status >= 200
		return nil
	default:
		err = c.x.Writer.Head(status, fields)
	}
	switch {
	case err == nil && status < 200:
		w.touch(c)
	case err == nil:
		c.answered = true
		c.claim.head(isEventStream(fields))
		if n < len(rec.Content) {
			c.x.Writer.Body(rec.Content[n:])
		}
		w.touch(c)
	case last:
		w.refuse(err)
		x, cancelled := w.end(c)
		switch {
		case x == nil:
		case cancelled:
			x.Writer.Abort(0, "")
		default:
			w.d.fail(c, FailAnswerHead)
		}
	default:
		w.refuse(err)
		c.answered, c.refused = true, true
		c.claim.release()
		w.d.mu.Lock()
		c.fail(FailAnswerHead)
		w.d.mu.Unlock() // Read flushes
	}
	return nil
}

// RFC 9110 §15.2: an informational answer is followed by a final one.
var errInformationalEnd = errors.New("cannot send the answer: its status is below 200 and nothing follows")

// refuse logs an answer head that must not be sent. The error quotes nothing of it.
func (w *worker) refuse(err error) {
	w.d.Log.Error("cannot send an application's answer", "worker", w.id, "cause", err)
}

func (w *worker) endRequest(c *call, end fcgi.EndRequest) {
	answered := c.answered
	x, cancelled := w.end(c)
	switch {
	case x == nil:
	case cancelled:
		x.Writer.Abort(0, "")
	case c.failed:
		w.d.fail(c, c.failure)
	case end.AppStatus == 0 && end.ProtocolStatus == fcgi.StatusRequestComplete && answered:
		x.Writer.End()
	default:
		w.d.fail(c, FailApplication)
	}
}

// touch remembers that c has bytes to flush after this read.
func (w *worker) touch(c *call) {
	if !c.dirty {
		c.dirty = true
		w.dirty = append(w.dirty, c)
	}
}

// Read implements fcgi.Sink: answers that are not complete leave now, together with
// all that came in one read.
func (w *worker) Read() {
	for i, c := range w.dirty {
		w.dirty[i] = nil
		if c.dirty {
			c.dirty = false
			c.x.Writer.Flush()
			if !c.claim.release() {
				w.d.endStream(c)
			}
		}
	}
	w.dirty = w.dirty[:0]
	if w.now == 0 {
		w.now = w.d.Now()
	}
	w.heard.Store(int64(w.now))
	if w.suspended.Load() {
		w.resume()
	}
	w.now = 0
	w.mux.Flush(true)
}

// Room implements fcgi.Sink: bodies go on, those first that have waited longest.
func (w *worker) Room() {
	w.d.mu.Lock()
	calls := w.waiting
	w.waiting = nil
	w.d.mu.Unlock()
	for i, c := range calls {
		w.d.mu.Lock()
		if c.parked == w {
			c.parked = nil
		}
		w.d.mu.Unlock()
		c.pump()
		if w.stillFull(calls[i+1:]) {
			return
		}
	}
}

// stillFull makes calls, which were waiting, wait on if there is no room again.
func (w *worker) stillFull(calls []*call) bool {
	if len(calls) == 0 {
		return false
	}
	w.d.mu.Lock() // before Full, since the Room that follows may come at once and must find them
	defer w.d.mu.Unlock()
	if !w.mux.Full() {
		return false
	}
	w.waiting = append(calls, w.waiting...)
	return true
}

// resume gives requests to a worker that hung and has answered.
func (w *worker) resume() {
	w.d.mu.Lock()
	w.suspended.Store(false)
	pump := w.d.feed(w.now, w)
	w.d.mu.Unlock()
	startPumps(pump)
}
