package upstream

import (
	"bytes"
	"strconv"
	"strings"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// parameters are what is the same for every request.
type parameters struct {
	software string
	root     string            // DOCUMENT_ROOT; "": none
	own      map[string]string // the operator's: they win, and empty ones take ours away
}

// paramWriter appends parameters that the operator has not replaced.
type paramWriter struct {
	out []byte
	// cuts are where a new record should begin: FastCGI lets a pair go on in the next one, but PHP refuses that.
	cuts []int
	own  map[string]string
	err  error
}

func put[V ~string | ~[]byte](w *paramWriter, name string, value V) {
	if _, replaced := w.own[name]; !replaced {
		putPair(w, name, value)
	}
}

func putPair[V ~string | ~[]byte](w *paramWriter, name string, value V) {
	if w.err != nil {
		return
	}
	at, record := len(w.out), 0
	if n := len(w.cuts); n > 0 {
		record = w.cuts[n-1]
	}
	w.out, w.err = fcgi.AppendPair(w.out, name, value)
	if len(w.out)-record > fcgi.MaxContentLen && at > record {
		w.cuts = append(w.cuts, at)
	}
}

// putOwn appends the operator's.
func (w *paramWriter) putOwn() {
	for name, value := range w.own {
		if value != "" {
			putPair(w, name, value)
		}
	}
}

// appendRecords appends what was written as a whole PARAMS stream.
func (w *paramWriter) appendRecords(dst []byte) []byte {
	at := 0
	for _, cut := range append(w.cuts, len(w.out)) {
		dst = fcgi.AppendStream(dst, fcgi.TypeParams, requestID, w.out[at:cut])
		at = cut
	}
	return fcgi.AppendStreamEnd(dst, fcgi.TypeParams, requestID)
}

// write writes the parameters of a request (RFC 3875 §4.1, and what PHP needs beyond it).
func (p *parameters) write(w *paramWriter, x *exchange.Exchange, s *script, length int64) {
	r := &x.Request
	w.own = p.own
	put(w, "GATEWAY_INTERFACE", "CGI/1.1")
	put(w, "SERVER_SOFTWARE", p.software)
	put(w, "SERVER_PROTOCOL", "HTTP/1."+strconv.Itoa(int(r.Minor)))
	switch name, port := x.Peer.ServerName, x.Peer.ServerPort; {
	case port == "": // a unix socket
		put(w, "SERVER_NAME", hostName(r))
		put(w, "SERVER_PORT", "80")
	case name == "0.0.0.0" || name == "::": // any address: which it was is not known
		put(w, "SERVER_NAME", hostName(r))
		put(w, "SERVER_PORT", port)
	default:
		put(w, "SERVER_ADDR", name)
		put(w, "SERVER_NAME", name)
		put(w, "SERVER_PORT", port)
	}
	if x.Peer.RemoteAddr == "" {
		put(w, "REMOTE_ADDR", "unix:") // as nginx has it; RFC 3875 §4.1.8 wants one
	} else {
		put(w, "REMOTE_ADDR", x.Peer.RemoteAddr)
		put(w, "REMOTE_PORT", x.Peer.RemotePort)
	}
	scheme := "http"
	if r.TLS {
		scheme = "https"
		put(w, "HTTPS", "on")
	}
	put(w, "REQUEST_SCHEME", scheme)
	put(w, "REQUEST_METHOD", r.Method)
	put(w, "REQUEST_URI", originForm(r))
	put(w, "QUERY_STRING", r.Query)
	put(w, "SCRIPT_NAME", s.name)
	put(w, "DOCUMENT_URI", s.name+s.info)
	put(w, "PATH_INFO", s.info)
	if s.file != "" {
		put(w, "SCRIPT_FILENAME", s.file)
	}
	if p.root != "" {
		put(w, "DOCUMENT_ROOT", p.root)
	}
	if s.translated != "" {
		put(w, "PATH_TRANSLATED", s.translated)
	}
	put(w, "REDIRECT_STATUS", "200") // php-cgi's cgi.force_redirect
	if length >= 0 {
		put(w, "CONTENT_LENGTH", strconv.FormatInt(length, 10))
	}
	p.fields(w, r)
	w.putOwn()
}

// hostName is what the client calls the server (RFC 3875 §4.1.14), without a port.
func hostName(r *exchange.Request) string {
	host := string(r.Authority)
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	if host == "" {
		return "localhost"
	}
	return host
}

// originForm is the request-target as a path, also of one in absolute-form (RFC 9112 §3.2).
func originForm(r *exchange.Request) []byte {
	if len(r.Target) > 0 && r.Target[0] == '/' {
		return r.Target
	}
	if r.Query == nil {
		return r.RawPath
	}
	return append(append(bytes.Clone(r.RawPath), '?'), r.Query...)
}

// fields appends the request's fields as HTTP_ parameters (RFC 3875 §4.1.18).
func (p *parameters) fields(w *paramWriter, r *exchange.Request) {
	type joined struct {
		name  string
		value []byte
		owned bool // value is a copy of ours
	}
	all := make([]joined, 0, len(r.Fields)+1)
	at := make(map[string]int, len(r.Fields)+1)
	add := func(name string, value []byte) {
		i, repeated := at[name]
		if !repeated {
			at[name] = len(all)
			all = append(all, joined{name: name, value: value})
			return
		}
		j := &all[i]
		if !j.owned {
			j.owned = true
			j.value = append(make([]byte, 0, 2*(len(j.value)+len(value))), j.value...)
		}
		// RFC 9110 §5.3; Cookie: RFC 6265 §5.4.
		separator := ", "
		if name == "HTTP_COOKIE" {
			separator = "; "
		}
		j.value = append(append(j.value, separator...), value...)
	}
	if len(r.Authority) > 0 {
		add("HTTP_HOST", r.Authority) // RFC 9112 §3.2.2: that of an absolute-form wins
	}
	for _, f := range r.Fields {
		name, ok := paramName(f.Name)
		if !ok {
			continue
		}
		switch name {
		case "HTTP_CONTENT_TYPE":
			add("CONTENT_TYPE", f.Value)
		case "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING":
			// The framing is ours; CONTENT_LENGTH says how long the body is.
		case "HTTP_PROXY":
			// Programs would send their own requests there (httpoxy, CVE-2016-5385).
		case "HTTP_HOST":
			if len(r.Authority) == 0 {
				add(name, f.Value)
			}
		default:
			add(name, f.Value)
		}
	}
	for i := range all {
		put(w, all[i].name, all[i].value)
	}
}

// paramName is HTTP_NAME, in ASCII capitals. ok is false for names of other than letters, digits and "-", by which a
// client could forge another field: X_A would be the same parameter as X-A, and PHP also makes "_" of ".".
func paramName(field []byte) (name string, ok bool) {
	b := append(make([]byte, 0, 5+len(field)), "HTTP_"...)
	for _, c := range field {
		switch {
		case c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case c == '-':
			c = '_'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}
