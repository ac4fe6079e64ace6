package http1

import (
	"bytes"

	"pyspeed/gateway/exchange"
)

const (
	// maxSizeDigits is how many hexadecimal digits a chunk size may have.
	maxSizeDigits = 16
	// maxExtensions is how many bytes of chunk extensions one body may have.
	maxExtensions    = 4 << 10
	maxTrailerFields = 100
	// maxTrailers is how many bytes the trailer section may have, with its
	// CRLFs and the empty line at the end.
	maxTrailers = 8 << 10
)

// Chunked decodes one body in the chunked transfer coding (RFC 9112 §7.1). The
// zero value is ready for the first byte after the head. Chunk extensions are checked and
// ignored; so are trailer fields, which are never merged into the header (RFC 9110 §6.5.1).
//
// Not safe for concurrent use; it belongs to the connection's owner.
type Chunked struct {
	state      chunkState
	left       int64 // data bytes of the current chunk that have not come
	extensions int   // bytes of extensions so far
	trailers   int   // bytes of the trailer section so far
	fields     int   // trailer fields so far
	scanned    int   // how much of the incomplete line has no LF
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkData
	chunkDataEnd // the CRLF after the data
	chunkTrailer
	chunkDone
)

// Next decodes from buf, which must begin with the first byte that was not consumed
// before. It consumes n bytes; data, a part of buf, is the body among them and may be
// empty. done is set once the last chunk and the trailer section were consumed:
// what follows in buf is the next request's. n == 0 without done means that a line
// in buf is incomplete, and Next must be called with more bytes behind it; otherwise
// call again with the rest of buf. After an error the decoder is of no more use.
func (c *Chunked) Next(buf []byte) (n int, data []byte, done bool, err *Error) {
	for {
		switch c.state {
		case chunkSize:
			line, end := c.line(buf[n:], maxSizeDigits+maxExtensions-c.extensions+2)
			switch end {
			case lineOpen:
				return n, nil, false, nil
			case lineTooLong:
				return n, nil, false, bad("the chunk extensions are larger than 4 KiB")
			case lineBareLF:
				return n, nil, false, bad("a chunk size line ends in LF without CR")
			}
			n += len(line) + 2
			if err := c.size(line); err != nil {
				return n, nil, false, err
			}
		case chunkData:
			have := min(int64(len(buf)-n), c.left)
			if have == 0 {
				return n, nil, false, nil
			}
			data = buf[n : n+int(have) : n+int(have)]
			n += int(have)
			if c.left -= have; c.left == 0 {
				c.state = chunkDataEnd
			}
			return n, data, false, nil
		case chunkDataEnd:
			rest := buf[n:]
			if len(rest) > 0 && rest[0] != '\r' || len(rest) > 1 && rest[1] != '\n' {
				return n, nil, false, bad("chunk data is not followed by CRLF")
			}
			if len(rest) < 2 {
				return n, nil, false, nil
			}
			n += 2
			c.state = chunkSize
		case chunkTrailer:
			line, end := c.line(buf[n:], maxTrailers-c.trailers)
			switch end {
			case lineOpen:
				return n, nil, false, nil
			case lineTooLong: // RFC 6585 §5
				return n, nil, false, &Error{431, "the trailer section is larger than 8 KiB"}
			case lineBareLF:
				return n, nil, false, bad("a trailer line ends in LF without CR")
			}
			n += len(line) + 2
			c.trailers += len(line) + 2
			if len(line) == 0 {
				c.state = chunkDone
				return n, nil, true, nil
			}
			if c.fields++; c.fields > maxTrailerFields {
				return n, nil, false, &Error{431, "there are more than 100 trailer fields"}
			}
			name, _, err := splitField(line)
			if err != nil {
				return n, nil, false, err
			}
			if forbiddenTrailer(name) {
				return n, nil, false, bad("a trailer field that may only be a header field")
			}
		case chunkDone:
			return n, nil, true, nil
		}
	}
}

// Left is how many bytes of the chunk that has begun are still to come: a body that will be
// too large is known to be before its bytes arrive.
func (c *Chunked) Left() int64 { return c.left }

