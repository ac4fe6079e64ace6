package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"strconv"
	"unsafe"

	"pyspeed/gateway/exchange"
)

// Kind is what has a bucket of its own.
type Kind uint8

// The kinds.
const (
	ByAddress Kind = iota // each client's address
	ByHeader              // each value of a header field
	ByRoute               // each of the rule's paths
)

// Rule is one limit.
type Rule struct {
	Name    string   // letters, digits, "-", "_" and "."; no two rules have the same
	Paths   []string // path prefixes, in whole segments, without a slash at the end; none: every path
	Methods []string // none: every method; GET is HEAD too
	Kind    Kind
	Header  string // of ByHeader, in lower case
	Rate    Rate
	Allow   []netip.Prefix // addresses that are not limited
	// IPv6Prefix is how many bits of an IPv6 address are a client: a network gives away that many more addresses for nothing.
	IPv6Prefix int
	LogOnly    bool // nothing is refused
	Shared     bool // buckets are in Redis
	Fields     bool // answers have the RateLimit fields
	Keys       int  // for which there is room
}

// rule is a Rule in use.
type rule struct {
	Rule
	state  *ruleState
	policy string // its item of RateLimit-Policy
}

// same is whether two rules count the same things, so that what was counted goes on.
func (r *Rule) same(o *Rule) bool {
	return r.Kind == o.Kind && r.Header == o.Header && r.IPv6Prefix == o.IPv6Prefix
}

// client is what is known of who asks, found out when a rule wants to know.
type client struct {
	address netip.Addr // unmapped, without zone; invalid: it has none, on a unix socket
	known   bool
}

func (c *client) of(x *exchange.Exchange) netip.Addr {
	if !c.known {
		c.known = true
		c.address = parseAddress(x.Peer.RemoteAddr)
	}
	return c.address
}

func parseAddress(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// subject is what a request is counted under.
type subject struct {
	kind    Kind
	address netip.Addr // of ByAddress, masked
	value   []byte     // of ByHeader
	route   int        // of ByRoute
}

// subject is what the rule counts a request under; false: it is none of the rule's.
func (r *rule) subject(x *exchange.Exchange, c *client) (subject, bool) {
	route, ok := r.route(x.Request.Path)
	if !ok || !r.method(x.Request.Method) || r.allowed(x, c) {
		return subject{}, false
	}
	switch r.Kind {
	case ByRoute:
		return subject{kind: ByRoute, route: route}, true
	case ByHeader:
		if value, once := header(&x.Request, r.Header); once {
			if a := addressIn(value); a.IsValid() {
				return r.address(a), true
			}
			return subject{kind: ByHeader, value: value}, true
		}
	case ByAddress:
	}
	// Who leaves the field out, or has several, shall not be without a limit.
	a := c.of(x)
	return r.address(a), a.IsValid()
}

// addressIn is the address that a field's value is, as proxies send it.
func addressIn(value []byte) netip.Addr {
	if len(value) < 2 || len(value) > 45 {
		return netip.Addr{}
	}
	for _, c := range value {
		if c != '.' && c != ':' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return netip.Addr{}
		}
	}
	return parseAddress(unsafe.String(&value[0], len(value))) // which is only read
}

func (r *rule) address(a netip.Addr) subject {
	if a.Is6() {
		if p, err := a.Prefix(r.IPv6Prefix); err == nil {
			a = p.Addr()
		}
	}
	return subject{kind: ByAddress, address: a}
}

// route is which of the rule's paths one is below.
func (r *rule) route(path []byte) (int, bool) {
	if len(r.Paths) == 0 {
		return 0, true
	}
	for i, p := range r.Paths {
		if len(path) >= len(p) && string(path[:len(p)]) == p && (len(path) == len(p) || path[len(p)] == '/') {
			return i, true
		}
	}
	return 0, false
}

func (r *rule) method(m []byte) bool {
	if len(r.Methods) == 0 {
		return true
	}
	for _, name := range r.Methods {
		if string(m) == name || name == "GET" && string(m) == "HEAD" {
			return true
		}
	}
	return false
}

func (r *rule) allowed(x *exchange.Exchange, c *client) bool {
	if len(r.Allow) == 0 {
		return false
	}
	a := c.of(x)
	for _, p := range r.Allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// header is the value of a field that is there once, and not empty.
func header(q *exchange.Request, name string) (value []byte, once bool) {
	for i := range q.Fields {
		if exchange.EqualFold(q.Fields[i].Name, name) {
			if once {
				return nil, false
			}
			value, once = q.Fields[i].Value, true
		}
	}
	return value, once && len(value) > 0
}

// seeds are of one Limiter.
type seeds [2]maphash.Seed

// key is the subject's here.
func (s *seeds) key(of *subject) key {
	var k key
	switch of.kind {
	case ByAddress:
		b := of.address.As16()
		k = key{maphash.Bytes(s[0], b[:]), maphash.Bytes(s[1], b[:])}
	case ByHeader:
		k = key{maphash.Bytes(s[0], of.value), maphash.Bytes(s[1], of.value)}
		k.high = ^k.high // a value may have the bytes of an address
	case ByRoute:
		k = key{uint64(of.route) * 0x9e3779b97f4a7c15, uint64(of.route)}
	}
	if k == (key{}) {
		k.low = 1 // which is no free bucket's
	}
	return k
}

// shared is the key of the rule's subject in Redis. Values of header fields may be secrets, so only a hash of them is there.
func (r *rule) shared(of *subject) string {
	name := "limit:" + r.Name
	switch of.kind {
	case ByHeader:
		sum := sha256.Sum256(of.value)
		return name + ":h:" + hex.EncodeToString(sum[:16])
	case ByRoute:
		if len(r.Paths) == 0 {
			return name + ":r"
		}
		return name + ":r:" + r.Paths[of.route]
	case ByAddress:
	}
	if of.address.Is6() && r.IPv6Prefix < 128 {
		return name + ":a:" + of.address.String() + "/" + strconv.Itoa(r.IPv6Prefix)
	}
	return name + ":a:" + of.address.String()
}
