package cache

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
)

// phase is how far an answer is.
type phase uint8

const (
	waiting   phase = iota // for its head
	through                // it goes to the client as it comes
	gathering              // that too, and a copy is to be stored
	validated              // 304: what is stored holds
	failed                 // what is stored is given in its place
)

// fetch is one request to the responder whose answer may be stored: the Writer of the answer, and the Source between the client
// that asked and the responder. Nobody may have asked: then it is a refresh.
type fetch struct {
	h        *handler
	x        *exchange.Exchange
	out      exchange.Writer // nil: a refresh
	a        asked
	rule     *Rule
	key, uri string
	names    []string // of the fields that answers are known to differ by
	old      *entry   // stored, and stale
	why      string
	sent     time.Duration
	original exchange.Request // as the client sent it, where it was changed
	changed  bool

	// The writer's.
	phase phase
	muted bool // the client gets no body
	draft *entry
	body  []byte
	held  int // of the budget
	size  int64
	code  int // the responder's status

	credit credit

	versions *versions // where the answer is to be shared
	shared   bool      // it was

	// Guarded by Cache.mu.
	flight    string // under which it is in Cache.flights; "": nobody may follow
	followers []*follower
	timer     *time.Timer
	doomed    bool // what it brings was purged meanwhile
	listed    bool // in Cache.active
	before    *fetch
	after     *fetch // of the same URI
}

// fetch gives the exchange to the responder, or has it follow one that is there already. seen is what the lookup found, of
// which old is to be validated.
func (h *handler) fetch(x *exchange.Exchange, a *asked, rule *Rule, l *lookup, seen, old *entry, why string, join bool) {
	c := h.cache
	key := len(l.key)
	if a.authorization || a.cookie {
		l.key = append(l.key, credentials...)
	}
	flight := len(l.key)
	l.key = append(l.key, "\n\nmark"...)
	if mark := c.memory.find(l.key); mark != nil && mark.left(c.Now()) > 0 || old != nil && old.always || a.cc.NoCache && h.settings.ClientControl {
		join = false
	}
	c.mu.Lock()
	if join {
		if f := c.flights[string(l.key[:flight])]; f != nil {
			f.follow(h, x, a)
			c.mu.Unlock()
			return
		}
		if c.memory.find(l.key[:key]) != seen { // one that could have been followed has just ended
			c.mu.Unlock()
			h.respond(x, true)
			return
		}
	}
	f := h.newFetch(x, a, rule, l, key, old, why)
	if join {
		f.flight = string(l.key[:flight])
		c.flights[f.flight] = f
	}
	c.enlist(f)
	c.mu.Unlock()
	if old == nil {
		c.Count("miss")
	}
	if c.shared.usable() && join && len(f.key) <= longestKey {
		f.ask(exchange.Detach(x))
		return
	}
	f.send(x)
}

// send gives the exchange to the responder.
func (f *fetch) send(x *exchange.Exchange) {
	f.prepare()
	if enc := f.h.settings.Encoder; enc != nil {
		enc.Wrap(f).Respond(x)
		return
	}
	f.Respond(x)
}

// newFetch makes a fetch for the key l.key[:key].
func (h *handler) newFetch(x *exchange.Exchange, a *asked, rule *Rule, l *lookup, key int, old *entry, why string) *fetch {
	f := &fetch{h: h, x: x, a: *a, rule: rule, key: string(l.key[:l.whole]), uri: string(l.key[:l.uri]), old: old, why: why, sent: h.cache.Now()}
	if key > l.whole {
		if e := h.cache.memory.find(l.key[:l.whole]); e != nil {
			f.names = e.names
		}
	}
	return f
}

// refresh asks the responder for what is stale, while a client gets the stale answer, unless somebody has asked already.
func (h *handler) refresh(x *exchange.Exchange, a *asked, rule *Rule, l *lookup, old *entry) {
	c := h.cache
	flight := string(l.key)
	if a.authorization || a.cookie {
		flight += credentials
	}
	c.mu.Lock()
	if c.flights[flight] != nil || c.memory.find(l.key) != old { // it is under way, or done
		c.mu.Unlock()
		return
	}
	f := h.newFetch(nil, a, rule, l, len(l.key), old, "stale")
	f.flight = flight
	f.credit.left = true
	c.flights[flight] = f
	c.enlist(f)
	c.mu.Unlock()
	f.begin(x)
}

// credentials is behind the keys of flights of requests that have some: whether the answer is theirs alone is nothing that
// others should wait to learn.
const credentials = "\n\ncredentials"

// begin starts a refresh with a copy of the client's request.
func (f *fetch) begin(x *exchange.Exchange) {
	q := x.Request
	for _, b := range []*[]byte{&q.Method, &q.Target, &q.RawPath, &q.Path, &q.Query, &q.Authority} {
		*b = bytes.Clone(*b)
	}
	q.Fields = make([]exchange.Field, 0, len(x.Request.Fields))
	for _, field := range x.Request.Fields {
		if exchange.EqualFold(field.Name, "range") || exchange.EqualFold(field.Name, "if-range") {
			continue // the whole answer is what is kept
		}
		q.Fields = append(q.Fields, exchange.Field{Name: bytes.Clone(field.Name), Value: bytes.Clone(field.Value)})
	}
	peer := *x.Peer
	q.Method = []byte(http.MethodGet) // who asked may have done so with HEAD
	f.x = &exchange.Exchange{Request: q, Peer: &peer, Accepted: f.sent}
	if s := f.h.cache.shared; s.usable() && len(f.key) <= longestKey && s.Go(f.askAgain) {
		return
	}
	f.prepare()
	f.Respond(f.x)
}

