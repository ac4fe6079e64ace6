package cache

import (
	"slices"
	"strings"

	"pyspeed/gateway/exchange"
)

// mostVary is how many fields an answer may vary by.
const mostVary = 12

// varyNames are the fields that an answer varies by (RFC 9110 §12.5.5), lower case, in order. An answer for one origin
// (Access-Control-Allow-Origin) differs by Origin, whether it says so or not.
func varyNames(fields []exchange.Field, a *facts) []string {
	var names []string
	for i := range fields {
		if !exchange.EqualFold(fields[i].Name, "vary") {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var name []byte
			name, _, _, list = directive(list)
			if len(name) > 0 {
				names = append(names, strings.ToLower(string(name)))
			}
		}
	}
	if a.allowOrigin {
		names = append(names, "origin")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// union is all names of two ordered lists.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// appendVariant appends what makes a key one of a variant: the request's values of the fields in names (RFC 9111 §4.1).
func appendVariant(dst []byte, q *exchange.Request, rule *Rule, names []string) []byte {
	dst = append(dst, "\n\n"...)
	for _, name := range names {
		dst = append(dst, name...)
		if name == "cookie" && rule != nil && rule.RemoveCookies {
			dst = append(dst, "=\n"...) // the application sees none
			continue
		}
		separator := byte('=')
		for i := range q.Fields {
			if exchange.EqualFold(q.Fields[i].Name, name) {
				dst = append(dst, separator)
				dst = appendValue(dst, name, q.Fields[i].Value)
				separator = ','
			}
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendValue appends a value, without blanks and case where they mean nothing.
func appendValue(dst []byte, name string, value []byte) []byte {
	switch name {
	case "accept", "accept-encoding", "accept-language", "accept-charset":
		for _, c := range value {
			switch {
			case c == ' ' || c == '\t':
				continue
			case c >= 'A' && c <= 'Z':
				c += 'a' - 'A'
			}
			dst = append(dst, c)
		}
		return dst
	}
	return append(dst, exchange.TrimOWS(value)...)
}
