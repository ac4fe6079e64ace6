package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// RateLimit is one entry of [[rate_limit]]: how many requests are let through.
type RateLimit struct {
	Name       string
	Paths      []string // "/", or paths without a slash at their end; none: all
	Methods    []string // none: all
	Key        string   // address, route, or header: and the name of a field in lower case
	Rate       Rate
	Burst      int // 0: as many as Rate.Count
	Allow      []string
	IPv6Prefix int
	LogOnly    bool
	Shared     bool
	Headers    bool
	Keys       int
}

// Rate is a number of requests in a time. The zero Rate is none.
type Rate struct {
	Count  int64
	Period time.Duration
}

const rateLimitTable = "rate_limit"

// Bounds of rates. The units of a full bucket, microseconds that one request has, stay within 2^53 (gateway/ratelimit.MostUnits).
const (
	mostRate  = 100_000_000
	mostUnits = 9_000_000_000_000_000
)

func rateLimits() *list {
	return &list{
		table: rateLimitTable, title: "Rate limits", applies: AtOnce,
		help: "How many requests are let through, of each address, each value of a header field or for a route",
		more: "One table for each limit; see `docs/rate_limit.md`. A request has to pass all that it is counted by; one that is refused gets 429 and counts nowhere. " +
			"What was counted stays when the configuration is read again, by the rule's `name`.",
		options: rateLimitOptions,
		length:  func(c *Config) int { return len(c.RateLimits) },
		sample:  map[string]string{"rate": `"10/s"`},
		check:   (*merge).checkRateLimit,
		take:    func(to, from *Config) { to.RateLimits = from.RateLimits },
	}
}

// rateLimitOptions are the records of one entry of [[rate_limit]].
func rateLimitOptions(entry int) []option {
	in := func(field func(*RateLimit) any) func(*Config) any {
		return func(c *Config) any {
			for len(c.RateLimits) <= entry {
				c.RateLimits = append(c.RateLimits, RateLimit{})
			}
			return field(&c.RateLimits[entry])
		}
	}
	return []option{
		{
			key: "name", kind: label{}, field: in(func(r *RateLimit) any { return &r.Name }),
			help: "what fields, metrics and the log call it; empty: limit1 for the first, and so on",
		},
		{
			key: "path", kind: routes{}, field: in(func(r *RateLimit) any { return &r.Paths }),
			help: "paths below which requests are counted, in whole segments; none: all requests are",
			more: "`/login` takes `/login` and `/login/…`, not `/login2`. Compared with the path after it was percent-decoded, once.",
		},
		{
			key: "methods", kind: texts{"methods such as POST", isMethod}, field: in(func(r *RateLimit) any { return &r.Methods }),
			help: "methods of the requests that are counted; none: all; GET is HEAD too",
		},
		{
			key: "key", kind: limitKey{}, value: "address", field: in(func(r *RateLimit) any { return &r.Key }),
			help: "what has a limit of its own: each address, each value of a field (header:X-API-Key), or each path of the rule (route)",
			more: "Requests without the field, or with several, are counted by their address. A value that is an IP address is taken for one, so that `header:X-Real-IP` is for gateways behind a proxy that sets it. " +
				"Clients on unix sockets have no address and pass.",
		},
		{
			key: "rate", kind: rate{}, field: in(func(r *RateLimit) any { return &r.Rate }),
			help: "requests in a time, such as 10/s, 100/m, 1000/h, 20000/d or 5/10s; must be given",
		},
		{
			key: "burst", kind: number{min: 1, max: mostRate, auto: true}, value: "auto", field: in(func(r *RateLimit) any { return &r.Burst }),
			help: "requests that may come at once before the rate counts; auto: as many as in rate",
			more: "`100/m` with `auto` lets 100 requests through at once, and then one each 0.6 s. With 1 each has to keep that distance.",
		},
		{
			key: "allow", kind: texts{"addresses or networks, such as 10.0.0.0/8 and ::1", isNetwork}, field: in(func(r *RateLimit) any { return &r.Allow }),
			help: "addresses and networks that are not counted",
		},
		{
			key: "ipv6_prefix", kind: number{min: 1, max: 128}, value: "64", field: in(func(r *RateLimit) any { return &r.IPv6Prefix }),
			help: "bits of an IPv6 address that are one client; who has one has the other addresses of its /64 too",
		},
		{
			key: "log_only", kind: boolean{}, value: "false", field: in(func(r *RateLimit) any { return &r.LogOnly }),
			help: "refuse nothing, but log and count what would have been",
		},
		{
			key: "shared", kind: boolean{}, value: "false", field: in(func(r *RateLimit) any { return &r.Shared }),
			help: "count in Redis, together with other gateways; needs redis.url",
		},
		{
			key: "headers", kind: boolean{}, value: "true", field: in(func(r *RateLimit) any { return &r.Headers }),
			help: "tell clients in the fields RateLimit and RateLimit-Policy",
		},
		{
			key: "keys", kind: number{min: 256, max: 1 << 26}, value: "131072", field: in(func(r *RateLimit) any { return &r.Keys }),
			help: "keys that are remembered, 32 bytes each; of more, those that have used least are forgotten",
		},
	}
}

