package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
)

const (
	// lookEvery is how often requests' times are looked at, at most.
	lookEvery = 100 * time.Millisecond
	// lookStep bounds how many requests are looked at while d.mu is held.
	lookStep = 256
	// idleGap is how late a look may be before the time until then does not count: the gateway was stopped, or got no
	// processor, and nor may the workers have.
	idleGap = time.Second
	// targetMost is how much of a request's target is told.
	targetMost = 256
)

// Slow is a request whose application has not begun its answer for long.
type Slow struct {
	Method, Target string // as sent; a long target is cut
	Age            time.Duration
	Left           bool // its client is gone
}

// Run watches over the queue, and over the requests that workers have, until ctx ends: it fails what waited too long,
// or takes too long.
func (d *Dispatcher) Run(ctx context.Context) {
	var looking sync.WaitGroup
	defer looking.Wait()
	// Of its own, as Debugged may block.
	looking.Go(func() { every(ctx, d.requestStep, d.look) })
	every(ctx, d.queueStep, func(time.Duration) { d.expire() })
}

// SetRequestTimeouts changes RequestSoft and Request, also for the requests that workers have.
func (d *Dispatcher) SetRequestTimeouts(soft, hard time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.RequestSoft, d.Request = soft, hard
}

// RequestTimeouts returns RequestSoft and Request.
func (d *Dispatcher) RequestTimeouts() (soft, hard time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.RequestSoft, d.Request
}

// requestStep is how often requests' times have to be looked at.
func (d *Dispatcher) requestStep() time.Duration { return shortest(d.RequestTimeouts()) }

// queueStep is how often the queue has to be looked at.
func (d *Dispatcher) queueStep() time.Duration {
	_, timeout := d.QueueLimits()
	return shortest(timeout, 0)
}

// shortest is how often has to be looked at what may take so long; 0: for ever.
func shortest(one, other time.Duration) time.Duration {
	t := lookEvery
	if one > 0 {
		t = min(t, one/4)
	}
	if other > 0 {
		t = min(t, other/4)
	}
	return max(t, time.Millisecond)
}

// every calls f, each time after what step says, until ctx ends, and tells it of a gap before.
func every(ctx context.Context, step func() time.Duration, f func(gap time.Duration)) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		last, d := time.Now(), step()
		t.Reset(d)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		gap := time.Since(last) - d
		if gap < idleGap {
			gap = 0
		}
		f(gap)
	}
}

// look finds the requests whose applications have had them for too long. A request's time counts from when its start mark is
// seen, not while its client still sends the body, nor while a debugger holds the worker, nor in a gap. One
// goroutine at a time.
func (d *Dispatcher) look(gap time.Duration) {
	d.mu.Lock()
	if d.RequestSoft <= 0 && d.Request <= 0 {
		d.mu.Unlock()
		return
	}
	busy := slices.DeleteFunc(slices.Clone(d.workers), func(w *worker) bool { return w.outstanding == 0 })
	d.mu.Unlock()
	for _, w := range busy {
		w.stood += gap
		l := looker{d: d, w: w, now: d.Now(), asked: d.Debugged == nil}
		l.run()
	}
}

// looker is one look at one worker.
type looker struct {
	d     *Dispatcher
	w     *worker
	now   time.Duration
	due   bool // there is something to do
	asked bool // and no debugger holds the worker
	anew  bool // a debugger does, so that everything's time begins anew

	slow, overdue []Slow
	ended         []ended
	uploads       []upload
}

// ended is a request that has taken too long.
type ended struct {
	x         *exchange.Exchange
	body      *exchange.Body
	failure   Failure
	cancelled bool
}

// upload is a request whose body goes to the worker as it comes.
type upload struct {
	c    *call
	turn uint64
	body *exchange.Body
}

func (l *looker) run() {
	l.pass()
	if l.due && !l.asked {
		l.asked = !l.d.Debugged(l.w.id)
		l.anew = !l.asked
		l.pass()
	}
	d := l.d
	if len(l.ended) > 0 {
		l.w.mux.Flush(true)
	}
	for _, e := range l.ended {
		if e.body != nil {
			e.body.Notify(nil)
		}
		if e.cancelled {
			e.x.Writer.Abort(0, "")
		} else {
			d.failExchange(e.x, e.failure)
		}
	}
	if len(l.slow) > 0 && d.Slow != nil {
		d.Slow(l.w.id, l.slow)
	}
	if len(l.overdue) > 0 && d.Overdue != nil {
		d.Overdue(l.w.id, l.overdue)
	}
}

// pass looks at all requests.
func (l *looker) pass() {
	for from := 1; l.step(from); from += lookStep {
		for _, u := range l.uploads {
			_, whole := u.body.Length() // not with d.mu held, since it may wait for the disk
			l.judge(u, whole)
		}
		l.uploads = l.uploads[:0]
	}
}

// step looks at the requests with ids from that one on; false if there are none.
func (l *looker) step(from int) bool {
	d, w := l.d, l.w
	d.mu.Lock()
	defer d.mu.Unlock()
	// A worker that is not there any more may have given back the memory of its marks.
	if from >= w.ids || w.outstanding == 0 || !slices.Contains(d.workers, w) {
		return false
	}
	for id := from; id < min(from+lookStep, w.ids); id++ {
		c := w.calls[id].Load()
		if c == nil || c.abandoned || c.bound || w.marks[id] == 0 || !c.claim.headless() {
			continue
		}
		if c.bodyOpen && !c.bodyEnd && !c.aborted {
			l.uploads = append(l.uploads, upload{c, c.turn, c.body})
			continue
		}
		l.time(c)
	}
	return true
}

// judge looks at a request whose body the worker does not have whole; whole: but the gateway has.
func (l *looker) judge(u upload, whole bool) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if c := u.c; c.turn == u.turn && c.place == sent && c.worker == l.w && !c.abandoned {
		if !whole {
			c.begunAt = 0 // time counts from now on
		}
		l.time(c)
	}
}

// time looks at the time that c's application has had. With d.mu held.
func (l *looker) time(c *call) {
	d, w := l.d, l.w
	if c.begunAt == 0 || l.anew {
		c.begunAt, c.stood = l.now, w.stood
	}
	age := l.now - c.begunAt - (w.stood - c.stood)
	soft := d.RequestSoft > 0 && age >= d.RequestSoft && !c.told
	hard := d.Request > 0 && age >= d.Request
	l.due = l.due || soft || hard
	if !l.asked {
		return
	}
	if soft {
		c.told = true
		l.slow = append(l.slow, slowOf(c, age))
	}
	if hard && c.claim.takeUnanswered() {
		l.overdue = append(l.overdue, slowOf(c, age))
		e := ended{body: c.body, failure: FailRequestTimeout, cancelled: c.cancelled}
		if c.failed {
			e.failure = c.failure
		}
		e.x = d.abandon(c)
		l.ended = append(l.ended, e)
	}
}

func slowOf(c *call, age time.Duration) Slow {
	r := &c.x.Request
	return Slow{
		Method: string(r.Method), Target: string(r.Target[:min(len(r.Target), targetMost)]), Age: age, Left: c.cancelled,
	}
}