// lineEnd is what line found.
type lineEnd uint8

const (
	lineWhole   lineEnd = iota
	lineOpen            // its end has not come
	lineTooLong         // it has more bytes than it may have
	lineBareLF          // RFC 9112 §2.2 lets a recipient take that; a strict one does not
)

// line returns the line at the start of b, without its CRLF, if it is whole and has no
// more than most bytes, CRLF included.
func (c *Chunked) line(b []byte, most int) ([]byte, lineEnd) {
	from := min(c.scanned, len(b))
	eol := bytes.IndexByte(b[from:], '\n')
	if eol < 0 {
		c.scanned = len(b)
		if len(b) >= most {
			return nil, lineTooLong
		}
		return nil, lineOpen
	}
	c.scanned = 0
	eol += from
	if eol+1 > most {
		return nil, lineTooLong
	}
	if eol == 0 || b[eol-1] != '\r' {
		return nil, lineBareLF
	}
	return b[:eol-1], lineWhole
}

// size: chunk-size [ chunk-ext ], chunk-size = 1*HEXDIG (RFC 9112 §7.1).
func (c *Chunked) size(line []byte) *Error {
	size, i := uint64(0), 0
	for i < len(line) && octets[line[i]]&isHexDigit != 0 {
		if i == maxSizeDigits {
			return bad("a chunk size has more than 16 digits")
		}
		size = size<<4 | uint64(unhex(line[i]))
		i++
	}
	switch {
	case i == 0:
		return bad("a chunk size is not a hexadecimal number")
	case size > 1<<63-1:
		return bad("a chunk size is larger than 2^63-1")
	}
	extensions := line[i:]
	if c.extensions += len(extensions); c.extensions > maxExtensions {
		return bad("the chunk extensions are larger than 4 KiB")
	}
	if !validExtensions(extensions) {
		return bad("a chunk size is followed by something other than chunk extensions")
	}
	c.left = int64(size)
	c.state = chunkData
	if size == 0 {
		c.state = chunkTrailer
	}
	return nil
}

// validExtensions: chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token /
// quoted-string ) ] ) (RFC 9112 §7.1.1).
func validExtensions(b []byte) bool {
	for len(b) > 0 {
		b = skipOWS(b)
		if len(b) == 0 || b[0] != ';' {
			return false
		}
		rest, ok := skipToken(skipOWS(b[1:]))
		if !ok {
			return false
		}
		b = rest
		value := skipOWS(b)
		if len(value) == 0 || value[0] != '=' {
			continue
		}
		value = skipOWS(value[1:])
		if len(value) > 0 && value[0] == '"' {
			b, ok = skipQuoted(value)
		} else {
			b, ok = skipToken(value)
		}
		if !ok {
			return false
		}
	}
	return true
}

func skipOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

func skipToken(b []byte) (rest []byte, ok bool) {
	i := 0
	for i < len(b) && octets[b[i]]&isToken != 0 {
		i++
	}
	return b[i:], i > 0
}

// skipQuoted: quoted-string (RFC 9110 §5.6.4).
func skipQuoted(b []byte) (rest []byte, ok bool) {
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return b[i+1:], true
		case b[i] == '\\':
			i++
			if i == len(b) || octets[b[i]]&isValue == 0 {
				return nil, false
			}
		case octets[b[i]]&isValue == 0:
			return nil, false
		}
	}
	return nil, false
}

// forbiddenTrailer is whether a field frames, routes, modifies or authenticates the
// request or says how to read its body (RFC 9110 §6.5.1). It would come too late
// for that, and only an attack sends one.
func forbiddenTrailer(name []byte) bool {
	for _, f := range [...]string{
		"content-length", "transfer-encoding", "host", "trailer", "te", "connection", "keep-alive", "upgrade",
		"expect", "range", "cache-control", "max-forwards", "pragma",
		"authorization", "proxy-authorization", "proxy-connection", "cookie",
		"content-encoding", "content-type", "content-range",
	} {
		if exchange.EqualFold(name, f) {
			return true
		}
	}
	return len(name) > 3 && exchange.EqualFold(name[:3], "if-")
}
