package cache

import "pyspeed/gateway/exchange"

// asked is what a request says that matters here.
type asked struct {
	cc                     Directives
	authorization, cookie  bool
	conditional            bool // If-None-Match or If-Modified-Since
	ranged                 bool
	extras                 bool   // fields that may be part of the key
	bypass                 string // why the cache has no part in it; "": it has
	noneMatch, since, span []byte // the first of each
}

// readRequest reads a GET or a HEAD.
func readRequest(q *exchange.Request) asked {
	a := asked{cc: noDirectives}
	if q.ContentLength != 0 || q.ExpectContinue {
		// RFC 9110 §9.3.1: a body of GET has no meaning, but applications may give it one that others do not share.
		a.bypass = "body"
		return a
	}
	if len(q.Target) == 0 || q.Target[0] != '/' {
		a.bypass = "target" // absolute-form: an application may believe Host instead
		return a
	}
	pragma := false
	for i := range q.Fields {
		name, value := q.Fields[i].Name, q.Fields[i].Value
		switch len(name) {
		case 5:
			if exchange.EqualFold(name, "range") {
				a.ranged, a.span = true, value
			}
		case 6:
			switch {
			case exchange.EqualFold(name, "cookie"):
				a.cookie = true
			case exchange.EqualFold(name, "pragma"):
				pragma = pragma || contains(value, "no-cache")
			}
		case 8:
			if exchange.EqualFold(name, "if-match") {
				a.bypass = "precondition"
			}
		case 13:
			switch {
			case exchange.EqualFold(name, "cache-control"):
				a.cc.add(value)
			case exchange.EqualFold(name, "authorization"):
				a.authorization = true
			case exchange.EqualFold(name, "if-none-match"):
				if a.conditional = true; a.noneMatch == nil {
					a.noneMatch = value
				} else {
					a.bypass = "precondition" // a list in several fields: the application's business
				}
			}
		case 17:
			if exchange.EqualFold(name, "if-modified-since") {
				a.conditional, a.since = true, value
			}
		case 19:
			if exchange.EqualFold(name, "if-unmodified-since") {
				a.bypass = "precondition"
			}
		case 7:
			if exchange.EqualFold(name, "upgrade") {
				a.bypass = "upgrade"
			}
		}
		switch name[0] | 0x20 {
		case 'f', 'o':
			a.extras = true // perhaps
		case 'x':
			a.extras = true
			if steers(name) {
				a.bypass = "override"
			}
			a.authorization = a.authorization || identifies(name)
		case 'r', 'p', 'a', 'c':
			a.authorization = a.authorization || identifies(name)
		}
	}
	if pragma && !a.cc.Said { // RFC 9111 §5.4
		a.cc.NoCache = true
	}
	if a.cc.NoStore { // §5.2.1.5
		a.bypass = "no-store"
	}
	return a
}

// steers is whether applications take a field for another method or another path than the request's, so that what is answered
// is not what the key names.
func steers(name []byte) bool {
	switch len(name) {
	case 13:
		return exchange.EqualFold(name, "x-http-method") || exchange.EqualFold(name, "x-rewrite-url")
	case 14:
		return exchange.EqualFold(name, "x-original-url") || exchange.EqualFold(name, "x-original-uri") || exchange.EqualFold(name, "x-override-url")
	case 17:
		return exchange.EqualFold(name, "x-method-override")
	case 22:
		return exchange.EqualFold(name, "x-http-method-override")
	}
	return false
}

// identifies is whether a field says who asks, as Authorization does: what proxies that sign users in add, and what clients of
// programs send.
func identifies(name []byte) bool {
	switch len(name) {
	case 6:
		if exchange.EqualFold(name, "x-user") {
			return true
		}
	case 7:
		if exchange.EqualFold(name, "api-key") {
			return true
		}
	case 9:
		if exchange.EqualFold(name, "x-api-key") {
			return true
		}
	case 11:
		if exchange.EqualFold(name, "remote-user") {
			return true
		}
	case 13:
		if exchange.EqualFold(name, "x-remote-user") {
			return true
		}
	case 14:
		if exchange.EqualFold(name, "x-access-token") {
			return true
		}
	case 15:
		if exchange.EqualFold(name, "x-session-token") {
			return true
		}
	case 19:
		if exchange.EqualFold(name, "proxy-authorization") {
			return true
		}
	case 21:
		if exchange.EqualFold(name, "x-ms-client-principal") {
			return true
		}
	case 23:
		if exchange.EqualFold(name, "cf-access-jwt-assertion") {
			return true
		}
	case 24:
		if exchange.EqualFold(name, "x-goog-iap-jwt-assertion") {
			return true
		}
	case 31:
		if exchange.EqualFold(name, "x-goog-authenticated-user-email") {
			return true
		}
	}
	return begins(name, "x-auth-") || begins(name, "x-amzn-oidc-") || begins(name, "x-ms-client-principal-")
}

// begins is whether a field's name begins so, in lower case.
func begins(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && exchange.EqualFold(name[:len(prefix)], prefix)
}

// contains is whether a list of tokens has one.
func contains(list []byte, token string) bool {
	for len(list) > 0 {
		var name []byte
		name, _, _, list = directive(list)
		if exchange.EqualFold(name, token) {
			return true
		}
	}
	return false
}
