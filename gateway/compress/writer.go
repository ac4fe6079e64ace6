package compress

import (
	"bytes"
	"strconv"

	"pyspeed/gateway/exchange"
)

// writer is one answer's way through the filter: a Writer before the edge's, and a Source before the responder's.
type writer struct {
	exchange.Account // is the Source

	filter *Filter
	out    exchange.Writer
	head   bool // the request's method
	wants  Coding

	// The writer's.
	coding Coding  // of this answer; identity: it passes as it is
	enc    encoder // nil for HEAD
	sink   sink
	left   int64 // body bytes that the responder's Content-Length still announces; -1: it gave none
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
		w.Note(len(p), len(p))
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
	w.Note(taken, len(made))
	if len(made) > 0 {
		w.out.Body(made)
		w.sink.b = made[:0]
		return
	}
	w.Credit()
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
			if n, err := strconv.ParseInt(string(exchange.TrimOWS(f.Value)), 10, 64); err == nil {
				a.length = n
			}
		case exchange.EqualFold(name, "vary"):
			a.vary = i
			a.varies = a.varies || exchange.Lists(f.Value, "accept-encoding") || exchange.Lists(f.Value, "*")
		case exchange.EqualFold(name, "etag"):
			a.etag = i
		case exchange.EqualFold(name, "cache-control"):
			a.fixed = a.fixed || exchange.Lists(f.Value, "no-transform") // RFC 9111 §5.2.2.6
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

func equalFold(b []byte, lower string) bool { return exchange.EqualFold(b, lower) }
