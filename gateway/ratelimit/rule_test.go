package ratelimit

import (
	"net/netip"
	"testing"

	"pyspeed/gateway/exchange"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func fields(pairs ...string) []exchange.Field {
	var all []exchange.Field
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, exchange.Field{Name: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return all
}

// TestSubject: what a request is counted under, as it is called in Redis.
func TestSubject(t *testing.T) {
	f := func(name, want string, r Rule, address, method, path string, pairs ...string) {
		t.Helper()
		r.Name = "r"
		if r.IPv6Prefix == 0 {
			r.IPv6Prefix = 64
		}
		x := &exchange.Exchange{Peer: &exchange.Peer{RemoteAddr: address}}
		x.Request.Method, x.Request.Path, x.Request.Fields = []byte(method), []byte(path), fields(pairs...)
		one := rule{Rule: r}
		var c client
		got := ""
		if of, ok := one.subject(x, &c); ok {
			got = one.shared(&of)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	all := Rule{}
	f("IPv4", "limit:r:a:192.0.2.1", all, "192.0.2.1", "GET", "/")
	f("IPv4 in IPv6", "limit:r:a:192.0.2.1", all, "::ffff:192.0.2.1", "GET", "/")
	f("IPv6", "limit:r:a:2001:db8:1:2::/64", all, "2001:db8:1:2:3:4:5:6", "GET", "/")
	f("IPv6, whole", "limit:r:a:2001:db8:1:2:3:4:5:6", Rule{IPv6Prefix: 128}, "2001:db8:1:2:3:4:5:6", "GET", "/")
	f("IPv6, less", "limit:r:a:2001:db8:1::/48", Rule{IPv6Prefix: 48}, "2001:db8:1:2:3:4:5:6", "GET", "/")
	f("IPv6 with a zone", "limit:r:a:fe80::/64", all, "fe80::1%eth0", "GET", "/")
	f("unix", "", all, "", "GET", "/")

	login := Rule{Paths: []string{"/login", "/a/b"}, Kind: ByRoute}
	f("route", "limit:r:r:/login", login, "", "GET", "/login")
	f("below", "limit:r:r:/login", login, "", "GET", "/login/x")
	f("second", "limit:r:r:/a/b", login, "192.0.2.1", "GET", "/a/b/")
	f("no segment", "", login, "192.0.2.1", "GET", "/login2")
	f("another", "", login, "192.0.2.1", "GET", "/")
	f("every route", "limit:r:r", Rule{Kind: ByRoute}, "", "GET", "/x")
	f("the route /", "limit:r:r:", Rule{Kind: ByRoute, Paths: []string{""}}, "", "GET", "/x")

	post := Rule{Methods: []string{"POST", "GET"}, Kind: ByRoute}
	f("POST", "limit:r:r", post, "", "POST", "/")
	f("HEAD is GET", "limit:r:r", post, "", "HEAD", "/")
	f("PUT", "", post, "", "PUT", "/")
	f("case counts", "", post, "", "post", "/")
	f("HEAD is not POST", "", Rule{Methods: []string{"POST"}, Kind: ByRoute}, "", "HEAD", "/")

	h := Rule{Kind: ByHeader, Header: "x-api-key"}
	const hash = "limit:r:h:2bb80d537b1da3e38bd30361aa855686" // of "secret"
	f("value", hash, h, "192.0.2.1", "GET", "/", "X-API-Key", "secret")
	f("on unix", hash, h, "", "GET", "/", "x-api-KEY", "secret")
	f("none", "limit:r:a:192.0.2.1", h, "192.0.2.1", "GET", "/", "X-API-Keys", "secret")
	f("empty", "limit:r:a:192.0.2.1", h, "192.0.2.1", "GET", "/", "X-API-Key", "")
	f("two", "limit:r:a:192.0.2.1", h, "192.0.2.1", "GET", "/", "X-API-Key", "secret", "X-API-Key", "b")
	f("none on unix", "", h, "", "GET", "/")
	f("an address", "limit:r:a:198.51.100.7", h, "192.0.2.1", "GET", "/", "X-API-Key", "198.51.100.7")
	f("one of IPv6", "limit:r:a:2001:db8::/64", h, "", "GET", "/", "X-API-Key", "2001:DB8::7")
	f("mapped", "limit:r:a:198.51.100.7", h, "", "GET", "/", "X-API-Key", "::ffff:198.51.100.7")
	f("no address", "limit:r:h:ba7816bf8f01cfea414140de5dae2223", h, "", "GET", "/", "X-API-Key", "abc")

	friends := Rule{Allow: prefixes("10.0.0.0/8", "2001:db8::/32")}
	f("allowed", "", friends, "10.1.2.3", "GET", "/")
	f("allowed, mapped", "", friends, "::ffff:10.1.2.3", "GET", "/")
	f("allowed, IPv6", "", friends, "2001:db8:7::1", "GET", "/")
	f("not allowed", "limit:r:a:11.1.2.3", friends, "11.1.2.3", "GET", "/")
	f("allowed by address, whatever the field", "", Rule{Kind: ByHeader, Header: "x", Allow: prefixes("10.0.0.0/8")}, "10.1.2.3", "GET", "/", "X", "1")
	f("unix is not in a network", "limit:r:r", Rule{Kind: ByRoute, Allow: prefixes("0.0.0.0/0", "::/0")}, "", "GET", "/")
}

// TestKeys: different subjects have different buckets, equal ones the same, and none is the free bucket's.
func TestKeys(t *testing.T) {
	l := New(nil, nil, nil)
	address := netip.MustParseAddr("2001:db8::1")
	bytes := address.As16()
	subjects := []subject{
		{kind: ByAddress, address: address},
		{kind: ByAddress, address: netip.MustParseAddr("2001:db8::2")},
		{kind: ByAddress, address: netip.MustParseAddr("192.0.2.1")},
		{kind: ByHeader, value: bytes[:]},
		{kind: ByHeader, value: []byte("a")},
		{kind: ByRoute},
		{kind: ByRoute, route: 1},
		{kind: ByRoute, route: 2},
	}
	seen := map[key]int{}
	for i := range subjects {
		k := l.seeds.key(&subjects[i])
		if k != l.seeds.key(&subjects[i]) || k == (key{}) {
			t.Errorf("%d: %v", i, k)
		}
		if other, ok := seen[k]; ok {
			t.Errorf("%d and %d have one key", i, other)
		}
		seen[k] = i
	}
}
