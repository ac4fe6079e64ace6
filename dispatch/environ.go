package dispatch

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"pyspeed/fcgi/marshal"
	"pyspeed/gateway/exchange"
)

// Encoder turns a request into the head of a REQUEST record: the WSGI environ or the ASGI scope,
// less what the shim knows already.
type Encoder struct {
	// ServerName and ServerPort are what the start message told the shim.
	ServerName, ServerPort string
	// RootPath is where the application is mounted, without a slash at its end.
	RootPath string
}

func (e *Encoder) appendHead(b []byte, x *exchange.Exchange, asgi bool) []byte {
	if asgi {
		return e.appendScope(b, x)
	}
	return e.appendEnviron(b, x)
}

// Keys of the environ, encoded once.
var (
	keyMethod        = marshal.AppendStr(nil, "REQUEST_METHOD")
	keyPath          = marshal.AppendStr(nil, "PATH_INFO")
	keyQuery         = marshal.AppendStr(nil, "QUERY_STRING")
	keyURI           = marshal.AppendStr(nil, "REQUEST_URI")
	keyRawURI        = marshal.AppendStr(nil, "RAW_URI")
	keyRemoteAddr    = marshal.AppendStr(nil, "REMOTE_ADDR")
	keyRemotePort    = marshal.AppendStr(nil, "REMOTE_PORT")
	keyServerName    = marshal.AppendStr(nil, "SERVER_NAME")
	keyServerPort    = marshal.AppendStr(nil, "SERVER_PORT")
	keyProtocol      = marshal.AppendStr(nil, "SERVER_PROTOCOL")
	keyScheme        = marshal.AppendStr(nil, "wsgi.url_scheme")
	keyContentType   = marshal.AppendStr(nil, "CONTENT_TYPE")
	keyContentLength = marshal.AppendStr(nil, "CONTENT_LENGTH")
)

// field is what becomes of a request field that is known by name.
type field struct {
	key  []byte // encoded; nil: left out, something else says it
	mask uint64 // of those known, so that repeats are noticed
}

// known are the fields of ordinary requests. Proxy is left out: as HTTP_PROXY it would redirect the
// application's own requests (httpoxy). The two CONTENT_ keys are RFC 3875's.
var known = func() map[string]field {
	m := map[string]field{}
	for i, name := range []string{
		"host", "user-agent", "accept", "accept-encoding", "accept-language", "accept-charset", "cookie", "connection",
		"cache-control", "pragma", "referer", "origin", "authorization", "upgrade-insecure-requests", "dnt", "te",
		"sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "sec-ch-ua", "sec-ch-ua-mobile",
		"sec-ch-ua-platform", "sec-gpc", "priority", "if-none-match", "if-modified-since", "if-match",
		"if-unmodified-since", "if-range", "range", "x-requested-with", "x-forwarded-for", "x-forwarded-proto",
		"x-forwarded-host", "x-forwarded-port", "x-real-ip", "forwarded", "via", "x-request-id", "traceparent", "tracestate", "expect",
		"keep-alive", "x-csrftoken", "x-csrf-token", "content-encoding", "idempotency-key",
	} {
		key := "HTTP_" + string(bytes.ReplaceAll(bytes.ToUpper([]byte(name)), []byte("-"), []byte("_")))
		m[name] = field{marshal.AppendStr(nil, key), 1 << i}
	}
	m["content-type"] = field{keyContentType, 1 << 60}
	m["content-length"] = field{nil, 1 << 61}
	m["transfer-encoding"] = field{nil, 1 << 62}
	m["proxy"] = field{nil, 0}
	return m
}()

const longestKnown = 32

func lower(dst *[longestKnown]byte, name []byte) []byte {
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst[i] = c
	}
	return dst[:len(name)]
}

func appendPair[S ~string | ~[]byte](b, key []byte, value S) []byte {
	return marshal.AppendStr(append(b, key...), value)
}

