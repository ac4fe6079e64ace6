package cache

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"pyspeed/gateway/exchange"
)

// The answer's way through a fetch, which is an exchange.Writer.

// markFor is how long nobody waits for an answer of a kind that was not for others.
const markFor = 30 * time.Second

// Head implements exchange.Writer.
func (f *fetch) Head(status int, fields []exchange.Field) error {
	if status < 200 {
		if f.out == nil {
			return nil
		}
		return f.out.Head(status, fields)
	}
	a, t := f.look(status, fields)
	f.code = status
	switch {
	case f.settled(&a, fields):
		f.muted = true
		return nil
	case t.store && f.fits(a.length):
		if err := f.forward(&a, fields, ""); err != nil {
			return err
		}
		f.phase, f.size = gathering, a.length
		f.draft = newEntry(&a, fields, nil, t, f.strip(true))
		f.place(f.draft, fields, &a)
		if t.always {
			f.release() // each has to ask for itself
		}
	default:
		if t.store {
			t = refused("size")
		}
		if err := f.forward(&a, fields, t.why); err != nil {
			return err
		}
		f.phase = through
		f.refuse(status)
		f.credit.abandon()
	}
	return nil
}

// fits is whether a body of that length may be stored; -1 is one that is not known.
func (f *fetch) fits(n int64) bool { return n <= f.h.settings.MaxEntry }

// look judges an answer's head.
func (f *fetch) look(status int, fields []exchange.Field) (facts, terms) {
	now := time.Now()
	a := readFacts(status, fields, now)
	if f.out == nil && !valid(fields) {
		return a, refused("fields") // else the edge has a look at them
	}
	names := varyNames(fields, &a)
	if len(names) > mostVary {
		return a, refused("vary")
	}
	t := judge(&f.h.settings.Policy, f.rule, &f.a, &a, f.x.Request.Path, func(name string) bool { return slices.Contains(names, name) })
	return a, t
}

// forward sends the head to the client. why is why the answer is not stored; "": it is, if all of it comes.
func (f *fetch) forward(a *facts, fields []exchange.Field, why string) error {
	if f.out == nil {
		f.muted = true
		return nil
	}
	told := f.h.told(fields, nil, f.status(a.status, because(why)), f.strip(why == ""))
	if f.a.unmodified(a.status, a.etag, a.modified, a.hasModified) {
		// The client's conditions were kept from the responder.
		if err := f.out.Head(http.StatusNotModified, bare(told)); err != nil {
			return err
		}
		f.muted = true
		return nil
	}
	return f.out.Head(a.status, told)
}

// because is the detail of Cache-Status for an answer that is not stored.
func because(why string) string {
	if why == "" {
		return ""
	}
	return "; detail=" + why
}

// bare leaves out the fields of the body that a 304 does not have.
func bare(fields []exchange.Field) []exchange.Field {
	return slices.DeleteFunc(fields, func(field exchange.Field) bool {
		for _, n := range [...]string{"content-length", "content-type", "content-encoding", "content-language"} {
			if exchange.EqualFold(field.Name, n) {
				return true
			}
		}
		return false
	})
}

// Answer implements exchange.Writer.
func (f *fetch) Answer(status int, fields []exchange.Field, body []byte) error {
	if status < 200 {
		if f.out == nil {
			return nil
		}
		return f.out.Answer(status, fields, body)
	}
	a, t := f.look(status, fields)
	f.code = status
	if f.settled(&a, fields) {
		f.conclude()
		return nil
	}
	if t.store && (a.length >= 0 && a.length != int64(len(body)) || !f.fits(int64(len(body))) || !valid(fields)) {
		t = refused("size")
	}
	var e *entry
	if t.store {
		e = newEntry(&a, fields, bytes.Clone(body), t, f.strip(true))
		f.place(e, fields, &a)
		f.finish(e, e)
	} else {
		f.phase = through
		f.refuse(status)
		f.finish(nil, nil)
	}
	f.credit.end(nil)
	if f.out == nil {
		return nil
	}
	note := because(t.why)
	if e != nil {
		note = "; stored; ttl=" + string(appendSeconds(nil, e.left(f.h.cache.Now())))
	}
	told := f.h.told(fields, nil, f.status(status, note), f.strip(e != nil))
	f.restore()
	var err error
	if f.a.unmodified(status, a.etag, a.modified, a.hasModified) {
		if err = f.out.Head(http.StatusNotModified, bare(told)); err == nil {
			f.out.End()
		}
	} else {
		err = f.out.Answer(status, told, body)
	}
	if err != nil && e != nil {
		f.h.cache.memory.remove(e)
	}
	return err
}

