package http1

import (
	"bytes"

	"pyspeed/gateway/exchange"
)

// maxMethod is the longest method in bytes; the longest registered one has 17.
const maxMethod = 32

// Parser reads request heads (RFC 9112 §2-§5), one after the other. The zero value is
// ready. It is strict: what two parsers could read in two ways is refused.
//
// Not safe for concurrent use; it belongs to the connection's owner.
type Parser struct {
	at progress
	// scratch holds the last request's decoded path, if it was encoded.
	scratch []byte
}

// progress is how far the parser came in a head that is not complete.
type progress struct {
	next    int // where the first line begins that was not parsed
	scanned int // up to where there is known to be no LF after next
	fields  int // where the field lines begin; 0: the request line was not parsed
	split   bool

	hosts     int
	host      int // index in Fields of Host
	hasLength bool
	chunked   bool
	expect    bool
	close     bool
	keepAlive bool
	absolute  bool // the target was in absolute-form
}

// Reset forgets a head that was begun. Needed after an error and when a begun head is
// given up; a complete head resets the parser by itself.
func (p *Parser) Reset() { p.at = progress{} }

// Head parses the request head at the start of buf, which holds everything
// that was received and not consumed.
//
// n > 0: the head had n bytes, and req holds it. The slices of req point into buf, except
// that Path may be memory of the parser's, which lasts until the next
// request's Head. n == 0 without an error: the head is incomplete; call again with the same bytes and
// more behind them, in the same or other memory. On an error req holds
// what was understood before it.
//
// All of req is set except TLS, which the caller sets: a target in absolute-form must
// have the scheme of the connection. If the target is in absolute-form, the value of the
// Host field in req is replaced by the target's authority, as RFC 9112 §3.2.2 wants.
// ExpectContinue is only set if there is a body.
//
// lim may be nil. The cost is linear in the head's size however it is cut; no
// memory is allocated but for req.Fields, which is reused, and for encoded paths.
func (p *Parser) Head(buf []byte, lim *Limits, req *exchange.Request) (n int, err *Error) {
	n, err = p.parse(buf, lim.withDefaults(), req)
	if n == 0 && err == nil {
		p.at.split = true
		return 0, nil
	}
	if p.at.split {
		// Fields that were parsed in earlier calls may point into memory that the
		// bytes have left. Once more from the start gives the same result.
		p.at = progress{}
		n, err = p.parse(buf, lim.withDefaults(), req)
	}
	p.at = progress{}
	return n, err
}

func (p *Parser) parse(buf []byte, lim Limits, req *exchange.Request) (int, *Error) {
	st := &p.at
	if st.fields == 0 {
		if st.scanned == 0 {
			*req = exchange.Request{Fields: req.Fields[:0], TLS: req.TLS}
		}
		if ok, err := p.requestLine(buf, lim, req); !ok {
			return 0, err
		}
	}
	at := st.next
	for {
		from := max(at, st.scanned)
		eol := bytes.IndexByte(buf[from:], '\n')
		if eol < 0 {
			st.next, st.scanned = at, len(buf)
			if len(buf)-st.fields >= lim.HeaderBytes {
				return 0, &Error{431, "the header section is larger than the limit"}
			}
			return 0, nil
		}
		eol += from
		if eol+1-st.fields > lim.HeaderBytes {
			return 0, &Error{431, "the header section is larger than the limit"}
		}
		// RFC 9112 §2.2 lets a recipient take a bare LF; a strict one does not.
		if eol == at || buf[eol-1] != '\r' {
			return 0, bad("a field line ends in LF without CR")
		}
		line := buf[at : eol-1 : eol-1]
		at = eol + 1
		if len(line) == 0 {
			return at, p.finish(req)
		}
		if len(req.Fields) == lim.HeaderCount {
			return 0, &Error{431, "there are more header fields than the limit"}
		}
		name, value, err := splitField(line)
		if err != nil {
			return 0, err
		}
		req.Fields = append(req.Fields, exchange.Field{Name: name, Value: value})
		switch len(name) {
		case 4, 6, 10, 14, 17:
			if err := p.special(name, value, req); err != nil {
				return 0, err
			}
		}
	}
}

