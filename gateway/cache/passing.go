package cache

import (
	"bytes"
	"net/url"
	"strings"
	"time"

	"pyspeed/gateway/exchange"
)

// passing is the Writer of an answer that is not stored: it says so to the client. Of an unsafe method it sees whether the
// answer makes others invalid.
type passing struct {
	exchange.Writer
	h      *handler
	status string
	x      *exchange.Exchange // unsafe: its request
	unsafe bool
	stored *entry // HEAD: what is stored of GET, and stale; nil: nothing is
}

// Head implements exchange.Writer.
func (p *passing) Head(status int, fields []exchange.Field) error {
	if status < 200 {
		return p.Writer.Head(status, fields)
	}
	p.see(status, fields)
	return p.Writer.Head(status, p.told(fields))
}

// Answer implements exchange.Writer.
func (p *passing) Answer(status int, fields []exchange.Field, body []byte) error {
	if status < 200 {
		return p.Writer.Answer(status, fields, body)
	}
	p.see(status, fields)
	return p.Writer.Answer(status, p.told(fields), body)
}

// Abort implements exchange.Writer. Nobody knows what an unsafe method has changed by then.
func (p *passing) Abort(status int, reason string) {
	p.invalidate(200, nil)
	p.Writer.Abort(status, reason)
}

// see looks at what an answer says of those that are stored.
func (p *passing) see(status int, fields []exchange.Field) {
	p.invalidate(status, fields)
	if p.stored == nil || status != 200 {
		return
	}
	// RFC 9111 §4.3.5: what HEAD says is what GET would say.
	a := readFacts(status, fields, time.Now())
	if len(a.etag) > 0 && !sameTag(a.etag, p.stored.etag) || a.hasModified && !a.modified.Equal(p.stored.modified) ||
		a.length >= 0 && a.length != int64(len(p.stored.body)) {
		p.h.cache.memory.remove(p.stored)
	}
}

func (p *passing) told(fields []exchange.Field) []exchange.Field {
	return p.h.told(fields, nil, []byte(p.status), &p.h.settings.Strip)
}

// told is the fields of an answer for a client: without those that are not for clients, and with Cache-Status.
func (h *handler) told(fields, memory []exchange.Field, status []byte, strip *Strip) []exchange.Field {
	if memory == nil {
		memory = make([]exchange.Field, 0, len(fields)+2)
	}
	for i := range fields {
		if !strip.drops(fields[i].Name) {
			memory = append(memory, fields[i])
		}
	}
	if h.settings.Status {
		memory = append(memory, exchange.Field{Name: statusName, Value: status})
	}
	return memory
}

var (
	statusName = []byte("Cache-Status")
	ageName    = []byte("Age")
)

// invalidate removes what an answer to an unsafe method makes invalid (RFC 9111 §4.4): what is stored of its URI, and of those
// in Location and Content-Location on the same host, unless it is an error.
func (p *passing) invalidate(status int, fields []exchange.Field) {
	if !p.unsafe || status < 200 || status >= 400 {
		return
	}
	q := &p.x.Request
	rule := p.h.rule(q.Path)
	own := string(appendURI(nil, q, rule))
	p.h.cache.invalidate(own)
	if q.Query != nil { // and the page without parameters, or with those that a rule leaves out
		if bare, _, found := strings.Cut(own, "?"); found {
			p.h.cache.invalidate(bare)
		}
	}
	for i := range fields {
		if exchange.EqualFold(fields[i].Name, "location") || exchange.EqualFold(fields[i].Name, "content-location") {
			if uri := p.h.resolve(q, own, fields[i].Value); uri != "" && uri != own {
				p.h.cache.invalidate(uri)
			}
		}
	}
}

// resolve is the key of a URI reference in an answer; "": it is of another origin, or none.
func (h *handler) resolve(q *exchange.Request, base string, reference []byte) string {
	b, err := url.Parse(base)
	if err != nil {
		return ""
	}
	to, err := b.Parse(string(exchange.TrimOWS(reference)))
	if err != nil || schemeless(normal(to.Scheme+"://"+to.Host)) != schemeless(normal(b.Scheme+"://"+b.Host)) {
		return ""
	}
	other := exchange.Request{Authority: q.Authority, TLS: q.TLS, RawPath: []byte(to.EscapedPath()), Path: []byte(to.Path)}
	if len(other.RawPath) == 0 {
		other.RawPath, other.Path = []byte("/"), []byte("/")
	}
	if to.RawQuery != "" || to.ForceQuery {
		other.Query = []byte(to.RawQuery)
	}
	return string(appendURI(nil, &other, h.rule(other.Path)))
}

// sameTag is whether two field values are the same tag, weakly compared (RFC 9110 §8.8.3.2).
func sameTag(a, b []byte) bool {
	return bytes.Equal(bytes.TrimPrefix(a, weak), bytes.TrimPrefix(b, weak))
}

var weak = []byte("W/")
