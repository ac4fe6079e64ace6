package dispatch

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// Settings of a Dispatcher.
type Settings struct {
	// Queue is the most requests that wait; one more gets 503.
	Queue int
	// QueueTimeout is the longest a request waits before it gets 503.
	QueueTimeout time.Duration
	// StartTimeout is the longest it waits while no worker serves and one is Starting, where that is more.
	StartTimeout time.Duration
	// InFlight is a worker's window, at most 65,535; 0 adapts it.
	InFlight int
	Encoder  Encoder
	Budget   *exchange.Budget
	// Now is the clock Exchange.Accepted was taken from.
	Now func() time.Duration
	// Loop drives the workers' connections; nil: goroutines.
	Loop fcgi.Loop
	Log  *slog.Logger
	// Broken is called when a worker broke the protocol or its connection ended by itself; the
	// supervisor ends the process and calls Lost. Must not block.
	Broken func(id string, cause error)
	// Awaited is called when a request comes and no worker serves; nil: nobody wants to know. Must not block.
	Awaited func()
	// Failed is told of each failure. Must not block.
	Failed func(Failure)

	// RequestSoft and Request are how long the application may take to begin its answer until Slow, and Overdue, are
	// told; 0: for ever. See watch.go.
	RequestSoft, Request time.Duration
	// Slow is told of requests that have taken RequestSoft, each once; Overdue of those that have taken Request, whose
	// clients have their 504. Both on a goroutine of Run's; must not block.
	Slow, Overdue func(worker string, requests []Slow)
	// Debugged is asked before that: whether a debugger holds the worker, so that its requests' time begins anew; nil:
	// never. It may block for a moment.
	Debugged func(worker string) bool
}

// Worker is what the dispatcher needs to know of a ready worker.
type Worker struct {
	ID    string
	Conn  net.Conn
	Marks []byte // 65,536 bytes shared with the worker
	// Threads is how many requests it runs at once; 0: any number (ASGI).
	Threads int
	ASGI    bool
	// Held says that it gets no request but those of Warm until Activate.
	Held bool
	// Opened is called once the worker has answered, and takes requests where it is not Held; nil is allowed. It
	// must not block.
	Opened func()
	// Spent is called once the worker was given MaxRequests requests, with the dispatcher's lock held: it
	// must neither block nor call the Dispatcher. MaxRequests 0: never.
	MaxRequests int
	Spent       func()
}

// Dispatcher is the Responder in front of all workers. Safe for concurrent use.
type Dispatcher struct {
	Settings
	buffers bufferPool
	asgi    atomic.Bool

	mu        sync.Mutex
	queue     queue
	admission admission
	requests  uint64 // that came, ever
	workers   []*worker
	stopping  bool
	held      bool // by Hold
	heldFrom  time.Duration
	starting  int  // workers on their way
	awaited   bool // requests may have waited longer than QueueTimeout for one
	// early is what was said of workers before Serve was called for them.
	early map[string]early
}

// early is what may be said of a worker at any time.
type early struct{ ended, lost bool }

// New makes a dispatcher without workers: requests queue until one is added.
func New(s Settings) *Dispatcher {
	if s.Loop == nil {
		s.Loop = fcgi.Goroutines{}
	}
	return &Dispatcher{Settings: s, queue: newQueue(s.Queue), early: map[string]early{}}
}

// Respond implements exchange.Responder.
func (d *Dispatcher) Respond(x *exchange.Exchange) {
	c, _ := x.Slot.(*call)
	if c == nil {
		c = &call{d: d}
		c.wake = c.pump
		x.Slot = c
	}
	now := x.Accepted
	if x.Body != nil {
		now = d.Now() // its body took time to arrive
	}
	c.begin(x)
	c.since = now
	var failure Failure
	switch {
	case d.stopping:
		failure = FailStopping
	case d.queue.len == 0:
		w := d.choose()
		if w == nil {
			if d.wait(c) {
				return
			}
			failure = d.full()
			break
		}
		w.send(c, now)
		body, idle := c.bodyOpen, w.outstanding == 1
		d.mu.Unlock()
		w.mux.Flush(idle)
		if body {
			c.pump()
		}
		return
	case d.wait(c):
		return
	default:
		failure = d.full()
	}
	d.finish(c)
	d.mu.Unlock()
	d.fail(c, failure)
}

// wait puts c into the queue; false means that it is full. Called with d.mu held, which true releases.
func (d *Dispatcher) wait(c *call) bool {
	if !d.queue.push(c) {
		return false
	}
	tell := d.Awaited != nil && !d.anyServing()
	d.mu.Unlock()
	if tell {
		d.Awaited()
	}
	return true
}