// requestLine parses the line and moves progress behind it. It is not ok when
// the line is incomplete or refused.
func (p *Parser) requestLine(buf []byte, lim Limits, req *exchange.Request) (ok bool, err *Error) {
	start := 0
	// RFC 9112 §2.2: one empty line before the request is ignored, for old
	// clients that sent one after a body.
	if len(buf) > 0 && buf[0] == '\r' {
		if len(buf) == 1 {
			return false, nil
		}
		if buf[1] != '\n' {
			return false, bad("a CR without LF")
		}
		start = 2
	}
	if start >= len(buf) {
		return false, nil
	}
	// Looked at before the line is complete: what is not HTTP may never send an LF.
	if c := buf[start]; octets[c]&isToken == 0 {
		switch c {
		case 0x16:
			return false, bad("a TLS handshake on a plaintext port; use http:// or another port")
		case '\r', '\n':
			return false, bad("empty lines instead of a request")
		}
		return false, bad("the request does not begin with a method")
	}
	from := max(start, p.at.scanned)
	eol := bytes.IndexByte(buf[from:], '\n')
	if eol < 0 {
		p.at.scanned = len(buf)
		if len(buf)-start >= lim.RequestLine {
			return false, &Error{414, "the request line is longer than the limit"}
		}
		return false, nil
	}
	eol += from
	if eol+1-start > lim.RequestLine {
		return false, &Error{414, "the request line is longer than the limit"}
	}
	if buf[eol-1] != '\r' {
		return false, bad("the request line ends in LF without CR")
	}
	if err := p.parseRequestLine(buf[start:eol-1:eol-1], req); err != nil {
		return false, err
	}
	p.at.next, p.at.scanned, p.at.fields = eol+1, eol+1, eol+1
	return true, nil
}

