package livereload

import (
	"net/netip"
	"net/url"
	"strings"

	"pyspeed/gateway/exchange"
)

// local is whether a request comes from this machine and names it. The name matters as much as the
// address: a web site elsewhere can let its own name lead to 127.0.0.1 (DNS rebinding), and would
// then read with the developer's browser what only the developer may see. What a proxy brought must have
// come from here as well.
func local(x *exchange.Exchange) bool {
	if !loopback(x.Peer.RemoteAddr) || !localName(string(x.Request.Authority)) {
		return false
	}
	for i := range x.Request.Fields {
		f := &x.Request.Fields[i]
		switch {
		case exchange.EqualFold(f.Name, "x-forwarded-for"):
			for part := range strings.SplitSeq(string(f.Value), ",") {
				if !loopback(strings.TrimSpace(part)) {
					return false
				}
			}
		case exchange.EqualFold(f.Name, "x-real-ip"):
			if !loopback(string(f.Value)) {
				return false
			}
		case exchange.EqualFold(f.Name, "x-forwarded-host"):
			for part := range strings.SplitSeq(string(f.Value), ",") {
				if !localName(strings.TrimSpace(part)) {
					return false
				}
			}
		case exchange.EqualFold(f.Name, "forwarded"):
			return false
		}
	}
	return true
}

// loopback is whether an address is one of this machine's own.
func loopback(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.Unmap().IsLoopback()
}

// localName is whether an authority can only mean this machine. RFC 6761 §6.3: localhost and all below it.
func localName(authority string) bool {
	host, _ := splitPort(authority, "")
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return loopback(host[1 : len(host)-1])
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || loopback(host)
}

// foreign is whether a page of another origin made the request.
func foreign(x *exchange.Exchange) bool {
	switch string(x.Request.Get("sec-fetch-site")) {
	case "", "same-origin", "none":
	default:
		return true
	}
	if origin := x.Request.Get("origin"); origin != nil {
		u, err := url.Parse(string(origin))
		return err != nil || !strings.EqualFold(u.Host, string(x.Request.Authority))
	}
	return false
}
