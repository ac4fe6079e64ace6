//go:build !race

package ratelimit

import (
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// null is an application and a client that need nothing.
type null struct{ answered int }

func (n *null) Respond(x *exchange.Exchange) {
	x.Source = complete{}
	_ = x.Writer.Answer(200, nil, nil)
}
func (n *null) Head(int, []exchange.Field) error { return nil }
func (n *null) Answer(int, []exchange.Field, []byte) error {
	n.answered++
	return nil
}
func (n *null) Body([]byte)       {}
func (n *null) Flush()            {}
func (n *null) End()              {}
func (n *null) Abort(int, string) {}

// allRules has one of each kind; with burst requests at once.
func allRules(burst int64) []Rule {
	rate := Rate{1, time.Hour, burst}
	return []Rule{
		{Name: "route", Kind: ByRoute, Paths: []string{"/x", "/a"}, Methods: []string{"POST", "GET"}, Rate: Rate{1, time.Hour, 2_000_000}, Fields: true, Keys: 256},
		{Name: "header", Kind: ByHeader, Header: "x-api-key", Rate: Rate{1, time.Hour, 2_000_000}, Fields: true, Keys: 256},
		{Name: "proxy", Kind: ByHeader, Header: "x-real-ip", Rate: Rate{1, time.Hour, 2_000_000}, IPv6Prefix: 64, Fields: true, Keys: 256},
		{Name: "address", Rate: rate, IPv6Prefix: 64, Allow: prefixes("10.0.0.0/8"), Fields: true, Keys: 256},
	}
}

func request(n *null, from string) exchange.Exchange {
	x := exchange.Exchange{Peer: &exchange.Peer{RemoteAddr: from}, Writer: n}
	x.Request.Method, x.Request.Path = []byte("GET"), []byte("/a/b")
	x.Request.Fields = fields("Accept", "application/json", "X-API-Key", "secret", "X-Real-IP", "2001:db8::7")
	return x
}

// TestAllocations: neither a request that passes nor one that is refused costs memory.
func TestAllocations(t *testing.T) {
	for _, from := range []string{"192.0.2.1", "2001:db8::1"} {
		for name, burst := range map[string]int64{"passes": 2_000_000, "refused": 1} {
			n := &null{}
			l := New(nil, func() time.Duration { return 0 }, nil)
			l.Configure(allRules(burst))
			wrapped, x := l.Wrap(n), request(n, from)
			if allocs := testing.AllocsPerRun(1000, func() {
				x.Writer = n
				wrapped.Respond(&x)
			}); allocs != 0 {
				t.Errorf("%s, %s: %v allocations", from, name, allocs)
			}
			if n.answered != 1001 {
				t.Errorf("%d answers", n.answered)
			}
		}
	}
}

func BenchmarkLimiter(b *testing.B) {
	f := func(name string, rules ...Rule) {
		b.Run(name, func(b *testing.B) {
			n := &null{}
			l := New(nil, func() time.Duration { return 0 }, nil)
			l.Configure(rules)
			wrapped, x := l.Wrap(n), request(n, "192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				x.Writer = n
				wrapped.Respond(&x)
			}
		})
	}
	fast := Rate{100_000_000, time.Second, 100_000_000}
	f("none")
	f("another route", Rule{Name: "a", Kind: ByRoute, Paths: []string{"/x"}, Rate: fast, Fields: true, Keys: 256})
	f("address", Rule{Name: "a", Rate: fast, Fields: true, Keys: 256})
	f("address, no fields", Rule{Name: "a", Rate: fast, Keys: 256})
	f("refused", Rule{Name: "a", Rate: Rate{1, time.Hour, 1}, Fields: true, Keys: 256})
	f("four rules", allRules(2_000_000)...)
}