// parseRequestLine: request-line = method SP request-target SP HTTP-version (RFC 9112 §3).
func (p *Parser) parseRequestLine(line []byte, req *exchange.Request) *Error {
	i := 0
	for i < len(line) && octets[line[i]]&isToken != 0 {
		i++
	}
	if i == len(line) || line[i] != ' ' {
		return bad("the method is not a token followed by one space")
	}
	if i > maxMethod { // RFC 9110 §15.6.2: not recognized and not supported
		return &Error{501, "the method is longer than 32 bytes"}
	}
	req.Method = line[:i:i]
	rest := line[i+1:]

	// RFC 9112 §2.3: "HTTP" "/" DIGIT "." DIGIT, case-sensitive.
	v := len(rest) - len(" HTTP/1.1")
	if v < 0 || string(rest[v:v+6]) != " HTTP/" || rest[v+7] != '.' {
		return bad("the request line does not end with an HTTP version")
	}
	major, minor := rest[v+6]-'0', rest[v+8]-'0'
	switch {
	case major > 9 || minor > 9 || major == 0:
		return bad("the request line does not end with an HTTP version")
	case major > 1:
		return &Error{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	}
	// RFC 9110 §2.5: a higher minor version is treated as the highest known.
	req.Minor = min(minor, 1)
	return p.target(rest[:v:v], req)
}

// splitField: field-line = field-name ":" OWS field-value OWS (RFC 9112 §5).
func splitField(line []byte) (name, value []byte, err *Error) {
	i := 0
	for i < len(line) && octets[line[i]]&isToken != 0 {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return nil, nil, nameError(line, i)
	}
	start, end := i+1, len(line)
	for start < end && (line[start] == ' ' || line[start] == '\t') {
		start++
	}
	for start < end && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	value = line[start:end:end]
	if !validValue(value) {
		return nil, nil, bad("a field value holds a control character")
	}
	return line[:i:i], value, nil
}

// nameError says why line, a token up to i, is not a field line.
func nameError(line []byte, i int) *Error {
	switch {
	case line[0] == ' ' || line[0] == '\t':
		// RFC 9112 §5.2 (obs-fold), and §2.2 for the first field line.
		return bad("a field line begins with whitespace")
	case i == len(line):
		return bad("a field line has no colon")
	case line[i] == ' ' || line[i] == '\t':
		// RFC 9112 §5.1: MUST be refused, it was used to smuggle requests.
		return bad("whitespace in a field name or before its colon")
	case i == 0 && line[0] == ':':
		return bad("a field name is empty")
	}
	return bad("a field name is not a token")
}

// special takes note of the fields that frame the request and rule the connection.
func (p *Parser) special(name, value []byte, req *exchange.Request) *Error {
	st := &p.at
	switch name[0] | 0x20 {
	case 'h':
		if exchange.EqualFold(name, "host") {
			st.hosts++
			st.host = len(req.Fields) - 1
			if st.hosts > 1 { // RFC 9112 §3.2
				return bad("more than one Host field")
			}
		}
	case 'e':
		if exchange.EqualFold(name, "expect") {
			if !exchange.EqualFold(value, "100-continue") { // RFC 9110 §10.1.1
				return &Error{417, "an expectation other than 100-continue"}
			}
			st.expect = true
		}
	case 'c':
		switch {
		case exchange.EqualFold(name, "connection"):
			closes, keepsAlive := connectionOptions(value)
			st.close = st.close || closes
			st.keepAlive = st.keepAlive || keepsAlive
		case exchange.EqualFold(name, "content-length"):
			// RFC 9112 §6.3 allows equal repeats to be merged; a strict edge does not.
			if st.hasLength {
				return bad("more than one Content-Length")
			}
			if st.chunked {
				return bad("both Content-Length and Transfer-Encoding")
			}
			n, ok := parseLength(value)
			if !ok {
				return bad("Content-Length is not a number from 0 to 2^63-1")
			}
			st.hasLength, req.ContentLength = true, n
		}
	case 't':
		if exchange.EqualFold(name, "transfer-encoding") {
			return p.transferEncoding(value, req)
		}
	}
	return nil
}

// transferEncoding accepts chunked, once and alone. Everything else has been
// used to make two parsers disagree on where a body ends (RFC 9112 §6.1, §6.3, §11.2).
func (p *Parser) transferEncoding(value []byte, req *exchange.Request) *Error {
	st := &p.at
	switch {
	case req.Minor == 0: // RFC 9112 §6.1: faulty framing
		return bad("Transfer-Encoding in an HTTP/1.0 request")
	case st.hasLength:
		return bad("both Content-Length and Transfer-Encoding")
	case st.chunked:
		return bad("more than one Transfer-Encoding")
	case exchange.EqualFold(value, "chunked"):
		st.chunked, req.ContentLength = true, -1
		return nil
	case len(value) == 0:
		return bad("Transfer-Encoding is empty")
	case exchange.EqualFold(value, "identity"):
		return bad("Transfer-Encoding: identity is not part of HTTP/1.1")
	}
	for _, c := range value {
		if octets[c]&isToken == 0 {
			return bad("Transfer-Encoding is not chunked alone")
		}
	}
	return &Error{501, "a transfer coding other than chunked"} // RFC 9112 §6.1
}

// parseLength: Content-Length = 1*DIGIT (RFC 9110 §8.6), at most 2^63-1.
func parseLength(b []byte) (n int64, ok bool) {
	const most = 1<<63 - 1
	for _, c := range b {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (most-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// connectionOptions: Connection = #connection-option (RFC 9110 §7.6.1). Options other
// than close and keep-alive are for proxies and mean nothing here.
func connectionOptions(value []byte) (closes, keepsAlive bool) {
	for len(value) > 0 {
		option := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			option, value = value[:i], value[i+1:]
		} else {
			value = nil
		}
		option = exchange.TrimOWS(option)
		closes = closes || exchange.EqualFold(option, "close")
		keepsAlive = keepsAlive || exchange.EqualFold(option, "keep-alive")
	}
	return closes, keepsAlive
}

// finish does what can only be known at the end of the head.
func (p *Parser) finish(req *exchange.Request) *Error {
	st := &p.at
	if st.hosts == 0 {
		if req.Minor > 0 { // RFC 9112 §3.2
			return bad("no Host field")
		}
	} else {
		host := req.Fields[st.host].Value
		switch {
		case len(host) == 0:
			if req.Minor > 0 {
				return bad("the Host field is empty")
			}
		case !validAuthority(host):
			return bad("the Host field is not a host with an optional port")
		}
		if st.absolute {
			// RFC 9112 §3.2.2: the target's authority counts, Host is ignored.
			req.Fields[st.host].Value = req.Authority
		} else {
			req.Authority = host
		}
	}
	// RFC 9110 §10.1.1: an HTTP/1.0 client's expectation is ignored; one without a
	// body has nothing to continue with.
	req.ExpectContinue = st.expect && req.Minor > 0 && req.ContentLength != 0
	// RFC 9112 §9.3.
	req.KeepAlive = !st.close && (req.Minor > 0 || st.keepAlive)
	return nil
}
