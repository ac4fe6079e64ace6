package compress

import (
	"bytes"
	"strconv"
	"sync"

	"pyspeed/gateway/exchange"
)

// writer is one answer's way through the filter: a Writer before the edge's, and a Source before the responder's, which is
// to be credited with its own bytes and not with those that are left of them.
type writer struct {
	filter *Filter
	out    exchange.Writer
	head   bool // the request's method
	wants  Coding

	// The writer's.
	coding Coding  // of this answer; identity: it passes as it is
	enc    encoder // nil for HEAD
	sink   sink
	left   int64 // body bytes that the responder's Content-Length still announces; -1: it gave none

	mu      sync.Mutex
	inner   exchange.Source // nil: Respond has not returned
	taken   int64           // body bytes that the responder gave
	given   int64           // body bytes that the edge was given
	drained int64           // of those, reported by the edge
	told    int64           // reported to the responder
}

func newWriter(f *Filter, x *exchange.Exchange) *writer {
	return &writer{filter: f, out: x.Writer, left: -1, head: string(x.Request.Method) == "HEAD", wants: f.wants(&x.Request)}
}

// Head implements exchange.Writer.
func (w *writer) Head(status int, fields []exchange.Field) error {
	if status < 200 {
		return w.out.Head(status, fields)
	}
	a := look(status, fields)
	coding := w.filter.choose(&a, -1, w.wants)
	if coding == none {
		return w.out.Head(status, fields)
	}
	if err := w.out.Head(status, a.change(fields, coding)); err != nil {
		return err
	}
	if coding != identity {
		w.begin(coding, a.length)
	}
	return nil
}

// Answer implements exchange.Writer.
func (w *writer) Answer(status int, fields []exchange.Field, body []byte) error {
	if status < 200 {
		return w.out.Answer(status, fields, body)
	}
	a := look(status, fields)
	length := int64(len(body))
	if w.head && a.length >= 0 {
		length = a.length
	}
	coding := w.filter.choose(&a, length, w.wants)
	switch {
	case coding == none, !w.head && a.length >= 0 && a.length != length:
		// The edge sees to a body that is not what was announced.
		return w.out.Answer(status, fields, body)
	case coding == identity:
		return w.out.Answer(status, a.change(fields, identity), body)
	case w.head:
		// RFC 9110 §9.3.2: the fields of GET, and the length is not known.
		if err := w.out.Head(status, a.change(fields, coding)); err != nil {
			return err
		}
		w.out.End()
		return nil
	}
	enc := w.filter.encoders.get(coding, &w.sink)
	_, err := enc.Write(body)
	if err == nil {
		err = enc.Close()
	}
	encoded := w.sink.b
	w.filter.encoders.put(coding, enc)
	if err != nil || len(encoded) >= len(body) {
		return w.out.Answer(status, a.change(fields, identity), body) // it does not get smaller
	}
	return w.out.Answer(status, a.change(fields, coding), encoded)
}

// begin is the start of an encoded body, of which length is what was announced.
func (w *writer) begin(coding Coding, length int64) {
	w.coding, w.left = coding, length
	if !w.head {
		w.enc = w.filter.encoders.get(coding, &w.sink)
	}
}

// Body implements exchange.Writer.
func (w *writer) Body(p []byte) {
	if w.coding == identity {
		w.note(len(p), len(p))
		w.out.Body(p)
		return
	}
	taken := len(p)
	if w.left >= 0 {
		// What is beyond its Content-Length is never sent (RFC 9112 §6.3).
		p = p[:min(int64(len(p)), w.left)]
		w.left -= int64(len(p))
	}
	if w.enc != nil {
		_, _ = w.enc.Write(p) // into memory
	}
	w.push(taken)
}

// push gives the edge what the encoder has made of what it was given, of which taken bytes are new.
func (w *writer) push(taken int) {
	made := w.sink.b
	w.note(taken, len(made))
	if len(made) > 0 {
		w.out.Body(made)
		w.sink.b = made[:0]
		return
	}
	w.credit()
}

// note counts bytes before the edge gets them.
func (w *writer) note(taken, given int) {
	w.mu.Lock()
	w.taken += int64(taken)
	w.given += int64(given)
	w.mu.Unlock()
}

// credit tells the responder of what is out of our hands: all it gave, less what the edge still holds. What an encoder
// keeps is bounded by its window, and must not count, for it may leave only when more comes.
func (w *writer) credit() {
	w.mu.Lock()
	inner, n := w.inner, w.taken-(w.given-w.drained)-w.told
	if n > 0 && inner != nil {
		w.told += n
	}
	w.mu.Unlock()
	if n > 0 && inner != nil {
		inner.Drained(int(n))
	}
}

// connect says whom to credit, also for what was taken before, on another goroutine.
func (w *writer) connect(inner exchange.Source) {
	w.mu.Lock()
	w.inner = inner
	w.mu.Unlock()
	w.credit()
}

// Drained implements exchange.Source.
func (w *writer) Drained(n int) {
	w.mu.Lock()
	w.drained += int64(n)
	w.mu.Unlock()
	w.credit()
}

// Cancelled implements exchange.Source.
func (w *writer) Cancelled() {
	w.mu.Lock()
	inner := w.inner
	w.mu.Unlock()
	if inner != nil {
		inner.Cancelled()
	}
}

