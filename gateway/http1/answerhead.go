package http1

import (
	"errors"
	"fmt"
	"strconv"

	"pyspeed/gateway/exchange"
)

// Framing is how the client finds the end of an answer's body (RFC 9112 §6.3).
type Framing uint8

const (
	FramingNone    Framing = iota // there is no body, whatever the fields say
	FramingLength                 // Content-Length
	FramingChunked                // chunked transfer coding, HTTP/1.1 only
	FramingClose                  // the end of the connection
)

// AnswerHead is the head of an answer: what the caller knows goes in, and
// AppendHead puts in what it decided.
type AnswerHead struct {
	Minor       uint8 // the x of the request's HTTP/1.x
	HeadRequest bool  // the request's method was HEAD
	// KeepAlive is whether the connection may persist. AppendHead clears it if the
	// application said Connection: close or the framing needs the close.
	KeepAlive bool
	Framing   Framing          // set by AppendHead
	Status    int              // 100..999 but 101
	Fields    []exchange.Field // the application's; only read
	Date      []byte           // the Date field's value, see Clock; nil for none
	// Length is the body's length in bytes, or -1 when the caller does not know
	// it. A Content-Length among Fields wins over it. AppendHead sets it to the
	// length that was announced, or to -1 if none was.
	Length int64
}

// AppendHead appends the answer's head, up to and with the empty line, and says in
// h how its body is framed and whether the connection persists.
//
// Of the application's fields those are left out that belong to the
// connection, which is ours: Connection (but its close is heeded), Keep-Alive, Transfer-Encoding, TE,
// Trailer, Upgrade and Proxy-* (RFC 9110 §7.6.1). Date and Server are added if it gave
// none. A status of 100..199 gets its fields and nothing else.
//
// A status, name, value or Content-Length that is not allowed is an error; then
// dst is returned as it was and h is unchanged.
func AppendHead(dst []byte, h *AnswerHead) ([]byte, error) {
	if h.Status < 100 || h.Status > 999 {
		return dst, fmt.Errorf("cannot send the answer: its status %d is not a number from 100 to 999", h.Status)
	}
	if h.Status == 101 {
		return dst, errors.New("cannot send the answer: status 101 switches to a protocol that is not spoken here")
	}
	out := appendStatusLine(dst, h.Status)
	var found seen
	length := int64(-1)
	for i := range h.Fields {
		f := &h.Fields[i]
		value := f.Value
		if !validName(f.Name) { // RFC 9110 §5.1
			return dst, fmt.Errorf("cannot send the answer: the field name %s is not a token; rename the header", quoted(f.Name))
		}
		if n := len(value); n > 0 && (value[0] <= ' ' || value[n-1] <= ' ') {
			value = exchange.TrimOWS(value)
		}
		if !validValue(value) { // RFC 9110 §5.5: CR, LF or NUL would let it write the next answer
			return dst, fmt.Errorf("cannot send the answer: the value of %s holds a control character; remove it", quoted(f.Name))
		}
		switch found.note(f.Name, value) {
		case fieldLength:
			n, ok := parseLength(value)
			switch {
			case !ok:
				return dst, errors.New("cannot send the answer: its Content-Length is not a number")
			case length >= 0: // RFC 9110 §8.6
				return dst, errors.New("cannot send the answer: it has more than one Content-Length")
			}
			length = n
			continue
		case fieldOurs:
			continue
		}
		out = append(out, f.Name...)
		out = append(out, ": "...)
		out = append(out, value...)
		out = append(out, "\r\n"...)
	}
	if h.Status < 200 {
		h.Framing, h.Length = FramingNone, -1
		return append(out, "\r\n"...), nil
	}
	if !found.date && len(h.Date) > 0 { // RFC 9110 §6.6.1
		out = append(out, "Date: "...)
		out = append(out, h.Date...)
		out = append(out, "\r\n"...)
	}
	if !found.server {
		out = append(out, "Server: pyspeed\r\n"...)
	}
	h.frame(length)
	switch {
	case h.Length >= 0:
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, h.Length, 10)
		out = append(out, "\r\n"...)
	case h.Framing == FramingChunked:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	// RFC 9112 §9.3, §9.6: close is said in any version, persistence only where it is
	// not the rule.
	h.KeepAlive = h.KeepAlive && !found.close && h.Framing != FramingClose
	switch {
	case !h.KeepAlive:
		out = append(out, "Connection: close\r\n"...)
	case h.Minor == 0:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	return append(out, "\r\n"...), nil
}

// frame sets Framing and Length; given is the application's Content-Length or -1.
func (h *AnswerHead) frame(given int64) {
	switch {
	case h.Status == 204 || h.Status == 304:
		// RFC 9110 §8.6: no Content-Length in 204, and in 304 only that of
		// the 200, which applications get wrong.
		h.Framing, h.Length = FramingNone, -1
	case h.HeadRequest:
		// RFC 9110 §9.3.2: what GET would get; an empty body says nothing of that.
		h.Framing = FramingNone
		if given >= 0 {
			h.Length = given
		} else if h.Length == 0 {
			h.Length = -1
		}
	case given >= 0:
		h.Framing, h.Length = FramingLength, given
	case h.Length >= 0:
		h.Framing = FramingLength
	case h.Minor > 0:
		h.Framing = FramingChunked
	default:
		h.Framing = FramingClose
	}
}

type fieldKind uint8

const (
	fieldPlain  fieldKind = iota
	fieldLength           // Content-Length
	fieldOurs             // not the application's to set
)

// seen is what the fields said that were written so far.
type seen struct{ date, server, close bool }

// note tells a field's kind. The lengths of the names sort most fields out without
// a comparison.
func (s *seen) note(name, value []byte) fieldKind {
	switch len(name) {
	case 2:
		if exchange.EqualFold(name, "te") {
			return fieldOurs
		}
	case 4:
		s.date = s.date || exchange.EqualFold(name, "date")
	case 6:
		s.server = s.server || exchange.EqualFold(name, "server")
	case 7:
		if exchange.EqualFold(name, "trailer") || exchange.EqualFold(name, "upgrade") {
			return fieldOurs
		}
	case 10:
		if exchange.EqualFold(name, "connection") {
			closes, _ := connectionOptions(value)
			s.close = s.close || closes
			return fieldOurs
		}
		if exchange.EqualFold(name, "keep-alive") {
			return fieldOurs
		}
	case 14:
		if exchange.EqualFold(name, "content-length") {
			return fieldLength
		}
	case 17:
		if exchange.EqualFold(name, "transfer-encoding") {
			return fieldOurs
		}
	}
	if len(name) > 6 && name[0]|0x20 == 'p' && exchange.EqualFold(name[:6], "proxy-") {
		return fieldOurs
	}
	return fieldPlain
}

func validName(name []byte) bool {
	for _, c := range name {
		if octets[c]&isToken == 0 {
			return false
		}
	}
	return len(name) > 0
}

// quoted makes a name fit for a log: escaped, and not longer than a name should be.
func quoted(name []byte) string {
	return strconv.QuoteToASCII(string(name[:min(len(name), 64)]))
}

// AppendChunk appends p as one chunk (RFC 9112 §7.1). An empty p appends nothing, since an
// empty chunk would end the body.
func AppendChunk(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	dst = AppendChunkSize(dst, len(p))
	dst = append(dst, p...)
	return append(dst, "\r\n"...)
}

// AppendChunkSize appends the line that precedes n > 0 bytes of data; CRLF must
// follow them.
func AppendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the end of a chunked body.
func AppendLastChunk(dst []byte) []byte {
	return append(dst, "0\r\n\r\n"...)
}
