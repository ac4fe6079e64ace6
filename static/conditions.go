package static

import (
	"bytes"
	"net/http"
	"time"

	"pyspeed/gateway/exchange"
)

// condition is what a request's preconditions make of it.
type condition uint8

const (
	proceed     condition = iota
	notModified           // 304
	failed                // 412
)

// evaluate applies the preconditions in the order of RFC 9110 §13.2.2. etag is the representation's, modified
// without fractions of a second.
func evaluate(r *exchange.Request, etag string, modified time.Time) condition {
	if v := r.Get("if-match"); v != nil {
		if !matches(v, etag, true) {
			return failed
		}
	} else if v := r.Get("if-unmodified-since"); v != nil {
		if t, err := http.ParseTime(string(v)); err == nil && modified.After(t) {
			return failed
		}
	}
	if v := r.Get("if-none-match"); v != nil {
		if matches(v, etag, false) {
			return notModified // GET and HEAD are all that come here
		}
	} else if v := r.Get("if-modified-since"); v != nil {
		if t, err := http.ParseTime(string(v)); err == nil && !modified.After(t) {
			return notModified
		}
	}
	return proceed
}

// rangeHolds is whether If-Range lets Range count (RFC 9110 §13.1.5): a strong match, or the very date.
func rangeHolds(r *exchange.Request, etag string, modified time.Time) bool {
	v := r.Get("if-range")
	if v == nil {
		return true
	}
	if bytes.HasPrefix(v, []byte{'"'}) || bytes.HasPrefix(v, []byte("W/")) {
		return string(v) == etag
	}
	t, err := http.ParseTime(string(v))
	return err == nil && t.Equal(modified)
}

// matches is whether a list of entity tags has etag, which is strong, or is "*" (RFC 9110 §8.8.3.2).
func matches(list []byte, etag string, strong bool) bool {
	for {
		list = bytes.TrimLeft(list, " \t,")
		if len(list) == 0 {
			return false
		}
		if list[0] == '*' {
			return true
		}
		weak := bytes.HasPrefix(list, []byte("W/"))
		if weak {
			list = list[2:]
		}
		if len(list) == 0 || list[0] != '"' {
			return false // no entity tag: nothing behind it can be told apart
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if tag := list[:end+2]; string(tag) == etag && !(weak && strong) {
			return true
		}
		list = list[end+2:]
	}
}
