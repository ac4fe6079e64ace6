package cache

import (
	"bytes"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"pyspeed/gateway/exchange"
)

// entry is what is kept under one key: an answer; or, where answers differ by fields, which fields; or that answers are
// nobody else's. Nothing of it changes once it is kept, but the forms, which are made as they are asked for.
type entry struct {
	key, uri string
	names    []string // of the fields that answers under this key differ by; nil: it is an answer, or a mark
	varies   []string // of an answer: those that its key has
	mark     bool     // answers were not stored lately, so nobody is to wait for one

	status int
	fields []exchange.Field // without Content-Length and Age
	body   []byte
	etag   []byte
	tags   []string

	modified    time.Time
	hasModified bool
	date        time.Time

	terms
	initialAge time.Duration // when it came
	received   time.Duration // on the gateway's clock

	doubled bool                    // forms are made, which its weight has room for
	forms   [8]atomic.Pointer[form] // as an Encoder makes them
	gone    atomic.Bool             // purged, or invalidated
}

// form is an answer as a client accepts it.
type form struct {
	fields []exchange.Field
	body   []byte
}

// age is current_age (RFC 9111 §4.2.3).
func (e *entry) age(now time.Duration) time.Duration { return e.initialAge + max(now-e.received, 0) }

// left is how long it is still fresh; negative: how long it has been stale.
func (e *entry) left(now time.Duration) time.Duration { return e.fresh - e.age(now) }

// weight is the memory that it holds, in bytes.
func (e *entry) weight() uint32 {
	n := int64(400 + 2*len(e.key) + len(e.uri))
	for i := range e.fields {
		n += int64(len(e.fields[i].Name)+len(e.fields[i].Value)) + 48
	}
	for _, t := range e.tags {
		n += int64(len(t)) + 100
	}
	for _, s := range e.names {
		n += int64(len(s)) + 16
	}
	n += int64(len(e.body))
	if e.doubled {
		n += int64(len(e.body))
	}
	return uint32(min(n, math.MaxUint32))
}

// newEntry makes an entry of an answer. body becomes its own; fields are copied.
func newEntry(a *facts, fields []exchange.Field, body []byte, t terms, strip *Strip) *entry {
	e := &entry{status: a.status, body: body, terms: t, modified: a.modified, hasModified: a.hasModified, date: a.date}
	e.setFields(fields, strip)
	if !a.dated {
		// It is of now, and is to be of now when it is given later (RFC 9110 §6.6.1).
		e.fields = append(e.fields, exchange.Field{Name: []byte("Date"), Value: a.date.UTC().AppendFormat(nil, httpDate)})
	}
	e.etag = bytes.Clone(a.etag)
	return e
}

const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// setFields copies fields that are stored (RFC 9111 §3.1), into one piece of memory.
func (e *entry) setFields(fields []exchange.Field, strip *Strip) {
	var options []byte // what Connection names
	size, n := 0, 0
	for i := range fields {
		size += len(fields[i].Name) + len(fields[i].Value)
		n++
		if exchange.EqualFold(fields[i].Name, "connection") {
			options = append(append(options, ','), fields[i].Value...)
		}
	}
	memory := make([]byte, 0, size)
	e.fields = make([]exchange.Field, 0, n+1)
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		if tagged(name) {
			e.tags = appendTags(e.tags, name, value)
		}
		if !stored(name) || strip.drops(name) || len(options) > 0 && contains(options, string(bytes.ToLower(name))) {
			continue
		}
		at := len(memory)
		memory = append(append(memory, name...), value...)
		e.fields = append(e.fields, exchange.Field{Name: memory[at : at+len(name) : at+len(name)], Value: memory[at+len(name) : len(memory) : len(memory)]})
	}
}

// stored is whether a field belongs to the answer, not to the connection or to how it came.
func stored(name []byte) bool {
	for _, n := range [...]string{
		"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "age",
		"proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "warning",
	} {
		if exchange.EqualFold(name, n) {
			return false
		}
	}
	return true
}

// Strip says which fields of answers clients do not get.
type Strip struct {
	Tags bool // Cache-Tag, Surrogate-Key
	// cookies is a rule's.
	cookies bool
}

func (s *Strip) drops(name []byte) bool {
	return s.Tags && tagged(name) || s.cookies && (exchange.EqualFold(name, "set-cookie") || exchange.EqualFold(name, "set-cookie2"))
}

// tagged is whether a field names tags of an answer: Cache-Tag separates them by commas, Surrogate-Key by blanks.
func tagged(name []byte) bool {
	return exchange.EqualFold(name, "cache-tag") || exchange.EqualFold(name, "surrogate-key")
}

// mostTags is how many tags an answer may have.
const mostTags = 64

func appendTags(tags []string, name, value []byte) []string {
	separators := ", \t"
	if len(name) == len("cache-tag") {
		separators = ","
	}
	for one := range bytes.FieldsFuncSeq(value, func(r rune) bool { return bytes.ContainsRune([]byte(separators), r) }) {
		if one = exchange.TrimOWS(one); len(one) > 0 && len(tags) < mostTags {
			tags = append(tags, string(one))
		}
	}
	return tags
}

// freshened is the entry with the fields of a 304 (RFC 9111 §3.2, §4.3.4).
func (e *entry) freshened(a *facts, fields []exchange.Field, strip *Strip) *entry {
	next := &entry{status: e.status, body: e.body, modified: e.modified, hasModified: e.hasModified, date: a.date, etag: e.etag, doubled: e.doubled}
	update := &entry{}
	update.setFields(fields, strip)
	if !a.dated {
		update.fields = append(update.fields, exchange.Field{Name: []byte("Date"), Value: a.date.UTC().AppendFormat(nil, httpDate)})
	}
	for _, f := range e.fields {
		if !replaces(update.fields, f.Name) {
			next.fields = append(next.fields, f)
		}
	}
	for _, f := range update.fields {
		if updates(f.Name) {
			next.fields = append(next.fields, f)
		}
	}
	if next.tags = update.tags; len(next.tags) == 0 {
		next.tags = e.tags
	}
	if len(a.etag) > 0 {
		next.etag = bytes.Clone(a.etag)
	}
	if a.hasModified {
		next.modified, next.hasModified = a.modified, true
	}
	return next
}

func replaces(update []exchange.Field, name []byte) bool {
	for _, f := range update {
		if updates(f.Name) && bytes.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// updates is whether a field of a 304 takes the stored one's place: not those that tell of the body that is kept (§3.2).
func updates(name []byte) bool {
	for _, n := range [...]string{"content-encoding", "content-type", "content-range", "content-length", "content-location", "content-language"} {
		if exchange.EqualFold(name, n) {
			return false
		}
	}
	return true
}

// appendAge appends the Age field's value (§5.1).
func appendAge(dst []byte, age time.Duration) []byte {
	return strconv.AppendInt(dst, int64(min(max(age/time.Second, 0), forever)), 10)
}