// Body implements exchange.Writer.
func (f *fetch) Body(p []byte) {
	if f.phase == gathering {
		f.gather(p)
	}
	// So that a slow client holds up nobody else, as long as there is room for what it has not taken.
	ahead := f.phase == gathering && !f.muted && f.followed() && f.h.cache.Budget.Window() == exchange.MaxWindow
	f.credit.take(len(p), f.muted, ahead)
	if !f.muted {
		f.out.Body(p)
	}
}

func (f *fetch) followed() bool {
	c := f.h.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(f.followers) > 0
}

// gather adds to what is to be stored, or gives that up.
func (f *fetch) gather(p []byte) {
	budget := f.h.cache.Budget
	n := int64(len(f.body) + len(p))
	if n > f.h.settings.MaxEntry || f.size >= 0 && n > f.size || n > exchange.MinWindow && budget.Window() == exchange.MinWindow {
		f.phase = through
		f.drop()
		f.refuse(http.StatusOK)
		f.credit.abandon()
		return
	}
	if f.body == nil && f.size > 0 {
		// It grows with what has come, but in few steps.
		f.body = make([]byte, 0, min(f.size, 64<<10))
	}
	f.body = append(f.body, p...)
	if more := cap(f.body) - f.held; more > 0 {
		budget.Hold(more)
		f.held += more
	}
}

// drop lets go of what was gathered.
func (f *fetch) drop() {
	f.h.cache.Budget.Hold(-f.held)
	f.body, f.held, f.draft = nil, 0, nil
}

// Flush implements exchange.Writer.
func (f *fetch) Flush() {
	if f.out != nil && f.phase != validated && f.phase != failed { // with phase waiting there may be informational heads
		f.out.Flush()
	}
}

// End implements exchange.Writer.
func (f *fetch) End() {
	switch f.phase {
	case gathering:
		e := f.draft
		if f.size >= 0 && int64(len(f.body)) != f.size {
			e = nil // cut: the edge tells the client
		} else {
			e.body = bytes.Clone(f.body) // what is kept has no room to spare
		}
		f.drop()
		f.finish(e, e)
	case validated, failed:
		f.conclude()
		return
	case waiting: // without a head: the edge makes that a 500
		f.finish(nil, nil)
	case through:
		f.finish(nil, nil)
	}
	f.credit.end(nil)
	if f.out != nil {
		f.restore()
		f.out.End()
	}
}

// Abort implements exchange.Writer.
func (f *fetch) Abort(status int, reason string) {
	switch {
	case f.phase == validated || f.phase == failed: // its head has said all that counts
		f.conclude()
		return
	case f.phase == waiting && status >= 500 && f.old != nil && f.old.onFailure(&f.h.settings.Policy, &f.a, f.h.cache.Now()):
		f.phase, f.code = failed, status
		f.conclude()
		return
	}
	f.drop()
	f.finish(nil, nil)
	f.credit.end(nil)
	if f.out != nil {
		f.restore()
		f.out.Abort(status, reason)
	}
}

// strip is which fields clients do not get of an answer; stored: others will have it too.
func (f *fetch) strip(stored bool) *Strip {
	s := f.h.settings.Strip
	s.cookies = stored && f.rule != nil && f.rule.RemoveSetCookie
	return &s
}

// status is the Cache-Status of what the responder was asked for.
func (f *fetch) status(status int, more string) []byte {
	b := append([]byte("pyspeed; fwd="), f.why...)
	if f.old != nil {
		b = append(b, "; fwd-status="...)
		b = appendSeconds(b, time.Duration(status)*time.Second)
	}
	return append(b, more...)
}

// valid is whether fields may be sent, which is the edge's to decide where there is one.
func valid(fields []exchange.Field) bool {
	for i := range fields {
		if len(fields[i].Name) == 0 {
			return false
		}
		for _, c := range fields[i].Name {
			if !isToken(c) || c == ':' || c == '/' {
				return false
			}
		}
		for _, c := range fields[i].Value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
	}
	return true
}