// Flush implements exchange.Writer.
func (w *writer) Flush() {
	if w.enc != nil {
		_ = w.enc.Flush()
		w.push(0)
	}
	w.out.Flush()
}

// End implements exchange.Writer.
func (w *writer) End() {
	out := w.out
	switch {
	case w.enc == nil:
		out.End()
	case w.left > 0:
		// Shorter than announced: the encoding must not look complete.
		w.drop()
		out.Abort(0, "")
	default:
		_ = w.enc.Close()
		w.push(0)
		w.filter.encoders.put(w.coding, w.enc)
		w.enc = nil
		out.End()
	}
}

// Abort implements exchange.Writer.
func (w *writer) Abort(status int, reason string) {
	w.drop()
	w.out.Abort(status, reason)
}

// drop lets go of an encoder in the middle of a body.
func (w *writer) drop() {
	if w.enc != nil {
		w.filter.encoders.put(w.coding, w.enc)
		w.enc = nil
	}
}

// none is a coding that is no coding: the answer is not touched at all.
const none = codings

// answer is what a head says that matters here.
type answer struct {
	status      int
	contentType []byte
	length      int64 // Content-Length; -1: none
	fixed       bool  // another representation of it would be wrong
	vary        int   // index of a Vary field; -1: none
	varies      bool  // it names Accept-Encoding, or everything
	etag        int   // index; -1: none
}

func look(status int, fields []exchange.Field) answer {
	a := answer{status: status, length: -1, vary: -1, etag: -1}
	for i := range fields {
		f := &fields[i]
		switch name := f.Name; {
		case exchange.EqualFold(name, "content-type"):
			a.contentType = f.Value
		case exchange.EqualFold(name, "content-length"):
			if n, err := strconv.ParseInt(string(trim(f.Value)), 10, 64); err == nil {
				a.length = n
			}
		case exchange.EqualFold(name, "vary"):
			a.vary = i
			a.varies = a.varies || lists(f.Value, "accept-encoding") || lists(f.Value, "*")
		case exchange.EqualFold(name, "etag"):
			a.etag = i
		case exchange.EqualFold(name, "cache-control"):
			a.fixed = a.fixed || lists(f.Value, "no-transform") // RFC 9111 §5.2.2.6
		case exchange.EqualFold(name, "content-encoding"), exchange.EqualFold(name, "content-range"),
			// RFC 9530, RFC 9421: they speak of these very bytes.
			exchange.EqualFold(name, "content-digest"), exchange.EqualFold(name, "repr-digest"), exchange.EqualFold(name, "digest"),
			exchange.EqualFold(name, "content-md5"), exchange.EqualFold(name, "signature"), exchange.EqualFold(name, "signature-input"):
			a.fixed = true
		}
	}
	return a
}

// choose is the coding for an answer; none where it is not touched. length is the body's where it is there whole, else -1.
func (f *Filter) choose(a *answer, length int64, wants Coding) Coding {
	if a.fixed || a.status == 204 || a.status == 206 || a.status == 304 || a.status < 200 || !f.eligible(a.contentType) {
		return none
	}
	if length < 0 {
		length = a.length
	}
	if length >= 0 && length < f.MinSize {
		return identity // so it says that it varies: a longer one would be encoded
	}
	return wants
}

// change makes the fields of the answer in that coding: a weak ETag, as the bytes are others (RFC 9110 §8.8.1), no
// Content-Length and no ranges, and in any case Vary (§12.5.5).
func (a *answer) change(fields []exchange.Field, coding Coding) []exchange.Field {
	changed := make([]exchange.Field, 0, len(fields)+2)
	for i := range fields {
		field := fields[i]
		switch {
		case i == a.vary && !a.varies:
			field.Value = append(append([]byte{}, field.Value...), ", Accept-Encoding"...)
		case coding == identity:
		case exchange.EqualFold(field.Name, "content-length"), exchange.EqualFold(field.Name, "accept-ranges"):
			continue
		case i == a.etag && !bytes.HasPrefix(field.Value, weakPrefix):
			field.Value = append(append([]byte{}, weakPrefix...), field.Value...)
		}
		changed = append(changed, field)
	}
	if a.vary < 0 {
		changed = append(changed, varyField)
	}
	if coding != identity {
		changed = append(changed, encodingFields[coding])
	}
	return changed
}

var (
	weakPrefix     = []byte("W/")
	varyField      = exchange.Field{Name: []byte("Vary"), Value: []byte("Accept-Encoding")}
	encodingFields = [codings]exchange.Field{
		Gzip:   {Name: []byte("Content-Encoding"), Value: []byte("gzip")},
		Brotli: {Name: []byte("Content-Encoding"), Value: []byte("br")},
		Zstd:   {Name: []byte("Content-Encoding"), Value: []byte("zstd")},
	}
)

// lists is whether a list of tokens (RFC 9110 §5.6.1) has that one.
func lists(value []byte, token string) bool {
	for len(value) > 0 {
		var item []byte
		item, value = cut(value, ',')
		item, _ = cut(item, '=')
		if equalFold(trim(item), token) {
			return true
		}
	}
	return false
}

func equalFold(b []byte, lower string) bool { return exchange.EqualFold(b, lower) }
