package cache

import (
	"bytes"
	"time"

	"pyspeed/gateway/exchange"
)

// facts is what the head of an answer says that matters here.
type facts struct {
	status      int
	cc          Directives
	targeted    bool // cc is CDN-Cache-Control's
	hasExpires  bool
	expires     time.Time // zero where it cannot be read: in the past (RFC 9111 §5.3)
	date        time.Time // when it was made; now where it does not say
	dated       bool
	age         int64
	modified    time.Time
	hasModified bool
	etag        []byte
	length      int64 // Content-Length; -1: none
	contentType []byte
	setCookie   bool
	varyAll     bool // Vary: *
	partial     bool // Content-Range
	allowOrigin bool // Access-Control-Allow-Origin of one origin
}

// readFacts reads the head of a final answer that came at now.
func readFacts(status int, fields []exchange.Field, now time.Time) facts {
	a := facts{status: status, cc: noDirectives, length: -1}
	own, aged := noDirectives, false
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		switch len(name) {
		case 3:
			if exchange.EqualFold(name, "age") && !aged { // §5.1: the first
				a.age, aged = seconds(exchange.TrimOWS(value)), true
			}
		case 4:
			switch {
			case exchange.EqualFold(name, "date"):
				a.date, a.dated = date(value)
			case exchange.EqualFold(name, "etag"):
				a.etag = exchange.TrimOWS(value)
			case exchange.EqualFold(name, "vary"):
				a.varyAll = a.varyAll || contains(value, "*")
			}
		case 7:
			if exchange.EqualFold(name, "expires") {
				t, _ := date(value)
				if !a.hasExpires || t.Before(a.expires) {
					a.expires = t
				}
				a.hasExpires = true
			}
		case 10:
			a.setCookie = a.setCookie || exchange.EqualFold(name, "set-cookie")
		case 12:
			if exchange.EqualFold(name, "content-type") {
				a.contentType = exchange.TrimOWS(value)
			}
		case 13:
			switch {
			case exchange.EqualFold(name, "cache-control"):
				a.cc.add(value)
			case exchange.EqualFold(name, "last-modified"):
				a.modified, a.hasModified = date(value)
			case exchange.EqualFold(name, "content-range"):
				a.partial = true
			}
		case 14:
			if exchange.EqualFold(name, "content-length") {
				if a.length = seconds(exchange.TrimOWS(value)); a.length == forever {
					a.length = 1 << 62
				}
			}
		case 17:
			if exchange.EqualFold(name, "cdn-cache-control") {
				if a.targeted && own.Said || !own.targeted(value) {
					own = noDirectives
				}
				a.targeted = own.Said
			}
		case 27:
			a.allowOrigin = a.allowOrigin || exchange.EqualFold(name, "access-control-allow-origin") && string(exchange.TrimOWS(value)) != "*"
		}
	}
	if !a.dated {
		a.date = now
	}
	if a.targeted { // RFC 9213 §2.1: Cache-Control and Expires do not count then
		a.cc, a.hasExpires = own, false
	}
	return a
}

// lifetime is the freshness lifetime that the answer gives itself (RFC 9111 §4.2.1); ok is false where it gives none.
func (a *facts) lifetime() (d time.Duration, ok bool) {
	switch {
	case a.cc.SMaxAge != none:
		return time.Duration(a.cc.SMaxAge) * time.Second, true
	case a.cc.MaxAge != none:
		return time.Duration(a.cc.MaxAge) * time.Second, true
	case a.hasExpires:
		return max(a.expires.Sub(a.date), 0), true
	}
	return 0, false
}

// heuristic is a lifetime for an answer that gives itself none (§4.2.2): a tenth of the time since it was modified, a
// day at most.
func (a *facts) heuristic() time.Duration {
	if !a.hasModified || !heuristically(a.status) {
		return 0
	}
	return min(max(a.date.Sub(a.modified), 0)/10, 24*time.Hour)
}

// initialAge is corrected_initial_age (§4.2.3), of an answer that came at now to a request sent delay before.
func (a *facts) initialAge(now time.Time, delay time.Duration) time.Duration {
	apparent := time.Duration(0)
	if a.dated {
		apparent = max(now.Sub(a.date), 0)
	}
	if a.age == 0 {
		return apparent
	}
	return max(apparent, time.Duration(a.age)*time.Second+delay)
}