// checkRateLimit checks one entry after all of them were read, and gives it a name.
func (m *merge) checkRateLimit(entry int, label func(leaf string) string) error {
	r := &m.config.RateLimits[entry]
	if r.Rate.Count == 0 {
		return fmt.Errorf("%s: is missing; write, for example, rate = \"10/s\"", label("rate"))
	}
	if r.Name == "" {
		r.Name = "limit" + strconv.Itoa(entry+1)
	}
	for i := range entry {
		if m.config.RateLimits[i].Name == r.Name {
			return fmt.Errorf("%s: %s is the name of an entry before", label("name"), quote(r.Name))
		}
	}
	burst := int64(r.Burst)
	if burst == 0 {
		burst = r.Rate.Count
	}
	if burst > mostUnits/r.Rate.Period.Microseconds() {
		return fmt.Errorf("%s: %d requests in %v are more than can be counted; write the same rate with a shorter time", label("rate"), burst, r.Rate.Period)
	}
	if r.Shared && m.config.Redis.URL == "" {
		return fmt.Errorf("%s: there is no Redis to share it through; set %s", label("shared"), keyRedisURL)
	}
	return nil
}

// ParseNetwork reads an address or a network. IPv4 addresses in the form of IPv6 are taken for what they are.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone is not of the address")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func isNetwork(s string) bool {
	_, err := ParseNetwork(s)
	return err == nil
}

func isMethod(s string) bool { return isToken(s) }

// rate is a Rate: N/s, N/m, N/h, N/d, or N/TIME.
type rate struct{}

func (k rate) read(raw any, base string) (any, error) {
	s, ok := stringOf(raw)
	if ok && s == "" && isText(raw) {
		return Rate{}, nil // the default: none
	}
	number, unit, ok2 := strings.Cut(s, "/")
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if !ok || !ok2 || err != nil || n < 1 || n > mostRate {
		return nil, errExpected(k, raw)
	}
	unit = strings.TrimSpace(unit)
	if unit == "" || unit[0] < '0' || unit[0] > '9' {
		unit = "1" + unit
	}
	factor := time.Duration(1)
	if days, isDays := strings.CutSuffix(unit, "d"); isDays {
		unit, factor = days+"h", 24
	}
	period, err := time.ParseDuration(unit)
	if period *= factor; err != nil || period < time.Second || period > 31*24*time.Hour || period%time.Second != 0 {
		return nil, errExpected(k, raw)
	}
	return Rate{n, period}, nil
}

func (rate) write(v any) string {
	r := v.(Rate)
	if r.Count == 0 {
		return `""`
	}
	const day = 24 * time.Hour
	for _, u := range []struct {
		name string
		time.Duration
	}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if r.Period%u.Duration != 0 {
			continue
		}
		unit := u.name
		if n := int64(r.Period / u.Duration); n > 1 {
			unit = strconv.FormatInt(n, 10) + u.name
		}
		return tomlString(strconv.FormatInt(r.Count, 10) + "/" + unit)
	}
	return `""`
}
func (rate) argument() string { return "N/TIME" }
func (rate) expects() string {
	return `requests in a time of whole seconds, at most 31 days, such as "10/s", "100/m", "1000/h", "20000/d" or "5/10s"`
}

// limitKey is address, route, or header: with the name of a field, which becomes lower case.
type limitKey struct{}

func (k limitKey) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if name, isHeader := strings.CutPrefix(s, "header:"); ok && isHeader && isToken(name) {
		return "header:" + strings.ToLower(name), nil
	}
	if !ok || s != "address" && s != "route" {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (limitKey) write(v any) string { return tomlString(v.(string)) }
func (limitKey) argument() string   { return "KEY" }
func (limitKey) expects() string {
	return `"address", "route" or the name of a field, such as "header:X-API-Key"`
}

// label is a name that can stand in fields, metrics and keys, or "".
type label struct{}

func (k label) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') && !strings.ContainsRune("-_.", r)
	}) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (label) write(v any) string { return tomlString(v.(string)) }
func (label) argument() string   { return "NAME" }
func (label) expects() string    { return `at most 64 letters, digits, "-", "_" and "."` }

// routes is a list of path prefixes.
type routes struct{}

func (k routes) read(raw any, base string) (any, error) {
	v, err := texts{what: "paths"}.read(raw, base)
	if err != nil {
		return nil, errExpected(k, raw)
	}
	list := v.([]string)
	for i, s := range list {
		one, err := route{}.read(s, base)
		if err != nil {
			return nil, err
		}
		list[i] = one.(string)
	}
	return list, nil
}
func (routes) write(v any) string { return texts{}.write(v) }
func (routes) argument() string   { return "LIST" }
func (routes) expects() string    { return `a path such as "/login", or an array of them` }
