package cache

import (
	"context"

	"pyspeed/gateway/exchange"
)

// Before a fetch goes to the responder it asks Redis, where the cache is shared.

// ask asks for a client, whose exchange it has. Called by the edge.
func (f *fetch) ask(d *exchange.Detached) {
	f.x = &d.Exchange
	if !f.h.cache.shared.Go(func(ctx context.Context) { f.answerOr(ctx, d) }) {
		d.Give(responder(f.send))
	}
}

// answerOr answers with what is shared, or gives the exchange to the responder. On a goroutine of the store's.
func (f *fetch) answerOr(ctx context.Context, d *exchange.Detached) {
	e := f.sharedAnswer(ctx)
	if e == nil {
		d.Give(responder(f.send))
		return
	}
	f.h.cache.Count("shared")
	f.finish(e, e)
	d.Give(responder(func(x *exchange.Exchange) {
		now := f.h.cache.Now()
		l := lookups.Get().(*lookup)
		l.status = append(appendSeconds(append(l.status[:0], "pyspeed; hit; ttl="...), e.left(now)), "; detail=shared"...)
		f.h.give(x, x.Writer, &f.a, l, e, now)
		lookups.Put(l)
	}))
}

// askAgain is for a refresh: another gateway may have made one already.
func (f *fetch) askAgain(ctx context.Context) {
	if e := f.sharedAnswer(ctx); e != nil {
		f.h.cache.Count("shared")
		f.finish(e, e)
		return
	}
	f.prepare()
	f.Respond(f.x)
}

// sharedAnswer looks for a shared answer that is fresh for this request; nil: there is none. It may block as long as the store's
// timeout.
func (f *fetch) sharedAnswer(ctx context.Context) *entry {
	s := f.h.cache.shared
	record, e, v := s.get(ctx, f.key, f.uri, f.variant)
	f.versions = v
	if record != nil {
		f.names = union(f.names, record.names)
	}
	if e != nil && len(e.body) <= int(f.h.settings.MaxEntry) {
		if u, _ := e.use(&f.h.settings.Policy, &f.a, f.h.cache.Now()); u == useFresh {
			s.hits.Add(1)
			f.shared = true
			return e
		}
	}
	s.misses.Add(1)
	return nil
}

// responder makes a Responder of a function.
type responder func(x *exchange.Exchange)

// Respond implements exchange.Responder.
func (r responder) Respond(x *exchange.Exchange) { r(x) }
