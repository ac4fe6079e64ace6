package livereload

import (
	"slices"
	"strings"
)

// policies are the Content-Security-Policies of an answer (W3C CSP3), all of which hold.
type policies []policy

// policy is the lists of sources by the name of their directive.
type policy map[string][]string

// add adds a field's value, which may hold several.
func (p policies) add(value string) policies {
	for text := range strings.SplitSeq(value, ",") {
		one := policy{}
		for directive := range strings.SplitSeq(text, ";") {
			words := strings.Fields(directive)
			if len(words) == 0 {
				continue
			}
			if name := strings.ToLower(words[0]); one[name] == nil { // the first one counts
				one[name] = words[1:]
			}
		}
		p = append(p, one)
	}
	return p
}

// allows is whether a page at authority may load the script and listen to the events, and the nonce that the script's
// element needs for it, or "".
func (p policies) allows(secure bool, authority string) (nonce string, ok bool) {
	var nonces []string // those that all policies know which need one
	needed := false
	for _, one := range p {
		if sandbox, found := one["sandbox"]; found &&
			(!containsFold(sandbox, "allow-scripts") || !containsFold(sandbox, "allow-same-origin")) {
			return "", false
		}
		if list, found := one.list("connect-src", "default-src"); found && !allowsOrigin(list, secure, authority) {
			return "", false
		}
		list, found := one.list("script-src-elem", "script-src", "default-src")
		if !found || !containsFold(list, "'strict-dynamic'") && allowsOrigin(list, secure, authority) {
			continue
		}
		own := noncesIn(list)
		if needed {
			own = slices.DeleteFunc(own, func(n string) bool { return !slices.Contains(nonces, n) })
		}
		if nonces, needed = own, true; len(nonces) == 0 {
			return "", false
		}
	}
	if needed {
		nonce = nonces[0]
	}
	return nonce, true
}

// list is the first of the directives that there is.
func (p policy) list(names ...string) (list []string, found bool) {
	for _, name := range names {
		if list, found = p[name]; found {
			return list, true
		}
	}
	return nil, false
}

func containsFold(list []string, lower string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, lower) })
}

// noncesIn are the nonces of a list that fit into an attribute.
func noncesIn(list []string) (nonces []string) {
	for _, source := range list {
		if len(source) < len("'nonce-'") || !strings.EqualFold(source[:len("'nonce-")], "'nonce-") || source[len(source)-1] != '\'' {
			continue
		}
		nonce := source[len("'nonce-") : len(source)-1]
		if nonce != "" && strings.IndexFunc(nonce, notBase64) < 0 {
			nonces = append(nonces, nonce)
		}
	}
	return nonces
}

func notBase64(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+/-_=", r)
}

// allowsOrigin is whether a list of sources has the page's own origin in it. CSP3 §6.7.2.7, as far as the paths of the
// gateway can match.
func allowsOrigin(list []string, secure bool, authority string) bool {
	scheme, standard := "http", "80"
	if secure {
		scheme, standard = "https", "443"
	}
	host, port := splitPort(strings.ToLower(authority), standard)
	for _, source := range list {
		source = strings.ToLower(source)
		switch source {
		case "'self'", "*", "http:", scheme + ":":
			return true
		}
		if s, rest, found := strings.Cut(source, "://"); found {
			if s != scheme && s != "http" {
				continue
			}
			source = rest
		}
		source = strings.TrimSuffix(source, "/")
		if strings.ContainsAny(source, "/'") {
			continue
		}
		h, p := splitPort(source, standard)
		below, wild := strings.CutPrefix(h, "*")
		if (h == host || wild && below != "" && strings.HasSuffix(host, below)) && (p == port || p == "*") {
			return true
		}
	}
	return false
}

// splitPort splits an authority into host and port.
func splitPort(authority, standard string) (host, port string) {
	if at := strings.LastIndexByte(authority, ':'); at >= 0 && !strings.HasSuffix(authority, "]") {
		return authority[:at], authority[at+1:]
	}
	return authority, standard
}
