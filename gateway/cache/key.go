package cache

import (
	"bytes"
	"strings"

	"pyspeed/gateway/exchange"
)

// The primary key of a request (RFC 9111 §2) is its URI, then a line for each request field that answers differ by although no
// Vary says so: what proxies say of the client's side, and what a rule names. A key that is more than the URI alone costs a
// miss where it need not differ; one that is less would let a client choose what others get.

// appendURI appends the URI that an answer is stored under: scheme, host without case and default port, the path with its
// percent-encodings normalized (RFC 3986 §6.2.2), and what of the query counts.
func appendURI(dst []byte, q *exchange.Request, rule *Rule) []byte {
	scheme, port := "http://", ":80"
	if q.TLS {
		scheme, port = "https://", ":443"
	}
	dst = append(dst, scheme...)
	for _, c := range bytes.TrimSuffix(q.Authority, []byte(port)) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = appendPath(dst, q.RawPath)
	return appendQuery(dst, q.Query, rule)
}

// appendPath appends a path with its percent-encodings normalized.
func appendPath(dst, path []byte) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' || i+2 >= len(path) {
			dst = append(dst, c)
			continue
		}
		high, low := unhex(path[i+1]), unhex(path[i+2])
		if high < 0 || low < 0 {
			dst = append(dst, c)
			continue
		}
		i += 2
		if d := byte(high<<4 | low); unreserved(d) {
			dst = append(dst, d)
		} else {
			dst = append(dst, '%', hexDigits[high], hexDigits[low])
		}
	}
	return dst
}

const hexDigits = "0123456789ABCDEF"

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved is RFC 3986 §2.3.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// appendQuery appends "?" and what of the query counts; nothing where none of it does.
func appendQuery(dst, query []byte, rule *Rule) []byte {
	if query == nil || rule != nil && rule.NoQuery {
		return dst
	}
	if rule == nil || len(rule.QueryOnly) == 0 && len(rule.QueryIgnore) == 0 {
		dst = append(dst, '?')
		return append(dst, query...)
	}
	separator := byte('?')
	for len(query) > 0 {
		var one []byte
		one, query, _ = bytes.Cut(query, []byte{'&'})
		name, _, _ := bytes.Cut(one, []byte{'='})
		if len(one) == 0 || len(rule.QueryOnly) > 0 && !named(rule.QueryOnly, name) || named(rule.QueryIgnore, name) {
			continue
		}
		dst = append(dst, separator)
		dst = append(dst, one...)
		separator = '&'
	}
	return dst
}

// filters is whether a rule may leave something out of a query.
func (r *Rule) filters() bool {
	return r != nil && (r.NoQuery || len(r.QueryOnly) > 0 || len(r.QueryIgnore) > 0)
}

func named(list []string, name []byte) bool {
	for _, n := range list {
		if prefix, ok := strings.CutSuffix(n, "*"); ok && len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix || string(name) == n {
			return true
		}
	}
	return false
}

// appendExtras appends the fields of a request that are part of its key.
func appendExtras(dst []byte, q *exchange.Request, rule *Rule) []byte {
	for i := range q.Fields {
		name, value := q.Fields[i].Name, q.Fields[i].Value
		switch {
		case exchange.EqualFold(name, "origin"):
			// Applications add the fields of CORS where there is one, and do not all say so in Vary.
			dst = append(dst, "\norigin"...)
		case exchange.EqualFold(name, "forwarded"):
			dst = appendForwarded(dst, value)
		case routed(name), rule != nil && len(rule.Headers) > 0 && listed(rule.Headers, name):
			dst = append(dst, '\n')
			dst = appendLower(dst, name)
			dst = append(dst, ':')
			dst = append(dst, value...)
		}
	}
	return dst
}

// routed is whether a field says where the client believes that it is: applications make links of that. It is not whether
// the field says who the client is (X-Forwarded-For), which pages do not differ by.
func routed(name []byte) bool {
	switch name[0] | 0x20 {
	case 'x':
	case 'f':
		return exchange.EqualFold(name, "front-end-https")
	default:
		return false
	}
	if len(name) > 12 && exchange.EqualFold(name[:12], "x-forwarded-") {
		return !exchange.EqualFold(name, "x-forwarded-for") && !exchange.EqualFold(name, "x-forwarded-by")
	}
	switch len(name) {
	case 6:
		return exchange.EqualFold(name, "x-host")
	case 8:
		return exchange.EqualFold(name, "x-scheme")
	case 12:
		return exchange.EqualFold(name, "x-url-scheme")
	case 13:
		return exchange.EqualFold(name, "x-script-name")
	case 15:
		return exchange.EqualFold(name, "x-original-host")
	case 20:
		return exchange.EqualFold(name, "x-http-host-override")
	}
	return false
}

// appendForwarded appends what Forwarded (RFC 7239) says, but who asks.
func appendForwarded(dst, value []byte) []byte {
	for len(value) > 0 {
		end := bytes.IndexAny(value, ",;")
		one := value
		if end >= 0 {
			one, value = value[:end], value[end+1:]
		} else {
			value = nil
		}
		one = exchange.TrimOWS(one)
		if len(one) < 4 || exchange.EqualFold(one[:4], "for=") || exchange.EqualFold(one[:3], "by=") {
			continue
		}
		dst = append(dst, "\nforwarded:"...)
		dst = append(dst, one...)
	}
	return dst
}

func listed(names []string, name []byte) bool {
	for _, n := range names {
		if exchange.EqualFold(name, n) {
			return true
		}
	}
	return false
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