// choose returns a worker for a request that comes now, or nil. With d.mu held.
func (d *Dispatcher) choose() *worker {
	if d.held {
		return nil
	}
	return d.leastBusy()
}

// leastBusy returns the least busy worker with room in its window, or nil. With d.mu held.
func (d *Dispatcher) leastBusy() *worker {
	var best *worker
	for _, w := range d.workers {
		if w.serving && !w.suspended.Load() && w.outstanding < w.window && (best == nil || w.outstanding < best.outstanding) {
			best = w
		}
	}
	return best
}

// feed gives waiting requests to workers with room. With d.mu held; the calls
// returned have a body to pump once it is released. self flushes its own records.
func (d *Dispatcher) feed(now time.Duration, self *worker) (pump []*call) {
	for d.queue.len > 0 && (!d.held || d.queue.first().since < d.heldFrom) {
		w := d.leastBusy()
		if w == nil {
			return pump
		}
		c := d.queue.pop()
		d.took()
		w.send(c, now)
		if w != self {
			w.mux.Flush(false)
		}
		if c.bodyOpen {
			pump = append(pump, c)
		}
	}
	return pump
}

func startPumps(calls []*call) {
	for _, c := range calls {
		c.pump()
	}
}

// finish takes c out of the dispatcher's hands. With d.mu held.
func (d *Dispatcher) finish(c *call) {
	c.place = done
	c.worker = nil
	d.buffers.put(c.head)
	c.head = nil
}

// fail ends a call that finish was called for.
func (d *Dispatcher) fail(c *call, f Failure) {
	if c.bound {
		c.x.Writer.Abort(consequences[f].status, "")
		return
	}
	d.failExchange(c.x, f)
}

func (d *Dispatcher) failExchange(x *exchange.Exchange, f Failure) {
	if d.Failed != nil {
		d.Failed(f)
	}
	k := consequences[f]
	x.Writer.Abort(k.status, k.reason)
}

// Serve adds a worker and reads its answers until its connection ends; it blocks. After that, and
// once the process is reaped, Lost settles what it left unanswered.
//
// Serve and Lost are called once each for every worker, and Drain at most once, in any order. A worker that is
// Held waits for Activate.
func (d *Dispatcher) Serve(cfg Worker, handshake time.Duration) error {
	w := newWorker(d, cfg)
	d.mu.Lock()
	e := d.early[w.id]
	delete(d.early, w.id)
	w.ended, w.lost = e.ended, e.lost
	d.workers = append(d.workers, w)
	d.mu.Unlock()

	if e.lost {
		w.mux.Expire(time.Second)
	}
	if err := w.mux.Open(d.Loop, cfg.Conn, handshake); err != nil {
		d.eof(w, nil)
		d.settle(w)
		return fmt.Errorf("cannot start serving with worker %s: %w", cfg.ID, err)
	}
	d.mu.Lock()
	w.opened = true
	d.mu.Unlock()
	if !cfg.Held {
		d.Activate(cfg.ID)
	}
	if cfg.Opened != nil {
		cfg.Opened()
	}

	err := w.mux.Run()

	if d.eof(w, err) && d.Broken != nil {
		cause := err
		if cause == nil {
			cause = fmt.Errorf("the connection of worker %s ended", cfg.ID)
		}
		d.Broken(cfg.ID, cause)
	}
	d.settle(w)
	return err
}

// Activate gives requests to a worker that was Held; one that is gone, or was drained meanwhile, gets none.
func (d *Dispatcher) Activate(id string) {
	d.mu.Lock()
	w := d.find(id)
	if w == nil || !w.opened || w.lost || w.ended || w.eof {
		d.mu.Unlock()
		return
	}
	d.asgi.Store(w.asgi)
	pump := d.serve(w)
	d.mu.Unlock()
	startPumps(pump)
}

// eof notes that w's answers were read to their end; true means that nobody had asked for it.
func (d *Dispatcher) eof(w *worker, err error) (broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.serving = false
	w.eof = true
	w.broken = err != nil && !errors.Is(err, fcgi.ErrEnded)
	return !w.lost && (!w.ended || err != nil)
}

