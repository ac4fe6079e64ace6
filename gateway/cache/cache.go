package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/redisstore"
)

// Settings of a cache. They may be exchanged; what is kept stays.
type Settings struct {
	Policy
	Rules []Rule // the first that matches a path counts
	Strip Strip
	// MaxEntry is the largest body that is kept, in bytes.
	MaxEntry int64
	// Wait is how long a request waits for the answer to another one for the same; then it goes to the responder itself.
	Wait time.Duration
	// Status is whether answers say what the cache did, in Cache-Status (RFC 9211).
	Status bool
	// Encoder encodes answers as clients accept them; nil: nobody does.
	Encoder Encoder
}

// Encoder encodes answers: the filter that would else stand between the cache and the client. Safe for concurrent use.
type Encoder interface {
	// Wrap puts it around the answers of next.
	Wrap(next exchange.Responder) exchange.Responder
	// Form is which form of an answer that is there whole a request gets, by a number below 8; negative: the answer as it is.
	Form(q *exchange.Request, status int, fields []exchange.Field, length int64) int
	// Fields are those of that form.
	Fields(form int, fields []exchange.Field) []exchange.Field
	// Make makes that form. It may take time.
	Make(form int, fields []exchange.Field, body []byte) ([]exchange.Field, []byte)
}

// Runtime is what a cache needs of the gateway.
type Runtime struct {
	Budget *exchange.Budget
	// Now is the clock that Exchange.Accepted was taken from.
	Now func() time.Duration
	// Count counts a request by what became of it, one of Results. Must not block.
	Count func(result string)
	// Redis is what the cache is shared through; nil: it is this gateway's alone. Run is needed then.
	Redis *redisstore.Store
	Log   *slog.Logger // with Redis
}

// Results are what Runtime.Count is called with.
func Results() []string {
	return []string{"hit", "stale", "miss", "revalidated", "collapsed", "pass", "shared"}
}

// Cache is what is kept, and what is under way. Safe for concurrent use.
type Cache struct {
	Runtime
	memory *memory
	shared *shared // nil: nothing is

	mu      sync.Mutex
	flights map[string]*fetch // those that may be followed
	active  map[string]*fetch // all whose answer may be stored, by URI: the first of each
}

// New makes a cache that keeps size bytes.
func New(size int64, r Runtime) (*Cache, error) {
	m, err := newMemory(size)
	if err != nil {
		return nil, err
	}
	c := &Cache{Runtime: r, memory: m, flights: map[string]*fetch{}, active: map[string]*fetch{}}
	if r.Redis != nil {
		c.shared = newShared(c, r.Redis, r.Log)
	}
	return c, nil
}

// Run hears what other gateways purge until ctx ends, where the cache is shared.
func (c *Cache) Run(ctx context.Context) {
	if c.shared != nil {
		c.shared.run(ctx)
	}
}

// Shared are counters of what is shared, by what they count; nil where nothing is.
func (c *Cache) Shared() map[string]uint64 {
	if c.shared == nil {
		return nil
	}
	return c.shared.metrics()
}

// SetSize changes how many bytes are kept.
func (c *Cache) SetSize(size int64) { c.memory.cache.SetMaximum(uint64(size)) }

// Size is how many bytes may be kept.
func (c *Cache) Size() int64 { return int64(c.memory.cache.GetMaximum()) }

// Counts are how many answers there are, about, and how many bytes they take.
func (c *Cache) Counts() (answers int, bytes uint64) { return c.memory.counts() }

// Purge removes answers, here and where they are shared, and sees to it that those that are under way are not stored either. It
// returns how many there were here. An error is about those that are shared: they are removed once that is possible, and not used before.
// It may block where the cache is shared.
func (c *Cache) Purge(p Purge) (int, error) {
	p.URL, p.Prefix = normal(p.URL), normal(p.Prefix)
	n := c.purgeHere(&p)
	if c.shared == nil {
		return n, nil
	}
	c.shared.follow(&p)
	if c.shared.owed.Load() {
		return n, errOwed
	}
	return n, nil
}

var errOwed = errors.New("removed here, but not yet from Redis, which cannot be reached; until it can, its answers are not used here, and other gateways keep theirs")

// invalidate removes all that is stored of a URI. It does not block.
func (c *Cache) invalidate(uri string) {
	p := Purge{uri: uri}
	c.purgeHere(&p)
	if c.shared != nil {
		c.shared.tell(p)
	}
}

// purgeHere removes answers from the memory.
func (c *Cache) purgeHere(p *Purge) int {
	c.mu.Lock()
	doom := func(f *fetch) {
		for ; f != nil; f = f.after {
			f.doom()
		}
	}
	if p.uri != "" {
		doom(c.active[p.uri])
	} else {
		for uri, f := range c.active {
			if p.Tag != "" || p.selects(uri) {
				doom(f)
			}
		}
	}
	c.mu.Unlock()
	return c.memory.drop(p)
}

// enlist notes that a fetch may store its answer. With mu held.
func (c *Cache) enlist(f *fetch) {
	f.listed, f.after = true, c.active[f.uri]
	if f.after != nil {
		f.after.before = f
	}
	c.active[f.uri] = f
}

// delist notes that a fetch stores nothing any more. With mu held.
func (c *Cache) delist(f *fetch) {
	if !f.listed {
		return
	}
	f.listed = false
	switch {
	case f.before != nil:
		f.before.after = f.after
	case f.after != nil:
		c.active[f.uri] = f.after
	default:
		delete(c.active, f.uri)
	}
	if f.after != nil {
		f.after.before = f.before
	}
	f.before, f.after = nil, nil
}

// Stop cancels requests that no client waits for any more: those that bring what is stale anew, and those whose clients have left.
func (c *Cache) Stop() {
	var fetches []*fetch
	c.mu.Lock()
	for _, f := range c.active {
		for ; f != nil; f = f.after {
			fetches = append(fetches, f)
		}
	}
	c.mu.Unlock()
	for _, f := range fetches {
		f.credit.abandon()
	}
}

// Wrap puts the cache in front of next.
func (c *Cache) Wrap(s *Settings, next exchange.Responder) exchange.Responder {
	h := &handler{cache: c, settings: s, next: next, pass: next}
	if s.Encoder != nil {
		h.pass = s.Encoder.Wrap(next)
	}
	return h
}
