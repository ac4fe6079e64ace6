package cache

import (
	"net/http"
	"slices"
	"time"

	"pyspeed/gateway/exchange"
)

// What becomes of an answer once it is known.

// settled is whether what is stored is to be given: because the responder says that it still holds, or has failed.
func (f *fetch) settled(a *facts, fields []exchange.Field) bool {
	old := f.old
	if old == nil {
		return false
	}
	switch {
	case a.status == http.StatusNotModified && old.validates():
		f.phase = validated
		if !valid(fields) {
			return true // no edge has a look at them: what is stored does not get them, and is not kept
		}
		if len(a.etag) == 0 || len(old.etag) == 0 || sameTag(a.etag, old.etag) {
			f.freshen(a, fields)
		} // else it speaks of another answer (RFC 9111 §4.3.4): this one is not made fresh
		return true
	case failure(a.status) && old.onFailure(&f.h.settings.Policy, &f.a, f.h.cache.Now()):
		f.phase = failed
		return true
	}
	return false
}

// validates is whether there is something to ask with whether it still holds.
func (e *entry) validates() bool { return len(e.etag) > 0 || e.hasModified }

// failure is whether a status is one of those that stale-if-error is for (RFC 5861 §4).
func failure(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// freshen makes the draft of what is stored and the fields of a 304.
func (f *fetch) freshen(a *facts, fields []exchange.Field) {
	e := f.old.freshened(a, fields, f.strip(true))
	merged := readFacts(e.status, e.fields, time.Now())
	merged.age = a.age
	names := varyNames(e.fields, &merged)
	e.terms = judge(&f.h.settings.Policy, f.rule, &f.a, &merged, f.x.Request.Path, func(name string) bool { return slices.Contains(names, name) })
	f.place(e, e.fields, &merged)
	f.draft = e
}

// place says where an answer is kept, and since when.
func (f *fetch) place(e *entry, fields []exchange.Field, a *facts) {
	e.uri, e.key = f.uri, f.key
	e.varies = union(f.names, varyNames(fields, a))
	if len(e.varies) > 0 {
		e.key = f.variant(e.varies)
	}
	e.received = f.h.cache.Now()
	e.initialAge = a.initialAge(time.Now(), e.received-f.sent)
}

// variant is the key of the answers to requests like this one, which differ by these fields.
func (f *fetch) variant(names []string) string {
	q := &f.x.Request
	if f.changed {
		q = &f.original
	}
	return string(appendVariant([]byte(f.key), q, f.rule, names))
}

// refuse is for an answer that is not stored: who waits for it goes to the responder, and nobody waits for the next
// ones of its kind.
func (f *fetch) refuse(status int) {
	c := f.h.cache
	c.mu.Lock()
	if f.flight != "" && status < 500 {
		now := c.Now()
		c.memory.set(&entry{key: f.flight + "\n\nmark", mark: true, terms: terms{fresh: markFor}, received: now})
	}
	if f.old != nil && status < 500 {
		c.memory.remove(f.old) // it was that once, and is no more
	}
	c.delist(f) // it may be a stream that goes on for long
	list := f.part()
	c.mu.Unlock()
	f.h.feed(list, nil, false)
}

// part takes the followers, and sees to it that there are no more. With Cache.mu held.
func (f *fetch) part() []*follower {
	list := f.followers
	f.followers = nil
	f.close()
	if f.timer != nil {
		f.timer.Stop()
	}
	return list
}

// close sees to it that nobody follows any more. With Cache.mu held.
func (f *fetch) close() {
	if c := f.h.cache; f.flight != "" && c.flights[f.flight] == f {
		delete(c.flights, f.flight)
	}
}

// doom is told that what the fetch brings was purged already. With Cache.mu held.
func (f *fetch) doom() {
	f.doomed = true
	f.close()
}

// finish keeps an answer, unless it is nil, and gives one to who waits.
func (f *fetch) finish(keep, give *entry) {
	c := f.h.cache
	if keep != nil {
		if enc := f.h.settings.Encoder; enc != nil {
			keep.doubled = enc.Form(&f.x.Request, keep.status, keep.fields, int64(len(keep.body))) >= 0
		}
	}
	c.mu.Lock()
	if keep != nil && !f.doomed {
		if record := f.record(keep); record != nil {
			c.memory.set(record)
		}
		c.memory.set(keep)
	}
	c.delist(f)
	list, doomed := f.part(), f.doomed
	c.mu.Unlock()
	if keep != nil && !doomed && f.versions != nil && !f.shared {
		c.shared.put(keep, f.record(keep), f.versions)
	}
	f.h.feed(list, give, f.phase == failed)
}

// record is the entry that says which fields answers like e differ by; nil: they do not.
func (f *fetch) record(e *entry) *entry {
	if len(e.varies) == 0 {
		return nil
	}
	return &entry{key: f.key, uri: f.uri, names: e.varies}
}

// conclude ends the exchange with what is stored.
func (f *fetch) conclude() {
	h, result, give, keep := f.h, "revalidated", f.draft, f.draft
	others := give // what is given to them
	switch {
	case f.phase == failed:
		result, give, keep = "stale", f.old, nil
		others = give
	case give == nil:
		give = f.old
		f.forget()
	case !give.store: // it has become this client's alone
		keep, others = nil, nil
		f.forget()
	}
	f.finish(keep, others)
	h.cache.Count(result)
	f.credit.end(nil)
	if f.out == nil {
		return
	}
	f.restore()
	now := h.cache.Now()
	l := lookups.Get().(*lookup)
	l.status = appendSeconds(append(l.status[:0], f.status(f.code, "; ttl=")...), give.left(now))
	if s := h.deliver(&f.x.Request, f.out, &f.a, l, give, now, false); s != nil {
		f.credit.end(s)
		go s.run()
	}
	lookups.Put(l)
}

// forget removes what was stored.
func (f *fetch) forget() { f.h.cache.memory.remove(f.old) }

// follower is a request that waits for the answer to another one.
type follower struct {
	h      *handler
	d      *exchange.Detached
	a      asked
	given  *entry
	failed bool // it is given in the place of a failure
}

// follow takes an exchange, inside Respond and with Cache.mu held.
func (f *fetch) follow(h *handler, x *exchange.Exchange, a *asked) {
	f.followers = append(f.followers, &follower{h: h, d: exchange.Detach(x), a: *a})
	if f.timer == nil {
		f.timer = time.AfterFunc(h.settings.Wait, f.release)
	}
}

// release lets those that have waited long enough go to the responder. On a goroutine of the timer's.
func (f *fetch) release() {
	c := f.h.cache
	c.mu.Lock()
	list := f.part()
	c.mu.Unlock()
	f.h.feed(list, nil, false)
}

// feed answers followers, or has them go to the responder where e is nil, on a goroutine of its own: there may be
// thousands.
func (h *handler) feed(list []*follower, e *entry, failed bool) {
	if len(list) == 0 {
		return
	}
	go func() {
		for _, w := range list {
			if w.d.Gone() {
				w.d.Writer.Abort(0, "")
				continue
			}
			w.given, w.failed = e, failed
			w.d.Give(w)
		}
	}()
}

// Respond implements exchange.Responder.
func (w *follower) Respond(x *exchange.Exchange) {
	h, e := w.h, w.given
	if e == nil {
		h.respond(x, false)
		return
	}
	q := &x.Request
	rule := h.rule(q.Path)
	l := lookups.Get().(*lookup)
	l.key = appendExtras(appendURI(l.key[:0], q, rule), q, rule)
	if len(e.varies) > 0 {
		l.key = appendVariant(l.key, q, rule, e.varies)
	}
	if string(l.key) != e.key {
		lookups.Put(l)
		h.respond(x, true) // another variant, for which others may wait too
		return
	}
	now := h.cache.Now()
	u, _ := e.use(&h.settings.Policy, &w.a, now)
	if u == useNever || u == useValidated && !w.failed {
		lookups.Put(l)
		h.respond(x, false)
		return
	}
	h.cache.Count("collapsed")
	l.status = appendSeconds(append(l.status[:0], "pyspeed; fwd=uri-miss; collapsed; ttl="...), e.left(now))
	h.give(x, x.Writer, &w.a, l, e, now)
	lookups.Put(l)
}