func (e *Encoder) appendEnviron(b []byte, x *exchange.Exchange) []byte {
	r := &x.Request
	b = marshal.AppendDictStart(b)
	b = appendPair(b, keyMethod, r.Method)
	b = appendPair(b, keyPath, r.Path)
	b = appendPair(b, keyQuery, r.Query)
	b = appendPair(b, keyURI, r.Target)
	b = appendPair(b, keyRawURI, r.Target)
	b = appendPair(b, keyRemoteAddr, x.Peer.RemoteAddr)
	b = appendPair(b, keyRemotePort, x.Peer.RemotePort)
	if x.Peer.ServerPort != "" { // a unix socket has none, and PEP 3333 wants neither empty
		if x.Peer.ServerName != e.ServerName {
			b = appendPair(b, keyServerName, x.Peer.ServerName)
		}
		if x.Peer.ServerPort != e.ServerPort {
			b = appendPair(b, keyServerPort, x.Peer.ServerPort)
		}
	}
	if r.Minor == 0 {
		b = appendPair(b, keyProtocol, "HTTP/1.0")
	}
	if r.TLS {
		b = appendPair(b, keyScheme, "https")
	}
	if n, ok := length(x); ok {
		var digits [20]byte
		b = appendPair(b, keyContentLength, strconv.AppendInt(digits[:0], n, 10))
	}
	start := len(b)
	var seen, others uint64
	var scratch [longestKnown]byte
	for i := range r.Fields {
		f := &r.Fields[i]
		if len(f.Name) <= longestKnown {
			if k, ok := known[string(lower(&scratch, f.Name))]; ok {
				if k.key == nil {
					continue
				}
				if seen&k.mask != 0 {
					return e.appendRepeated(b[:start], r)
				}
				seen |= k.mask
				b = appendPair(b, k.key, f.Value)
				continue
			}
		}
		if bytes.IndexByte(f.Name, '_') >= 0 {
			continue // X_A and X-A would be the same key, which lets a client forge X-A
		}
		bit := uint64(1) << ((uint(len(f.Name)) + uint(f.Name[len(f.Name)-1]|0x20)) & 63)
		if others&bit != 0 {
			return e.appendRepeated(b[:start], r)
		}
		others |= bit
		b = appendName(b, f.Name)
		b = marshal.AppendStr(b, f.Value)
	}
	return marshal.AppendDictEnd(b)
}

// length is the body's length as far as it is known before the application runs; a chunked
// body that was buffered has one too.
func length(x *exchange.Exchange) (int64, bool) {
	n := x.Request.ContentLength
	if n >= 0 {
		return n, n > 0 || x.Request.Get("content-length") != nil
	}
	if x.Body == nil {
		return 0, false
	}
	return x.Body.Length()
}

// appendName appends HTTP_NAME as a key.
func appendName(b, name []byte) []byte {
	at := len(b)
	b = marshal.AppendStr(b, "HTTP_")
	b = append(b, name...)
	for i, c := range b[at+7:] {
		switch {
		case c >= 'a' && c <= 'z':
			b[at+7+i] = c - ('a' - 'A')
		case c == '-':
			b[at+7+i] = '_'
		}
	}
	if n := len(name) + 5; n <= 255 {
		b[at+1] = byte(n)
		return b
	}
	long := append([]byte(nil), b[at+2:]...)
	return marshal.AppendStr(b[:at], long)
}

// appendRepeated encodes fields of which one may come twice, or two have names that only look so:
// values are joined (RFC 9110 §5.3; Cookie: RFC 6265 §5.4).
func (e *Encoder) appendRepeated(b []byte, r *exchange.Request) []byte {
	joined := make([]exchange.Field, 0, len(r.Fields))
	own := make([]bool, 0, len(r.Fields)) // whether joined's value is not the request's any more
	index := make(map[string]int, len(r.Fields))
	for _, f := range r.Fields {
		name := string(bytes.ToLower(f.Name))
		i, ok := index[name]
		if !ok {
			index[name] = len(joined)
			joined = append(joined, exchange.Field{Name: []byte(name), Value: f.Value})
			own = append(own, false)
			continue
		}
		sep := ", "
		if name == "cookie" {
			sep = "; "
		}
		value := joined[i].Value
		if !own[i] {
			own[i] = true
			value = append(make([]byte, 0, 2*(len(value)+len(f.Value))), value...)
		}
		joined[i].Value = append(append(value, sep...), f.Value...)
	}
	for _, f := range joined {
		if k, ok := known[string(f.Name)]; ok {
			if k.key != nil {
				b = appendPair(b, k.key, f.Value)
			}
			continue
		}
		if bytes.IndexByte(f.Name, '_') < 0 {
			b = marshal.AppendStr(appendName(b, f.Name), f.Value)
		}
	}
	return marshal.AppendDictEnd(b)
}

