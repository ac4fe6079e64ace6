package fcgi

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
)

// DefaultHeadLimit is the limit of a [CGIHead] that names none, in bytes.
const DefaultHeadLimit = 1 << 20

// CGIHead reads the head of a CGI answer (RFC 3875 §6), which a standard
// FastCGI responder writes to STDOUT: field lines, an empty line, the body.
// Lines end with LF or CRLF. The zero value is ready.
type CGIHead struct {
	// Limit is the most bytes the head may have, its empty line included; 0
	// stands for DefaultHeadLimit. A single line may be as long.
	Limit int

	status   int // of the Status field; 0: none
	location bool
	done     bool
	err      error
	buf      []byte
	line     int // where in buf the unfinished line starts
	fields   []fieldSpan
}

// fieldSpan says where in CGIHead.buf a field's name and value lie; slices
// would die when buf grows.
type fieldSpan struct {
	name, nameEnd, value, valueEnd int
}

// Feed takes the next bytes of the answer. n says how many of them belong to
// the head; with done, b[n:] is body. An error stays: the answer is not CGI.
// An answer that ends before done is cut off.
func (h *CGIHead) Feed(b []byte) (n int, done bool, err error) {
	for h.err == nil && !h.done && n < len(b) {
		rest := b[n:]
		lf := bytes.IndexByte(rest, '\n')
		if lf >= 0 {
			rest = rest[:lf+1]
		}
		if len(rest) > h.limit()-len(h.buf) {
			h.err = fmt.Errorf("cannot read CGI answer: head is larger than %d bytes", h.limit())
			break
		}
		h.buf = append(h.buf, rest...)
		n += len(rest)
		if lf >= 0 {
			h.err = h.endLine()
		}
	}
	if h.err != nil {
		return 0, false, h.err
	}
	return n, h.done, nil
}

// endLine reads the line that ends at the end of buf.
func (h *CGIHead) endLine() error {
	start, end := h.line, len(h.buf)-1
	h.line = len(h.buf)
	if end > start && h.buf[end-1] == '\r' {
		end--
	}
	if start == end {
		// RFC 3875 §6.3: "At least one CGI field MUST be supplied". Other fields
		// alone are common and harmless; none at all is a broken program.
		if len(h.fields) == 0 && h.status == 0 {
			return errors.New("cannot read CGI answer: head is empty")
		}
		h.done = true
		return nil
	}
	// RFC 3875 §6.3: "each header field in a CGI-Response MUST be specified on
	// a single line; CGI/1.1 does not support continuation lines." A folded line
	// starts with white space, which is not part of a token either.
	colon := bytes.IndexByte(h.buf[start:end], ':')
	if colon < 0 {
		return fmt.Errorf("cannot read CGI answer: head line %q has no colon", clip(h.buf[start:end]))
	}
	f := fieldSpan{name: start, nameEnd: start + colon, value: start + colon + 1, valueEnd: end}
	for f.value < f.valueEnd && isBlank(h.buf[f.value]) {
		f.value++
	}
	for f.value < f.valueEnd && isBlank(h.buf[f.valueEnd-1]) {
		f.valueEnd--
	}
	name, value := h.buf[f.name:f.nameEnd], h.buf[f.value:f.valueEnd]
	if !isToken(name) {
		// RFC 3875 §6.3: "Whitespace is permitted between the ":" and the
		// field-value (but not between the field-name and the ":")".
		return fmt.Errorf("cannot read CGI answer: %q is not a field name", clip(name))
	}
	// RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are
	// invalid and dangerous".
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("cannot read CGI answer: value of field %q has the control character %#02x", clip(name), c)
		}
	}
	// RFC 3875 §6.3: "The field-name is not case sensitive."
	if equalFold(name, "status") {
		return h.setStatus(value)
	}
	// RFC 3875 §6.3: "A NULL field value is equivalent to a field not being
	// sent."
	if len(value) > 0 && equalFold(name, "location") {
		h.location = true
	}
	h.fields = append(h.fields, f)
	return nil
}

func (h *CGIHead) setStatus(value []byte) error {
	if len(value) == 0 {
		return nil
	}
	// RFC 3875 §6.3: "each CGI field MUST NOT appear more than once in the
	// response."
	if h.status != 0 {
		return errors.New("cannot read CGI answer: more than one Status field")
	}
	// RFC 3875 §6.3.3: Status = "Status:" status-code SP reason-phrase NL; many
	// programs leave the phrase out.
	if len(value) < 3 || len(value) > 3 && value[3] != ' ' {
		return fmt.Errorf("cannot read CGI answer: Status %q is not three digits and a phrase", clip(value))
	}
	status := 0
	for _, c := range value[:3] {
		if c < '0' || c > '9' {
			return fmt.Errorf("cannot read CGI answer: Status %q is not three digits and a phrase", clip(value))
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 {
		return fmt.Errorf("cannot read CGI answer: Status %d is below 100", status)
	}
	h.status = status
	return nil
}

// Status returns the answer's status, 100..999, once Feed said done. RFC 3875
// §6.3.3: "Status code 200 'OK' indicates success, and is the default value
// assumed for a document response", and 302 that of a redirect (§6.2.3).
func (h *CGIHead) Status() int {
	switch {
	case h.status != 0:
		return h.status
	case h.location:
		return 302
	}
	return 200
}

// Fields yields name and value of the fields in the order in which they were
// sent, without Status. The slices are valid until Reset.
func (h *CGIHead) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range h.fields {
			if !yield(h.buf[f.name:f.nameEnd:f.nameEnd], h.buf[f.value:f.valueEnd:f.valueEnd]) {
				return
			}
		}
	}
}

// Reset makes h ready for another head and keeps its memory.
func (h *CGIHead) Reset() {
	*h = CGIHead{Limit: h.Limit, buf: h.buf[:0], fields: h.fields[:0]}
}

func (h *CGIHead) limit() int {
	if h.Limit <= 0 {
		return DefaultHeadLimit
	}
	return h.Limit
}

// clip bounds what of a peer's bytes goes into an error message.
func clip(b []byte) []byte {
	return b[:min(len(b), 64)]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isToken reports whether b is a token (RFC 9110 §5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			if bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
				return false
			}
		}
	}
	return len(b) > 0
}

// equalFold compares a field name with a lower-case ASCII name. It does not
// fold beyond ASCII, as bytes.EqualFold does.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
