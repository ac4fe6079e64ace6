package cache

import (
	"math"

	"pyspeed/gateway/exchange"
)

// Directives are what Cache-Control says (RFC 9111 §5.2), of requests or of answers. Times are in seconds.
type Directives struct {
	NoStore, NoCache, Private, Public, MustRevalidate, ProxyRevalidate, MustUnderstand, OnlyIfCached bool

	MaxAge, SMaxAge, StaleWhileRevalidate, StaleIfError, MinFresh, MaxStale int64 // none: not said

	// Said is whether there was any directive at all.
	Said bool
}

const (
	none = -1
	// forever stands for what does not fit (RFC 9111 §1.2.2).
	forever = math.MaxInt32
)

// noDirectives is where nothing was said.
var noDirectives = Directives{MaxAge: none, SMaxAge: none, StaleWhileRevalidate: none, StaleIfError: none, MinFresh: none, MaxStale: none}

// add reads one Cache-Control field's value. Names are compared without case, and an argument may be quoted or not
// (§5.2). What is not understood is left out (§5.2.3); a number that cannot be read counts as 0, as §4.2.1 encourages
// to take such an answer for stale; of several the smallest counts.
func (d *Directives) add(value []byte) {
	for len(value) > 0 {
		var name, argument []byte
		var has bool
		name, argument, has, value = directive(value)
		if len(name) > 0 {
			d.set(name, argument, has)
		}
	}
}

func (d *Directives) set(name, argument []byte, has bool) {
	d.Said = true
	switch len(name) {
	case 6:
		d.Public = d.Public || exchange.EqualFold(name, "public")
	case 7:
		switch {
		case exchange.EqualFold(name, "private"): // with names of fields too: §5.2.2.7 allows to take it for one without
			d.Private = true
		case exchange.EqualFold(name, "max-age"):
			least(&d.MaxAge, seconds(argument))
		}
	case 8:
		switch {
		case exchange.EqualFold(name, "no-store"):
			d.NoStore = true
		case exchange.EqualFold(name, "no-cache"): // likewise, §5.2.2.4
			d.NoCache = true
		case exchange.EqualFold(name, "s-maxage"):
			least(&d.SMaxAge, seconds(argument))
		}
	case 9:
		switch {
		case exchange.EqualFold(name, "max-stale") && !has: // §5.2.1.2: of any age
			least(&d.MaxStale, forever)
		case exchange.EqualFold(name, "max-stale"):
			least(&d.MaxStale, seconds(argument))
		case exchange.EqualFold(name, "min-fresh"):
			if n := seconds(argument); n > d.MinFresh {
				d.MinFresh = n
			}
		}
	case 14:
		switch {
		case exchange.EqualFold(name, "only-if-cached"):
			d.OnlyIfCached = true
		case exchange.EqualFold(name, "stale-if-error"):
			least(&d.StaleIfError, seconds(argument))
		}
	case 15:
		switch {
		case exchange.EqualFold(name, "must-revalidate"):
			d.MustRevalidate = true
		case exchange.EqualFold(name, "must-understand"):
			d.MustUnderstand = true
		}
	case 16:
		d.ProxyRevalidate = d.ProxyRevalidate || exchange.EqualFold(name, "proxy-revalidate")
	case 22:
		if exchange.EqualFold(name, "stale-while-revalidate") {
			least(&d.StaleWhileRevalidate, seconds(argument))
		}
	}
}

// directive cuts the first element off a list (RFC 9110 §5.6.1): its name, and what follows its "=". A comma within
// quotes separates nothing.
func directive(value []byte) (name, argument []byte, has bool, rest []byte) {
	i := 0
	for i < len(value) && value[i] != ',' && value[i] != '=' {
		i++
	}
	name = exchange.TrimOWS(value[:i])
	if i == len(value) || value[i] == ',' {
		return name, nil, false, value[min(i+1, len(value)):]
	}
	i++
	start := i
	for i < len(value) && (value[i] == ' ' || value[i] == '\t') {
		i++
	}
	if i < len(value) && value[i] == '"' {
		from := i + 1
		for i++; i < len(value) && value[i] != '"'; i++ {
			if value[i] == '\\' && i+1 < len(value) {
				i++
			}
		}
		argument = value[from:min(i, len(value))]
		for i < len(value) && value[i] != ',' {
			i++
		}
		return name, argument, true, value[min(i+1, len(value)):]
	}
	for i < len(value) && value[i] != ',' {
		i++
	}
	return name, exchange.TrimOWS(value[start:i]), true, value[min(i+1, len(value)):]
}

// seconds reads delta-seconds (RFC 9111 §1.2.2).
func seconds(b []byte) int64 {
	if len(b) == 0 {
		return 0
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		if n = n*10 + int64(c-'0'); n > forever {
			n = forever
		}
	}
	return n
}

func least(to *int64, n int64) {
	if *to == none || n < *to {
		*to = n
	}
}
