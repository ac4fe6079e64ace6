package static

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"

	"pyspeed/gateway/exchange"
)

// shared is the largest file in memory that is handed to the edge in one go, which keeps what the client does not take at once;
// beyond, a goroutine sends it as the client takes it.
const shared = 64 << 10

// inline is the largest body in parts that is: these the edge gathers, in memory that it has to get beyond 16 KiB.
const inline = 16 << 10

// plan is what a request gets of a variant.
type plan struct {
	status int
	fields []exchange.Field
	spans  []span // of the variant, nil: all of it; the body is these, with parts between them if it is multipart
	parts  [][]byte
	length int64
	head   bool // HEAD: no body
}

// plan applies preconditions and ranges to a GET or HEAD.
func (e *entry) plan(q *exchange.Request, v *variant) plan {
	p := plan{status: http.StatusOK, fields: v.fields, length: v.size, head: string(q.Method) == "HEAD"}
	switch evaluate(q, v.etag, e.modified) {
	case notModified:
		// RFC 9110 §15.4.5: what a cache needs; no Content-*.
		return plan{status: http.StatusNotModified, fields: without(v.fields, "content-type", "content-encoding"), head: true}
	case failed:
		return plan{status: http.StatusPreconditionFailed, head: true}
	case proceed:
	}
	asked := q.Get("range")
	if asked == nil || p.head || v.coding != identity || !rangeHolds(q, v.etag, e.modified) {
		return p // RFC 9110 §14.2: Range is for GET only
	}
	spans, how := parseRange(asked, v.size)
	switch how {
	case whole:
	case unsatisfiable:
		return plan{status: http.StatusRequestedRangeNotSatisfiable, fields: []exchange.Field{field("Content-Range", "bytes */"+strconv.FormatInt(v.size, 10))}, head: true}
	case parts:
		p.status, p.spans = http.StatusPartialContent, spans
		if len(spans) == 1 {
			p.fields = append(v.fields[:len(v.fields):len(v.fields)], field("Content-Range", contentRange(spans[0], v.size)))
			p.length = spans[0].n
			return p
		}
		p.multipart(v)
	}
	return p
}

// multipart makes the answer one of several parts (RFC 9110 §14.6).
func (p *plan) multipart(v *variant) {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails
	boundary := hex.EncodeToString(random[:])
	kind := ""
	for i := range v.fields {
		if exchange.EqualFold(v.fields[i].Name, "content-type") {
			kind = string(v.fields[i].Value)
		}
	}
	p.length = 0
	for i, s := range p.spans {
		part := "\r\n--" + boundary + "\r\nContent-Type: " + kind + "\r\nContent-Range: " + contentRange(s, v.size) + "\r\n\r\n"
		if i == 0 {
			part = part[2:]
		}
		p.parts = append(p.parts, []byte(part))
		p.length += int64(len(part)) + s.n
	}
	end := "\r\n--" + boundary + "--\r\n"
	p.parts = append(p.parts, []byte(end))
	p.length += int64(len(end))
	p.fields = append(without(v.fields, "content-type"), field("Content-Type", "multipart/byteranges; boundary="+boundary))
}

// respond answers from memory; false: the body is on the disk. Called by the edge.
func (e *entry) respond(x *exchange.Exchange, v *variant) bool {
	p := e.plan(&x.Request, v)
	if p.status == http.StatusOK && !p.head && v.body != nil && v.size <= shared {
		x.Source = nothing{}
		if exchange.AnswerShared(x.Writer, http.StatusOK, v.fields, v.body) != nil {
			x.Writer.Abort(http.StatusInternalServerError, "")
		}
		return true
	}
	return more(x, v, p)
}

// more answers with what is not just the whole of a small file.
func more(x *exchange.Exchange, v *variant, p plan) bool {
	switch {
	case p.head || v.body != nil && p.length <= inline:
		x.Source = nothing{}
		send(x.Writer, &p, v)
	case v.body == nil:
		return false
	default:
		s := newSender(x, &p, v)
		x.Source = s
		go s.run()
	}
	return true
}

// pieces are the parts of the variant that make the body.
func (p *plan) pieces(v *variant) []span {
	if p.spans == nil {
		return []span{{0, v.size}}
	}
	return p.spans
}

// send answers with what is in memory, at once.
func send(w exchange.Writer, p *plan, v *variant) {
	if w.Head(p.status, p.announce()) != nil {
		w.Abort(http.StatusInternalServerError, "")
		return
	}
	if !p.head {
		for i, s := range p.pieces(v) {
			if p.parts != nil {
				w.Body(p.parts[i])
			}
			w.Body(v.body[s.start : s.start+s.n])
		}
		if p.parts != nil {
			w.Body(p.parts[len(p.parts)-1])
		}
	}
	w.End()
}

// announce is the fields with the body's length.
func (p *plan) announce() []exchange.Field {
	if p.status == http.StatusNotModified {
		return p.fields
	}
	return append(p.fields[:len(p.fields):len(p.fields)], field("Content-Length", strconv.FormatInt(p.length, 10)))
}

func without(fields []exchange.Field, names ...string) []exchange.Field {
	list := make([]exchange.Field, 0, len(fields)+1)
next:
	for _, f := range fields {
		for _, n := range names {
			if exchange.EqualFold(f.Name, n) {
				continue next
			}
		}
		list = append(list, f)
	}
	return list
}

// answer is the gateway's own answer, with a line of text.
func answer(x *exchange.Exchange, status int, fields []exchange.Field, text string) {
	x.Source = nothing{}
	say(x.Writer, status, fields, text)
}

func say(w exchange.Writer, status int, fields []exchange.Field, text string) {
	if text == "" {
		text = strconv.Itoa(status) + " " + http.StatusText(status) + "\n"
	}
	list := append([]exchange.Field{field("Content-Type", "text/plain; charset=utf-8")}, fields...)
	if w.Answer(status, list, []byte(text)) != nil {
		w.Abort(http.StatusInternalServerError, "")
	}
}

// nothing is the Source of an answer that is complete already.
type nothing struct{}

func (nothing) Drained(int) {}
func (nothing) Cancelled()  {}
