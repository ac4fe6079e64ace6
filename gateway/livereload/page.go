package livereload

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"pyspeed/gateway/exchange"
)

// wantsPage is whether a browser asks for a document to show, and not a script for a part of one.
func wantsPage(r *exchange.Request) bool {
	switch string(r.Method) {
	case "GET", "POST":
	default:
		return false
	}
	page, told := false, false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case exchange.EqualFold(f.Name, "sec-fetch-dest"): // W3C Fetch Metadata §2.1
			switch string(f.Value) {
			case "document", "iframe", "frame":
			default:
				return false
			}
			told = true
		case exchange.EqualFold(f.Name, "accept"):
			// Browsers name it when they navigate. Other clients take anything, and want what the application says.
			page = page || bytes.Contains(bytes.ToLower(f.Value), []byte("text/html"))
		case exchange.EqualFold(f.Name, "range"),
			exchange.EqualFold(f.Name, "x-requested-with"),
			exchange.EqualFold(f.Name, "hx-request"),
			exchange.EqualFold(f.Name, "turbo-frame"),
			exchange.EqualFold(f.Name, "x-up-version"):
			return false
		}
	}
	return page || told
}

// conditions takes from a request for a page what would have the application say that the browser's copy is good
// though its script is not, or that would make the answer one that no script can be added to. A copy with the script as of
// the present event is good: its entity tag then gets the form that the application knows, and
// valid is true.
func (h *Hub) conditions(r *exchange.Request, now uint64) (valid bool) {
	suffix := h.tagSuffix(now)
	for i := range r.Fields {
		if f := &r.Fields[i]; exchange.EqualFold(f.Name, "if-none-match") {
			if f.Value = ownTags(f.Value, suffix); len(f.Value) > 0 {
				valid = true
			}
		}
	}
	r.Fields = slices.DeleteFunc(r.Fields, func(f exchange.Field) bool {
		return exchange.EqualFold(f.Name, "accept-encoding") ||
			exchange.EqualFold(f.Name, "if-none-match") && len(f.Value) == 0 ||
			!valid && exchange.EqualFold(f.Name, "if-modified-since")
	})
	return valid
}

// tagSuffix is what an entity tag ends with, within its quotes, when the script was added.
func (h *Hub) tagSuffix(number uint64) string { return "--" + h.position(number) }

// ownTags are the entity tags of a list that have the suffix, without it.
func ownTags(list []byte, suffix string) []byte {
	var own []byte
	for {
		start := bytes.IndexByte(list, '"')
		if start < 0 {
			return own
		}
		end := bytes.IndexByte(list[start+1:], '"')
		if end < 0 {
			return own
		}
		end += start + 1
		if tag, ok := bytes.CutSuffix(list[start:end], []byte(suffix)); ok {
			if own != nil {
				own = append(own, ", "...)
			}
			if bytes.HasSuffix(list[:start], []byte("W/")) {
				own = append(own, "W/"...)
			}
			own = append(append(own, tag...), '"')
		}
		list = list[end+1:]
	}
}

// prepare is called with an answer's head, before the edge is, and returns the fields that the edge gets. length is the
// body's where that is known, else -1.
func (f *filter) prepare(status int, fields []exchange.Field, length int64) (_ []exchange.Field, adding bool) {
	f.left = -1
	if status == http.StatusNotModified && f.valid {
		return f.tagged(fields, f.from), false
	}
	policy, announced, ok := examine(status, fields)
	if !ok || length >= 0 && announced >= 0 && length != announced {
		return fields, false
	}
	from := f.from
	if f.x.Dispatched != 0 {
		from = f.hub.asOf(f.x.Dispatched) // it waited until then, perhaps for new code
	}
	nonce, ok := policy.allows(f.x.Request.TLS, string(f.x.Request.Authority))
	if !ok {
		f.hub.hint(string(f.x.Request.RawPath))
		return fields, false
	}
	f.element = f.hub.element(from, nonce, f.post)
	f.left = announced
	fields = f.tagged(fields, from)
	for i := range fields {
		if announced >= 0 && exchange.EqualFold(fields[i].Name, "content-length") {
			fields[i].Value = strconv.AppendInt(nil, announced+int64(len(f.element)), 10)
		}
	}
	return fields, true
}