// Keys and constant parts of the scope, encoded once.
var (
	scopeStart = func() []byte {
		b := marshal.AppendStr(marshal.AppendDictStart(nil), "type")
		return marshal.AppendStr(b, "http")
	}()
	scope11 = marshal.AppendStr(marshal.AppendStr(nil, "http_version"), "1.1")
	scope10 = marshal.AppendStr(marshal.AppendStr(nil, "http_version"), "1.0")

	scopeHTTP    = marshal.AppendStr(marshal.AppendStr(nil, "scheme"), "http")
	scopeHTTPS   = marshal.AppendStr(marshal.AppendStr(nil, "scheme"), "https")
	scopeMethod  = marshal.AppendStr(nil, "method")
	scopePath    = marshal.AppendStr(nil, "path")
	scopeRaw     = marshal.AppendStr(nil, "raw_path")
	scopeQuery   = marshal.AppendStr(nil, "query_string")
	scopeRoot    = marshal.AppendStr(nil, "root_path")
	scopeHeaders = marshal.AppendStr(nil, "headers")
	scopeClient  = marshal.AppendStr(nil, "client")
	scopeServer  = marshal.AppendStr(nil, "server")
)

func (e *Encoder) appendScope(b []byte, x *exchange.Exchange) []byte {
	r := &x.Request
	b = append(b, scopeStart...)
	if r.Minor == 0 {
		b = append(b, scope10...)
	} else {
		b = append(b, scope11...)
	}
	if r.TLS {
		b = append(b, scopeHTTPS...)
	} else {
		b = append(b, scopeHTTP...)
	}
	b = append(b, scopeMethod...)
	b = marshal.AppendStr(b, r.Method)
	at := len(b) - len(r.Method)
	for i, c := range b[at:] {
		if c >= 'a' && c <= 'z' {
			b[at+i] = c - ('a' - 'A')
		}
	}
	b = append(b, scopePath...)
	b = e.appendPath(b, r.Path)
	b = append(b, scopeRaw...)
	at = len(b)
	prefix := e.prefix(r.RawPath)
	b = append(append(marshal.AppendBytes(b, prefix), r.RawPath...), scopeQuery...)
	marshal.PatchLen(b, at, len(prefix)+len(r.RawPath))
	b = marshal.AppendBytes(b, r.Query)
	b = append(b, scopeRoot...)
	b = marshal.AppendUTF8(b, e.RootPath)
	b = append(b, scopeClient...)
	b = appendAddress(b, x.Peer.RemoteAddr, x.Peer.RemotePort)
	b = append(b, scopeServer...)
	b = appendAddress(b, x.Peer.ServerName, x.Peer.ServerPort)
	b = append(b, scopeHeaders...)
	at = len(b)
	b = marshal.AppendList(b, 0)
	n := 0
	for i := range r.Fields {
		f := &r.Fields[i]
		if bytes.IndexByte(f.Name, '_') >= 0 {
			continue // as in the environ: many frameworks treat X_A as X-A
		}
		b = marshal.AppendTuple(b, 2)
		name := len(b) + 5
		b = marshal.AppendBytes(b, f.Name)
		for i, c := range b[name:] {
			if c >= 'A' && c <= 'Z' {
				b[name+i] = c + ('a' - 'A')
			}
		}
		b = marshal.AppendBytes(b, f.Value)
		n++
	}
	marshal.PatchLen(b, at, n)
	return marshal.AppendDictEnd(b)
}

// prefix is what goes before an ASGI path: ASGI 3.0 has root_path in it, and a proxy in front may
// have taken it off or left it.
func (e *Encoder) prefix(path []byte) string {
	n := len(e.RootPath)
	if n == 0 || len(path) >= n && string(path[:n]) == e.RootPath && (len(path) == n || path[n] == '/') {
		return ""
	}
	return e.RootPath
}

// appendPath appends the decoded path, which must be valid UTF-8 or loads fails.
func (e *Encoder) appendPath(b, path []byte) []byte {
	prefix := e.prefix(path)
	if prefix == "" && ascii(path) {
		return marshal.AppendStr(b, path)
	}
	whole := append([]byte(prefix), path...)
	if !utf8.Valid(whole) {
		whole = bytes.ToValidUTF8(whole, []byte("\uFFFD"))
	}
	return marshal.AppendUTF8(b, whole)
}

func ascii(p []byte) bool {
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendAddress appends (host, port), (path, None) of a unix socket, or None.
func appendAddress(b []byte, host, port string) []byte {
	if host == "" {
		return marshal.AppendNone(b)
	}
	b = marshal.AppendTuple(b, 2)
	if !utf8.ValidString(host) { // the path of a unix socket
		host = strings.ToValidUTF8(host, "\uFFFD")
	}
	b = marshal.AppendUTF8(b, host)
	if port == "" {
		return marshal.AppendNone(b)
	}
	n := 0
	for _, c := range []byte(port) {
		n = n*10 + int(c-'0')
	}
	return marshal.AppendInt(b, int32(n))
}