// heuristically is whether a status is cacheable without explicit freshness (RFC 9110 §15.1).
func heuristically(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood is whether the status is one whose meaning for caches is known here (RFC 9111 §5.2.2.3).
func understood(status int) bool {
	switch status {
	case 302, 303, 307, 400, 401, 403, 406, 409, 411, 412, 413, 415, 417, 421, 422, 425, 426, 429, 431, 451, 500, 502, 503, 504, 505, 511:
		return true
	}
	return heuristically(status)
}

// terms are on which an answer is stored.
type terms struct {
	store   bool
	why     string // not; for Cache-Status
	fresh   time.Duration
	while   time.Duration // stale-while-revalidate
	onError time.Duration // stale-if-error
	// always says that it is given to nobody without asking the responder (no-cache).
	always bool
	// strict says that it must not be given once it is stale (must-revalidate, proxy-revalidate).
	strict bool
	// bound says that a client's max-stale does not count either (s-maxage).
	bound bool
	// forCookies and forAuthorized say that it may be given to requests with credentials of that kind.
	forCookies, forAuthorized bool
}

func refused(why string) terms { return terms{why: why} }

// judge decides whether the answer a to a GET may be stored (RFC 9111 §3) and on which terms. rule is the operator's for the
// path, nil for none; varies tells of a field whether it is in Vary.
func judge(p *Policy, rule *Rule, q *asked, a *facts, path []byte, varies func(string) bool) terms {
	cc := &a.cc
	switch {
	case a.status < 200, a.status == 206, a.status == 304, a.status == 416, a.partial:
		return refused("status") // §3.3: parts are not put together here
	case cc.MustUnderstand && !understood(a.status):
		return refused("must-understand")
	case cc.NoStore && !cc.MustUnderstand: // §5.2.2.3
		return refused("no-store")
	case cc.Private:
		return refused("private")
	case a.setCookie && !(rule != nil && rule.RemoveSetCookie):
		return refused("set-cookie")
	case a.varyAll:
		return refused("vary")
	case contentIs(a.contentType, "text/event-stream"):
		return refused("stream")
	}
	t := terms{store: true, always: cc.NoCache, strict: cc.MustRevalidate || cc.ProxyRevalidate || cc.NoCache, bound: cc.SMaxAge != none}
	t.while, t.onError = said(cc.StaleWhileRevalidate), said(cc.StaleIfError)
	shared := cc.Public || cc.SMaxAge != none
	t.forAuthorized = shared || cc.MustRevalidate || varies("authorization") // §3.5
	t.forCookies = shared || a.targeted || p.ShareCookies || varies("cookie")
	fresh, explicit := a.lifetime()
	if rule != nil && rule.TTL > 0 && rule.status(a.status) && (rule.Override || !explicit && !cc.NoCache) {
		if deceives(path, a.contentType) {
			return refused("type")
		}
		fresh, explicit, t.always = rule.TTL, true, false
		t.while, t.onError = max(t.while, rule.StaleWhileRevalidate), max(t.onError, rule.StaleIfError)
		// What the operator says is of answers that nobody has signed in for.
		t.forAuthorized, t.forCookies = varies("authorization"), p.ShareCookies || varies("cookie")
	}
	if !explicit && p.Heuristic && !q.cookie && !q.authorization && !deceives(path, a.contentType) {
		if fresh = a.heuristic(); fresh > 0 {
			explicit, t.forCookies, t.forAuthorized = true, false, false
		}
	}
	switch {
	case q.authorization && !t.forAuthorized:
		return refused("authorization")
	case q.cookie && !t.forCookies:
		return refused("cookie")
	case !explicit && !cc.Public && !cc.NoCache, !explicit && !heuristically(a.status):
		return refused("no-freshness")
	}
	if t.strict {
		t.while, t.onError = 0, 0
	}
	if t.always {
		fresh = 0
	}
	t.fresh = fresh
	if !a.validated() && t.fresh+max(t.while, t.onError) <= 0 {
		return refused("stale") // nobody could ever use it
	}
	return t
}

// validated is whether the answer has a validator to ask with.
func (a *facts) validated() bool { return len(a.etag) > 0 || a.hasModified }

func said(n int64) time.Duration {
	if n == none {
		return 0
	}
	return time.Duration(n) * time.Second
}

// contentIs compares a media type without its parameters.
func contentIs(contentType []byte, media string) bool {
	name, _, _ := bytes.Cut(contentType, []byte{';'})
	return exchange.EqualFold(exchange.TrimOWS(name), media)
}

// deceives is whether the path ends as a style sheet, a picture and the like do and the answer is a page or data: the
// path was made up so that somebody's page is kept under it (web cache deception).
func deceives(path, contentType []byte) bool {
	dot := bytes.LastIndexByte(path, '.')
	if dot < 0 || bytes.IndexByte(path[dot:], '/') >= 0 || !assets[string(bytes.ToLower(path[dot+1:]))] {
		return false
	}
	return len(contentType) == 0 || contentIs(contentType, "text/html") || contentIs(contentType, "application/xhtml+xml") ||
		contentIs(contentType, "application/json") || contentIs(contentType, "text/plain")
}

var assets = map[string]bool{
	"css": true, "js": true, "mjs": true, "png": true, "jpg": true, "jpeg": true, "gif": true, "svg": true, "webp": true, "avif": true, "ico": true,
	"woff": true, "woff2": true, "ttf": true, "otf": true, "eot": true, "mp3": true, "mp4": true, "webm": true, "pdf": true, "zip": true, "gz": true,
	"wasm": true, "map": true, "csv": true, "doc": true, "docx": true, "xls": true, "xlsx": true, "ppt": true, "pptx": true,
}