// tagged copies fields, with an entity tag that says which script was added: one that names the answer without it would be
// wrong (RFC 9110 §8.8.3).
func (f *filter) tagged(fields []exchange.Field, number uint64) []exchange.Field {
	fields = slices.Clone(fields)
	for i := range fields {
		if value := fields[i].Value; exchange.EqualFold(fields[i].Name, "etag") && len(value) > 1 && value[len(value)-1] == '"' {
			fields[i].Value = slices.Concat(value[:len(value)-1], []byte(f.hub.tagSuffix(number)), []byte{'"'})
		}
	}
	return fields
}

// examine tells whether an answer is a page that a script can be added to, what policies it has, and the length
// it announces or -1.
func examine(status int, fields []exchange.Field) (p policies, length int64, ok bool) {
	if status < 200 || status > 599 || status/100 == 3 || status == http.StatusNoContent || status == http.StatusPartialContent {
		return nil, -1, false
	}
	page, length := false, int64(-1)
	for i := range fields {
		value := strings.TrimSpace(string(fields[i].Value))
		switch strings.ToLower(string(fields[i].Name)) {
		case "content-type":
			if page = isHTML(value); !page {
				return nil, -1, false
			}
		case "content-length":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 || length >= 0 {
				return nil, -1, false // the edge refuses it
			}
			length = n
		case "content-encoding":
			if !strings.EqualFold(value, "identity") {
				return nil, -1, false
			}
		case "content-disposition":
			if kind, _, _ := strings.Cut(value, ";"); strings.EqualFold(strings.TrimSpace(kind), "attachment") {
				return nil, -1, false
			}
		case "cache-control":
			if strings.Contains(strings.ToLower(value), "no-transform") {
				return nil, -1, false // RFC 9111 §5.2.2.6
			}
		case "content-range", "content-digest", "repr-digest", "digest", "content-md5":
			return nil, -1, false
		case "content-security-policy":
			p = p.add(value)
		}
	}
	return p, length, page
}

// isHTML is whether a Content-Type is HTML in an encoding that has ASCII in it.
func isHTML(contentType string) bool {
	kind, parameters, _ := strings.Cut(strings.ToLower(contentType), ";")
	if strings.TrimSpace(kind) != "text/html" {
		return false
	}
	_, charset, _ := strings.Cut(parameters, "charset=")
	charset = strings.TrimLeft(charset, `" `)
	return !strings.HasPrefix(charset, "utf-16") && !strings.HasPrefix(charset, "utf-32") && !strings.HasPrefix(charset, "utf-7") &&
		!strings.HasPrefix(charset, "iso-2022") && !strings.HasPrefix(charset, "hz-")
}

// element is what is added to a page that is as of an event; "keep" tells the script that loading the page again
// would not be asking for it again.
func (h *Hub) element(number uint64, nonce string, post bool) []byte {
	b := append([]byte(`<script async src="`), scriptURL...)
	b = append(append(b, `" data-at="`...), h.position(number)...)
	if nonce != "" {
		b = append(append(b, `" nonce="`...), nonce...)
	}
	if post {
		b = append(b, `" data-keep="`...)
	}
	return append(b, `"></script>`...)
}

// hint says, once, why a page does not refresh.
func (h *Hub) hint(path string) {
	if !h.hinted.Swap(true) {
		h.log.Warn("cannot refresh a page in the browser: its Content-Security-Policy forbids it; "+
			"allow 'self' in script-src and in connect-src during development, or set reload.browser = false", "path", path)
	}
}
