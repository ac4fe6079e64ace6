package http1

import (
	"net/netip"

	"pyspeed/gateway/exchange"
)

// target reads the request-target in the form its method allows (RFC 9112 §3.2).
func (p *Parser) target(t []byte, req *exchange.Request) *Error {
	req.Target = t
	if string(req.Method) == "CONNECT" { // RFC 9110 §9.3.6
		return &Error{501, "CONNECT is for proxies"}
	}
	if len(t) == 0 {
		return bad("the request-target is empty")
	}
	switch {
	case t[0] == '/':
		return p.targetPath(t, req)
	case t[0] == '*' && len(t) == 1:
		if string(req.Method) != "OPTIONS" { // RFC 9112 §3.2.4
			return bad("the request-target * is for OPTIONS only")
		}
		req.RawPath, req.Path = t, t
		return nil
	}
	return p.absoluteForm(t, req)
}

// absoluteForm: scheme "://" authority path-abempty [ "?" query ] (RFC 9112 §3.2.2).
func (p *Parser) absoluteForm(t []byte, req *exchange.Request) *Error {
	const http, https = "http://", "https://"
	var scheme int
	secure := false
	switch {
	case len(t) > len(http) && exchange.EqualFold(t[:len(http)], http):
		scheme = len(http)
	case len(t) > len(https) && exchange.EqualFold(t[:len(https)], https):
		scheme, secure = len(https), true
	default:
		return bad("the request-target is neither a path nor an http URI")
	}
	// RFC 9110 §7.4: a scheme that is not this connection's was misdirected.
	if secure != req.TLS {
		return bad("the scheme of the request-target is not the connection's")
	}
	end := scheme
	for end < len(t) && t[end] != '/' && t[end] != '?' {
		if t[end] == '@' { // RFC 9110 §4.2.4
			return bad("userinfo in the request-target")
		}
		end++
	}
	if !validAuthority(t[scheme:end]) {
		return bad("the authority of the request-target is not a host with an optional port")
	}
	req.Authority = t[scheme:end:end]
	p.at.absolute = true
	if end < len(t) && t[end] == '/' {
		return p.targetPath(t[end:], req)
	}
	// No path: the same as "/" (RFC 9110 §4.2.3), of which there is one in "://";
	// and for OPTIONS without a query the same as "*" (RFC 9112 §3.2.4).
	query := t[end:]
	if len(query) > 0 {
		if err := p.targetPath(query, req); err != nil {
			return err
		}
	}
	req.RawPath = t[scheme-1 : scheme : scheme]
	req.Path = req.RawPath
	if len(query) == 0 && string(req.Method) == "OPTIONS" {
		req.Path = []byte("*")
		req.RawPath = req.Path
	}
	return nil
}

// targetPath reads path [ "?" query ]. Of the octets that RFC 3986 does not
// allow, those are refused that could split a line or a header for somebody behind us,
// and "#" and "\", which others read as the end of the target and as "/".
func (p *Parser) targetPath(t []byte, req *exchange.Request) *Error {
	i, encoded := 0, false
	for ; i < len(t); i++ {
		c := t[i]
		if octets[c]&isPlain != 0 {
			continue
		}
		if c == '?' {
			break
		}
		if c != '%' {
			return targetError(c)
		}
		encoded = true
	}
	path := t[:i:i]
	if i < len(t) {
		query := t[i+1:]
		for _, c := range query {
			if octets[c]&isTarget == 0 {
				return targetError(c)
			}
		}
		req.Query = query
	}
	req.RawPath, req.Path = path, path
	if encoded {
		p.scratch = appendDecoded(p.scratch[:0], path)
		req.Path = p.scratch
	}
	return nil
}

func targetError(c byte) *Error {
	switch {
	case c == ' ':
		return bad("a space in the request-target; it must be sent as %20")
	case c == '#':
		return bad("a fragment in the request-target")
	case c == '\\':
		return bad("a backslash in the request-target")
	case c >= 0x80:
		return bad("a byte in the request-target that is not ASCII; it must be percent-encoded")
	}
	return bad("a control character in the request-target")
}

// appendDecoded appends path with each "%" HEXDIG HEXDIG decoded exactly once
// (RFC 3986 §2.1, §2.4). A "%" without two digits stays as it is: there is nothing it could
// be mistaken for, and the applications expect it.
func appendDecoded(dst, path []byte) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && isEncoded(path, i) {
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

func isEncoded(b []byte, i int) bool {
	return i+2 < len(b) && octets[b[i+1]]&octets[b[i+2]]&isHexDigit != 0
}

// validAuthority: uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2.2, §3.2.3),
// without userinfo, and not empty. IPvFuture is refused, since no version of it exists.
func validAuthority(b []byte) bool {
	i := 0
	if len(b) > 0 && b[0] == '[' {
		for i < len(b) && b[i] != ']' {
			if b[i] == '%' { // a zone: of no meaning outside the sender
				return false
			}
			i++
		}
		if i == len(b) {
			return false
		}
		if addr, err := netip.ParseAddr(string(b[1:i])); err != nil || !addr.Is6() {
			return false
		}
		i++
	} else {
		for i < len(b) && b[i] != ':' {
			switch {
			case octets[b[i]]&isRegName != 0:
				i++
			case b[i] == '%' && isEncoded(b, i):
				i += 3
			default:
				return false
			}
		}
	}
	if i == 0 {
		return false
	}
	if i == len(b) {
		return true
	}
	if b[i] != ':' {
		return false
	}
	port := 0 // may be empty: port = *DIGIT
	for _, c := range b[i+1:] {
		if c < '0' || c > '9' {
			return false
		}
		if port = port*10 + int(c-'0'); port > 65535 {
			return false
		}
	}
	return true
}
