package cache

import (
	"net/http"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
)

// handler answers the requests for one responder.
type handler struct {
	cache    *Cache
	settings *Settings
	next     exchange.Responder
	pass     exchange.Responder // next, encoded
}

// lookup is the memory that one request needs until it is answered or on its way.
type lookup struct {
	key    []byte // the URI, the extras, what makes it a variant
	uri    int    // the URI is key[:uri]
	whole  int    // the primary key is key[:whole]
	status []byte
	age    []byte
	fields []exchange.Field
}

var lookups = sync.Pool{New: func() any { return &lookup{} }}

// Respond implements exchange.Responder.
func (h *handler) Respond(x *exchange.Exchange) { h.respond(x, true) }

// respond answers; join is whether the request may follow another one.
func (h *handler) respond(x *exchange.Exchange, join bool) {
	q := &x.Request
	get := string(q.Method) == http.MethodGet
	if !get && string(q.Method) != http.MethodHead {
		h.other(x)
		return
	}
	rule := h.rule(q.Path)
	if rule != nil && rule.Off {
		h.pass.Respond(x)
		return
	}
	a := readRequest(q)
	if a.bypass != "" {
		h.around(x, "bypass", a.bypass)
		return
	}
	if rule != nil && rule.RemoveCookies {
		a.cookie = false // the application does not see them
	}
	l := lookups.Get().(*lookup)
	l.key = appendURI(l.key[:0], q, rule)
	l.uri = len(l.key)
	if a.extras || rule != nil && len(rule.Headers) > 0 {
		l.key = appendExtras(l.key, q, rule)
	}
	l.whole = len(l.key)
	e, varies := h.find(l, q, rule)
	why, old := "uri-miss", (*entry)(nil)
	if varies {
		why = "vary-miss"
	}
	if e != nil {
		now := h.cache.Now()
		u, asks := e.use(&h.settings.Policy, &a, now)
		switch {
		case u == useFresh || u == useStale || u == useWhile:
			if u == useWhile {
				h.refresh(x, &a, rule, l, e)
			}
			h.hit(x, &a, l, e, now)
			lookups.Put(l)
			return
		case u == useNever:
			why = "bypass"
		case asks:
			why, old = "request", e
		default:
			why, old = "stale", e
		}
	}
	switch {
	case a.cc.OnlyIfCached && h.settings.ClientControl: // RFC 9111 §5.2.1.7
		x.Source = nothing{}
		x.Writer.Abort(http.StatusGatewayTimeout, "nothing is stored that may be used, and the request allows nothing else")
	case !get:
		h.through(x, &passing{stored: old}, "method", "")
	case a.ranged: // parts are the application's business; a whole answer is stored when somebody asks for it
		h.around(x, why, "range")
	default:
		h.fetch(x, &a, rule, l, e, old, why, join && why != "request")
	}
	lookups.Put(l)
}

// rule is the one for a decoded path; nil: none.
func (h *handler) rule(path []byte) *Rule {
	for i := range h.settings.Rules {
		if r := &h.settings.Rules[i]; r.match(path) {
			return r
		}
	}
	return nil
}

// find looks for a stored answer; varies says that there are some for the URI. The key in l is that of the answer then.
func (h *handler) find(l *lookup, q *exchange.Request, rule *Rule) (e *entry, varies bool) {
	e = h.cache.memory.find(l.key)
	if e == nil || e.names == nil {
		return e, false
	}
	l.key = appendVariant(l.key, q, rule, e.names)
	if e = h.cache.memory.find(l.key); e == nil || e.names != nil {
		return nil, true
	}
	return e, true
}

// hit answers with a stored answer.
func (h *handler) hit(x *exchange.Exchange, a *asked, l *lookup, e *entry, now time.Duration) {
	result := "hit"
	l.status = append(l.status[:0], "pyspeed; hit; ttl="...)
	left := e.left(now)
	if left <= 0 {
		result = "stale"
	}
	l.status = appendSeconds(l.status, left)
	h.cache.Count(result)
	h.give(x, x.Writer, a, l, e, now)
}

// other is for methods that are not answered from the cache.
func (h *handler) other(x *exchange.Exchange) {
	// Methods are case-sensitive (RFC 9110 §9.1), but there are applications that take "get" for GET, and so change nothing.
	for _, safe := range [...]string{"get", "head", "options", "trace"} {
		if exchange.EqualFold(x.Request.Method, safe) {
			h.around(x, "method", "")
			return
		}
	}
	h.through(x, &passing{x: x, unsafe: true}, "method", "")
}

// around gives the exchange to the responder, without a part in it.
func (h *handler) around(x *exchange.Exchange, why, detail string) {
	h.through(x, &passing{}, why, detail)
}

// through is around, with a look at the answer.
func (h *handler) through(x *exchange.Exchange, p *passing, why, detail string) {
	p.Writer, p.h, p.status = x.Writer, h, h.status(why, detail)
	x.Writer = p
	h.cache.Count("pass")
	h.pass.Respond(x)
}

// status is a member of Cache-Status for a request that went on (RFC 9211 §2.2).
func (h *handler) status(why, detail string) string {
	s := "pyspeed; fwd=" + why
	if detail != "" {
		s += "; detail=" + detail
	}
	return s
}

// nothing is the Source of an answer that is complete already.
type nothing struct{}

func (nothing) Drained(int) {}
func (nothing) Cancelled()  {}
