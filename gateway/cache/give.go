package cache

import (
	"net/http"
	"strconv"
	"time"

	"pyspeed/gateway/exchange"
)

// inline is the largest body that is handed to the edge in one go; beyond, a goroutine sends it as the client takes it.
const inline = 64 << 10

// delivery is how a stored answer is given to one client.
type delivery struct {
	status int
	fields []exchange.Field
	body   []byte
	head   bool // without the body
}

// give answers x with e, as l.status says, through w, and sets x.Source. On the goroutine that called Respond.
func (h *handler) give(x *exchange.Exchange, w exchange.Writer, a *asked, l *lookup, e *entry, now time.Duration) {
	x.Source = nothing{}
	if s := h.deliver(&x.Request, w, a, l, e, now, true); s != nil {
		x.Source = s
		go s.run()
	}
}

// deliver answers with e, where that can be done at once; else it returns the sender that is to do it. encode: nobody behind
// w does.
func (h *handler) deliver(q *exchange.Request, w exchange.Writer, a *asked, l *lookup, e *entry, now time.Duration, encode bool) *sender {
	fields, body := e.fields, e.body
	if enc := h.settings.Encoder; enc != nil && encode && !a.ranged {
		if form := enc.Form(q, e.status, fields, int64(len(body))); form >= 0 {
			if made := e.forms[form].Load(); made != nil {
				fields, body = made.fields, made.body
			} else if a.unmodified(e.status, e.etag, e.modified, e.hasModified) {
				fields = enc.Fields(form, fields) // as 200 would have them (RFC 9110 §15.4.5)
			} else if len(body) > inline {
				// To encode it takes longer than an edge can wait.
				return h.later(q, w, a, l, e, now, form)
			} else {
				made := e.make(h.settings.Encoder, form)
				fields, body = made.fields, made.body
			}
		}
	}
	d := h.plan(q, a, l, e, fields, body, now)
	if len(d.body) > inline && !d.head {
		s := newSender(h, w)
		s.plan(&d)
		return s
	}
	d.send(w)
	return nil
}

// make makes a form of an entry, and keeps it if there is room for it.
func (e *entry) make(enc Encoder, n int) *form {
	made := &form{}
	made.fields, made.body = enc.Make(n, e.fields, e.body)
	total := len(made.body)
	for i := range e.forms {
		if f := e.forms[i].Load(); f != nil && len(f.body) < len(e.body) {
			total += len(f.body)
		}
	}
	if e.doubled && total <= len(e.body) || len(made.body) == len(e.body) { // one that is no smaller is the same bytes
		e.forms[n].Store(made)
	}
	return made
}

// plan makes the fields of what is given, in l's memory.
func (h *handler) plan(q *exchange.Request, a *asked, l *lookup, e *entry, fields []exchange.Field, body []byte, now time.Duration) delivery {
	d := delivery{status: e.status, body: body, head: string(q.Method) == http.MethodHead}
	l.fields = append(l.fields[:0], fields...)
	switch {
	case a.unmodified(e.status, e.etag, e.modified, e.hasModified):
		d.status, d.head, d.body = http.StatusNotModified, true, nil
		// RFC 9110 §15.4.5: what a cache needs; no fields of the body.
		l.fields = l.fields[:0]
		for _, f := range fields {
			if !exchange.EqualFold(f.Name, "content-type") && !exchange.EqualFold(f.Name, "content-encoding") && !exchange.EqualFold(f.Name, "content-language") {
				l.fields = append(l.fields, f)
			}
		}
	case a.ranged && !d.head:
		from, to, ok, nothing := a.part(q, e)
		size := strconv.Itoa(len(body))
		if ok {
			d.status, d.body = http.StatusPartialContent, body[from:to]
			l.fields = append(l.fields, exchange.Field{Name: []byte("Content-Range"), Value: []byte("bytes " + strconv.Itoa(from) + "-" + strconv.Itoa(to-1) + "/" + size)})
		} else if nothing {
			d.status, d.body = http.StatusRequestedRangeNotSatisfiable, nil
			l.fields = append(l.fields[:0], exchange.Field{Name: []byte("Content-Range"), Value: []byte("bytes */" + size)})
		}
	case d.head:
		l.fields = append(l.fields, exchange.Field{Name: []byte("Content-Length"), Value: []byte(strconv.Itoa(len(body)))})
	}
	l.age = appendAge(l.age[:0], e.age(now))
	l.fields = append(l.fields, exchange.Field{Name: ageName, Value: l.age})
	if h.settings.Status {
		l.fields = append(l.fields, exchange.Field{Name: statusName, Value: l.status})
	}
	d.fields = l.fields
	return d
}

// send gives all of it to the edge, which copies what the client does not take.
func (d *delivery) send(w exchange.Writer) {
	var err error
	if d.head {
		if err = w.Head(d.status, d.fields); err == nil {
			w.End()
		}
	} else {
		err = exchange.AnswerShared(w, d.status, d.fields, d.body) // what is stored stays as it is
	}
	if err != nil { // the edge took the same fields before
		w.Abort(http.StatusInternalServerError, "")
	}
}

// appendSeconds appends a duration in whole seconds, rounded down.
func appendSeconds(dst []byte, d time.Duration) []byte {
	n := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		n--
	}
	return strconv.AppendInt(dst, n, 10)
}
