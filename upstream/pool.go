package upstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Address is where a responder listens: a network and an address as net.Dial takes them.
type Address struct{ Network, Address string }

// String is how the configuration names it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// address is what the pool knows of one.
type address struct {
	Address
	name string

	// Guarded by pool.mu.
	outstanding int     // requests that have, or are opening, a connection
	idle        []*conn // the one used last at the end
	fails       int
	firstFail   time.Duration
	downUntil   time.Duration // after too many failures
	sick        bool          // the last look at it failed
}

// pool shares connections out: the least busy address next, and a bounded queue when all are busy.
type pool struct {
	now         func() time.Duration
	connections int
	most        int // may wait
	maxFails    int
	failTimeout time.Duration

	mu        sync.Mutex
	addresses []*address
	waiting   []*waiter // in order of arrival
	stopping  bool
}

// waiter is a request that waits for a connection.
type waiter struct {
	tried []*address    // that it does not want
	got   chan *address // has room for one; nil: there is nothing to wait for any more
}

func newPool(s *Settings) *pool {
	p := &pool{now: s.Now, connections: s.Connections, most: s.Queue, maxFails: s.MaxFails, failTimeout: s.FailTimeout}
	for _, a := range s.Addresses {
		p.addresses = append(p.addresses, &address{Address: a, name: a.String()})
	}
	if len(p.addresses) == 1 {
		p.maxFails = 0 // there is no better one to ask
	}
	return p
}

// up is whether a may be asked. With mu held.
func (p *pool) up(a *address) bool { return !a.sick && a.downUntil <= p.now() }

// choose returns the least busy address with room, and whether any could have some later. With mu held.
func (p *pool) choose(tried []*address) (best *address, later bool) {
	for _, a := range p.addresses {
		if !p.up(a) || slices.Contains(tried, a) {
			continue
		}
		later = true
		if a.outstanding < p.connections && (best == nil || a.outstanding < best.outstanding) {
			best = a
		}
	}
	return best, later
}

// acquire gives the right to one connection to an address not in tried; it waits when all are busy, until the
// timeout or ctx is done. ok is false then: f says why, if ctx does not.
func (p *pool) acquire(ctx context.Context, tried []*address, timeout time.Duration) (a *address, f Failure, ok bool) {
	p.mu.Lock()
	if p.stopping {
		p.mu.Unlock()
		return nil, FailStopping, false
	}
	best, later := p.choose(tried)
	switch {
	case best != nil:
		best.outstanding++
		p.mu.Unlock()
		return best, 0, true
	case !later:
		p.mu.Unlock()
		return nil, FailUnreachable, false
	case len(p.waiting) >= p.most:
		p.mu.Unlock()
		return nil, FailQueueFull, false
	}
	w := &waiter{tried: tried, got: make(chan *address, 1)}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case a = <-w.got:
	case <-t.C:
		f = FailQueueTime
	case <-ctx.Done():
	}
	if a == nil {
		a = p.leave(w)
	}
	if a != nil {
		if ctx.Err() == nil {
			return a, 0, true
		}
		p.release(a, nil)
		return nil, f, false
	}
	if f == 0 && ctx.Err() == nil { // woken without an address
		f = FailUnreachable
		p.mu.Lock()
		if p.stopping {
			f = FailStopping
		}
		p.mu.Unlock()
	}
	return nil, f, false
}

// leave takes w out of the queue; it may have been given an address meanwhile.
func (p *pool) leave(w *waiter) *address {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(o *waiter) bool { return o == w })
	select {
	case a := <-w.got:
		return a
	default:
		return nil
	}
}

// idle takes a kept connection, or returns nil. The caller has acquired a.
func (p *pool) idle(a *address) *conn {
	for {
		p.mu.Lock()
		n := len(a.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := a.idle[n-1]
		a.idle[n-1] = nil
		a.idle = a.idle[:n-1]
		p.mu.Unlock()
		if c.alive() {
			return c
		}
		_ = c.Close() // nothing is lost: it is idle
	}
}

// release ends what acquire began. keep is a connection for the next request, or nil.
func (p *pool) release(a *address, keep *conn) {
	p.mu.Lock()
	a.outstanding--
	if keep != nil && !p.stopping {
		keep.reused, keep.since = true, p.now()
		a.idle = append(a.idle, keep)
		keep = nil
	}
	p.feed()
	p.mu.Unlock()
	if keep != nil {
		_ = keep.Close()
	}
}

// feed gives free connections to those who wait, and wakes who waits for nothing. With mu held.
func (p *pool) feed() {
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		best, later := p.choose(w.tried)
		switch {
		case best != nil:
			best.outstanding++
			w.got <- best
		case !later || p.stopping:
			w.got <- nil
		default:
			kept = append(kept, w)
		}
	}
	clear(p.waiting[len(kept):])
	p.waiting = kept
}

// failed counts a failure of a, and reports whether it is left alone from now on.
func (p *pool) failed(a *address) (down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maxFails == 0 {
		return false
	}
	now := p.now()
	if a.fails == 0 || now-a.firstFail > p.failTimeout {
		a.fails, a.firstFail = 0, now
	}
	if a.fails++; a.fails < p.maxFails {
		return false
	}
	a.fails = 0
	down = a.downUntil <= now
	a.downUntil = now + p.failTimeout
	p.feed()
	return down
}

func (p *pool) succeeded(a *address) {
	p.mu.Lock()
	a.fails = 0
	p.mu.Unlock()
}

// looked notes what a look at a said, and reports whether that is news.
func (p *pool) looked(a *address, well bool) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news = a.sick == well
	a.sick = !well
	if well {
		a.downUntil = 0
	}
	p.feed()
	return news
}

// keepIdle is how long a connection is kept that nobody uses.
const keepIdle = 60 * time.Second

// turn closes what was idle for long, and lets those go on who wait for an address whose time is over.
func (p *pool) turn() {
	var old []*conn
	p.mu.Lock()
	now := p.now()
	for _, a := range p.addresses {
		n := 0 // the front ones are idle for longest
		for n < len(a.idle) && now-a.idle[n].since > keepIdle {
			n++
		}
		old = append(old, a.idle[:n]...)
		a.idle = slices.Delete(a.idle, 0, n)
	}
	p.feed()
	p.mu.Unlock()
	closeAll(old)
}

// stop refuses what waits, and closes idle connections.
func (p *pool) stop() {
	var all []*conn
	p.mu.Lock()
	p.stopping = true
	for _, a := range p.addresses {
		all = append(all, a.idle...)
		a.idle = nil
	}
	p.feed()
	p.mu.Unlock()
	closeAll(all)
}

func closeAll(list []*conn) {
	for _, c := range list {
		_ = c.Close() // idle: nothing is lost
	}
}

// Load is the state of one address, for metrics.
type Load struct {
	Address           string
	Outstanding, Idle int
	Up                bool
}

func (p *pool) state() (waiting int, loads []Load) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.addresses {
		loads = append(loads, Load{a.name, a.outstanding, len(a.idle), p.up(a)})
	}
	return len(p.waiting), loads
}

// errAddress names the address in an error of the network.
func errAddress(a *address, err error) error {
	return fmt.Errorf("cannot connect to %s: %w", a.name, err)
}