// Drain gives a worker no more requests; the channel is closed when it has
// none. A worker that is not known has none, and will get none.
func (d *Dispatcher) Drain(id string) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.find(id)
	if w == nil {
		e := d.early[id]
		e.ended = true
		d.early[id] = e
		empty := make(chan struct{})
		close(empty)
		return empty
	}
	w.serving = false
	w.ended = true
	w.checkEmpty()
	return w.empty
}

// Lost says that a worker's process is dead for certain. Its requests that had
// not begun go to other workers, the others fail, as soon as the last of
// its answers was read.
func (d *Dispatcher) Lost(id string) {
	d.mu.Lock()
	w := d.find(id)
	if w == nil {
		e := d.early[id]
		e.lost = true
		d.early[id] = e
		d.mu.Unlock()
		return
	}
	w.lost = true
	w.serving = false
	d.mu.Unlock()
	w.mux.Expire(time.Second)
	d.settle(w)
}

func (d *Dispatcher) find(id string) *worker {
	for _, w := range d.workers {
		if w.id == id {
			return w
		}
	}
	return nil
}

// settle ends a worker that is both reaped and read to its end.
func (d *Dispatcher) settle(w *worker) {
	d.mu.Lock()
	if !w.lost || !w.eof {
		d.mu.Unlock()
		return
	}
	d.workers = slices.DeleteFunc(d.workers, func(o *worker) bool { return o == w })
	now := d.Now()
	var failed, moved []*call
	for id := range w.calls {
		c := w.calls[id].Load()
		if c == nil {
			continue
		}
		w.take(c, now)
		switch {
		case c.abandoned:
		case w.untouched(c) && !d.stopping:
			moved = append(moved, c)
		default:
			d.finish(c)
			failed = append(failed, c)
		}
	}
	d.requeue(moved)
	w.checkEmpty()
	pump := d.feed(now, nil)
	d.mu.Unlock()
	if len(moved)+len(failed) > 0 {
		d.Log.Warn("a worker died with requests", "worker", w.id, "failed", len(failed), "moved", len(moved))
	}
	failure := FailWorkerDied
	switch {
	case w.broken:
		failure = FailProtocol
	case w.hung:
		failure = FailWorkerHung
	}
	for _, c := range failed {
		switch {
		case c.cancelled:
			c.x.Writer.Abort(0, "")
		case c.claim.taken():
			c.x.Writer.End() // EndStreams asked for it while the last of it was read
		case c.failed:
			d.fail(c, c.failure)
		default:
			d.fail(c, failure)
		}
	}
	startPumps(pump)
}

// SetQueue changes how many requests may wait, and how long. What waits already may stay if they are fewer now.
func (d *Dispatcher) SetQueue(most int, timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue.most, d.queue.limit, d.QueueTimeout = most, most, timeout
	d.admission.forget()
}

// QueueLimits returns how many requests may wait, and how long.
func (d *Dispatcher) QueueLimits() (most int, timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queue.most, d.QueueTimeout
}

func (d *Dispatcher) expire() {
	now := d.Now()
	var late []*call
	d.mu.Lock()
	d.admit(now)
	patience := d.patience()
	for c := d.queue.first(); c != nil && !d.held && now-c.since >= patience; c = d.queue.first() {
		d.queue.pop()
		d.finish(c)
		late = append(late, c)
	}
	d.mu.Unlock()
	for _, c := range late {
		d.fail(c, FailQueueTime)
	}
}

// Stop refuses what waits and whatever comes; requests that workers have go on.
func (d *Dispatcher) Stop() {
	d.mu.Lock()
	d.stopping = true
	d.failWaiting(FailStopping)
}

// NoWorker refuses what waits: no worker serves, and none could be started.
func (d *Dispatcher) NoWorker() {
	d.mu.Lock()
	d.failWaiting(FailNoWorker)
}

// failWaiting ends all calls that wait. Called with d.mu held, which it releases.
func (d *Dispatcher) failWaiting(f Failure) {
	var all []*call
	for c := d.queue.pop(); c != nil; c = d.queue.pop() {
		d.finish(c)
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		d.fail(c, f)
	}
}

// Load is the state of one worker, for metrics.
type Load struct {
	ID                  string
	Outstanding, Window int
	Requests            int // that it was given so far
}

// State returns the queue's length and each worker's load.
func (d *Dispatcher) State() (waiting int, loads []Load) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.workers {
		loads = append(loads, Load{w.id, w.outstanding, w.window, w.requests})
	}
	return d.queue.len, loads
}

// Ready is the number of workers that take requests.
func (d *Dispatcher) Ready() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, w := range d.workers {
		if w.serving {
			n++
		}
	}
	return n
}
