package cache

import (
	"bytes"
	"time"

	"pyspeed/gateway/exchange"
)

// unmodified is whether a client that has an answer already has this one (RFC 9110 §13.1.2, §13.1.3; RFC 9111 §4.3.2).
func (a *asked) unmodified(status int, etag []byte, modified time.Time, hasModified bool) bool {
	if !a.conditional || status != 200 {
		return false
	}
	if a.noneMatch != nil {
		return listsTag(a.noneMatch, etag)
	}
	since, ok := date(a.since)
	return ok && hasModified && !modified.After(since)
}

// listsTag is whether a list of entity tags has one, weakly compared, or is "*".
func listsTag(list, etag []byte) bool {
	for {
		list = bytes.TrimLeft(list, " \t,")
		if len(list) == 0 {
			return false
		}
		if list[0] == '*' {
			return true
		}
		list = bytes.TrimPrefix(list, weak)
		if len(list) == 0 || list[0] != '"' {
			return false // no entity tag: nothing behind it can be told apart
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if len(etag) > 0 && sameTag(list[:end+2], etag) {
			return true
		}
		list = list[end+2:]
	}
}

// part is the part of a body that Range asks for; ok is false where the answer is the whole one: several parts, units other
// than bytes, an If-Range that does not hold. none is true where there is no such part.
func (a *asked) part(q *exchange.Request, e *entry) (from, to int, ok, none bool) {
	size := len(e.body)
	value, found := bytes.CutPrefix(bytes.ToLower(exchange.TrimOWS(a.span)), []byte("bytes="))
	if !found || e.status != 200 || !e.rangeHolds(q) {
		return 0, 0, false, false
	}
	first, last, found := bytes.Cut(value, []byte{'-'})
	first, last = exchange.TrimOWS(first), exchange.TrimOWS(last)
	if !found || !digits(first) || !digits(last) || len(first)+len(last) == 0 {
		return 0, 0, false, false
	}
	if len(first) == 0 { // the last so many
		n := int(min(seconds(last), int64(size)))
		return size - n, size, n > 0, n == 0
	}
	from, to = int(seconds(first)), size
	if len(last) > 0 {
		if end := int(seconds(last)); end < from {
			return 0, 0, false, false
		} else if end < size {
			to = end + 1
		}
	}
	return from, to, from < size, from >= size
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// rangeHolds is whether If-Range lets Range count (RFC 9110 §13.1.5): a strong match, or the very date.
func (e *entry) rangeHolds(q *exchange.Request) bool {
	v := q.Get("if-range")
	if v == nil {
		return true
	}
	if bytes.HasPrefix(v, []byte{'"'}) {
		return bytes.Equal(v, e.etag)
	}
	t, ok := date(v)
	return ok && e.hasModified && t.Equal(e.modified)
}