// prepare makes the request what the responder is to get: without what the key does not have, and with the validators of
// what is stored in the place of the client's (RFC 9111 §4.3.1).
func (f *fetch) prepare() {
	q := &f.x.Request
	cookies := f.rule != nil && f.rule.RemoveCookies
	validating := f.old != nil && f.old.validates()
	// Where nobody is to wait the answer is not for others, as far as one knows, and the application may say 304 itself.
	conditions := f.a.conditional && (validating || f.flight != "")
	if !cookies && !validating && !conditions && !f.rule.filters() {
		return
	}
	f.original, f.changed = *q, true
	fields := make([]exchange.Field, 0, len(q.Fields)+2)
	for _, field := range q.Fields {
		if conditions && (exchange.EqualFold(field.Name, "if-none-match") || exchange.EqualFold(field.Name, "if-modified-since")) ||
			cookies && exchange.EqualFold(field.Name, "cookie") {
			continue
		}
		fields = append(fields, field)
	}
	if validating && len(f.old.etag) > 0 {
		fields = append(fields, exchange.Field{Name: []byte("If-None-Match"), Value: f.old.etag})
	}
	if validating && f.old.hasModified {
		fields = append(fields, exchange.Field{Name: []byte("If-Modified-Since"), Value: f.old.modified.UTC().AppendFormat(nil, httpDate)})
	}
	q.Fields = fields
	if f.rule.filters() && q.Query != nil {
		target := appendQuery(append(make([]byte, 0, len(q.Target)), q.RawPath...), q.Query, f.rule)
		q.Target, q.Query = target, nil
		if len(target) > len(q.RawPath) {
			q.Query = target[len(q.RawPath)+1:]
		}
	}
}

// restore gives the edge its request back, before the exchange ends.
func (f *fetch) restore() {
	if f.changed && f.out != nil {
		f.x.Request = f.original
	}
}

// Respond implements exchange.Responder: it puts the fetch around the responder's answer.
func (f *fetch) Respond(x *exchange.Exchange) {
	if f.x.Writer != nil {
		f.out = x.Writer
	}
	x.Writer = f
	f.h.next.Respond(x)
	// The edge looks at Source as the exchange's owner only, which it is as long as Respond runs, whether or not the
	// answer has begun, or ended, elsewhere meanwhile.
	f.credit.begin(x.Source)
	x.Source = f
}

// Drained implements exchange.Source.
func (f *fetch) Drained(n int) { f.credit.drained(n) }

// Cancelled implements exchange.Source: the client left. Where others wait for the same, the responder is not told, unless the
// answer turns out not to be for them.
func (f *fetch) Cancelled() {
	c := f.h.cache
	c.mu.Lock()
	wanted := slices.ContainsFunc(f.followers, func(w *follower) bool { return !w.d.Gone() })
	if !wanted {
		f.close()
	}
	c.mu.Unlock()
	f.credit.cancelled(wanted)
}

// credit is what the responder is told of its body: that bytes have left, or are kept here.
type credit struct {
	mu       sync.Mutex
	inner    exchange.Source
	early    bool // bytes count as gone when they come: the client has left, or gets none
	over     bool // the responder has ended its answer
	taken    int64
	ahead    int64 // of them, what the responder need not wait for: it came while others waited too
	gone     int64 // as the edge says
	told     int64
	sender   *sender // what is stored is sent to the client: the rest is its
	left     bool    // the client has left, or there never was one
	unwanted bool    // nobody wants the answer: the responder is to be told, and was if it is known
}

// begin is told of the responder.
func (c *credit) begin(inner exchange.Source) {
	c.mu.Lock()
	c.inner = inner
	unwanted := c.unwanted && !c.over
	c.mu.Unlock()
	if unwanted {
		inner.Cancelled()
	}
	c.tell()
}

// take counts bytes of the responder's. early: from now on they are not the client's to take; ahead: the responder need not wait
// until the client has taken these.
func (c *credit) take(n int, early, ahead bool) {
	c.mu.Lock()
	c.taken += int64(n)
	c.early = c.early || early
	if ahead {
		c.ahead = c.taken
	}
	tell := c.early || ahead
	c.mu.Unlock()
	if tell {
		c.tell()
	}
}

// abandon tells the responder that nobody wants the answer, if the client has left. Not after the responder's end.
func (c *credit) abandon() {
	c.mu.Lock()
	inner := c.inner
	if !c.left || c.unwanted || c.over {
		inner = nil
	} else {
		c.unwanted = true
	}
	c.mu.Unlock()
	if inner != nil {
		inner.Cancelled()
	}
}

func (c *credit) drained(n int) {
	c.mu.Lock()
	if s := c.sender; s != nil {
		c.mu.Unlock()
		s.Drained(n)
		return
	}
	c.gone += int64(n)
	c.mu.Unlock()
	c.tell()
}

func (c *credit) tell() {
	c.mu.Lock()
	want := max(c.gone, c.ahead)
	if c.early {
		want = c.taken
	}
	n, inner := want-c.told, c.inner
	if n <= 0 || inner == nil || c.over {
		c.mu.Unlock()
		return
	}
	c.told = want
	c.mu.Unlock()
	inner.Drained(int(n))
}

// end is the end of what the responder says; s, if any, goes on.
func (c *credit) end(s *sender) {
	c.mu.Lock()
	c.over, c.sender = true, s
	left := c.left
	c.mu.Unlock()
	if s != nil && left {
		s.Cancelled()
	}
}

func (c *credit) cancelled(wanted bool) {
	c.mu.Lock()
	s := c.sender
	c.left = true
	c.early = c.early || wanted
	c.mu.Unlock()
	switch {
	case s != nil:
		s.Cancelled()
	case wanted:
		c.tell()
	default:
		c.abandon()
	}
}
