package jsonpass

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"pyspeed/gateway/exchange"
)

// requests looks at the JSON that requests bring before next has them.
type requests struct {
	*Filter
	next exchange.Responder
}

// Respond implements exchange.Responder.
func (f requests) Respond(x *exchange.Exchange) {
	path := x.Request.Path
	if x.Body == nil || !below(f.Validate, path) || below(f.Except, path) || !bringsJSON(&x.Request) {
		f.next.Respond(x)
		return
	}
	if x.Request.ContentLength > f.MaxSize {
		f.Asked(outcomeTooLarge)
		f.next.Respond(x)
		return
	}
	if text, ok := x.Body.Complete(int(f.MaxSize)); ok {
		var err *SyntaxError
		if len(text) > 0 {
			scratch := f.get()
			if cap(*scratch) < len(text) {
				*scratch = make([]byte, 0, len(text))
			}
			err = f.Engine.Check(text, *scratch)
			f.put(scratch)
		}
		if err == nil {
			f.Asked(outcomeValid)
			f.next.Respond(x)
			return
		}
		f.Asked(outcomeInvalid)
		x.Source = nobody{}
		refuse(x.Writer, err)
		return
	}
	h := &held{f: f, d: exchange.Detach(x)}
	x.Body.Notify(h.look)
	h.look()
}

// bringsJSON is whether a request's body is said to be JSON as it is.
func bringsJSON(r *exchange.Request) bool {
	coding := r.Get("content-encoding")
	return media(r.Get("content-type")) == document && (len(coding) == 0 || exchange.EqualFold(exchange.TrimOWS(coding), "identity"))
}

// held is a request that waits until its body is whole, and was looked at. The body waits where it would without us, in
// memory and then in a file.
//
// The goroutine that brings the body looks, and so does the one that called Respond, which is another where the request was
// detached before. One of them looks at a time: who comes meanwhile leaves a note for the other.
type held struct {
	f     requests
	d     *exchange.Detached
	looks atomic.Int32 // those that were asked for since nobody looked; more than 0 for good once that is decided
	v     Validator    // of who looks, as is seen
	seen  int64
}

// portion is how much of a body is looked at in one go.
const portion = 32 << 10

// look takes what has come; exchange.Body calls it.
func (h *held) look() {
	if h.looks.Add(1) > 1 {
		return
	}
	for n := int32(1); !h.decided(); n = h.looks.Load() {
		if h.looks.CompareAndSwap(n, 0) {
			return
		}
	}
}

// decided takes what has come, and is true when the request was given on or refused.
func (h *held) decided() bool {
	body := h.d.Body
	p := h.f.get()
	defer h.f.put(p)
	for {
		var err error
		if *p, err = body.Peek((*p)[:0], h.seen, portion); err != nil {
			// The client left, or was refused: nobody waits for an answer, and the application need not be asked for one.
			body.Notify(nil)
			h.d.Writer.Abort(0, "")
			return true
		}
		if len(*p) == 0 {
			break
		}
		h.seen += int64(len(*p))
		if h.seen > h.f.MaxSize {
			h.pass(outcomeTooLarge)
			return true
		}
		if err := h.v.Feed(*p); err != nil {
			h.refuse(err)
			return true
		}
	}
	if n, known := body.Length(); !known || n != h.seen {
		return false
	}
	if h.seen > 0 {
		if err := h.v.End(); err != nil {
			h.refuse(err)
			return true
		}
	}
	h.pass(outcomeValid)
	return true
}

func (h *held) pass(outcome string) {
	h.d.Body.Notify(nil)
	h.f.Asked(outcome)
	h.d.Give(h.f.next)
}

func (h *held) refuse(err *SyntaxError) {
	h.d.Body.Notify(nil)
	h.f.Asked(outcomeInvalid)
	refuse(h.d.Writer, err)
}

// nobody is the Source of an answer that is whole from the start.
type nobody struct{}

// Drained implements exchange.Source.
func (nobody) Drained(int) {}

// Cancelled implements exchange.Source.
func (nobody) Cancelled() {}

// refuse answers with 400 and where the body is wrong (RFC 9457).
func refuse(w exchange.Writer, err *SyntaxError) {
	b := make([]byte, 0, 256)
	b = append(b, `{"type":"about:blank","title":"Bad Request","status":400,"detail":`...)
	b = strconv.AppendQuoteToASCII(b, "the request's body is not JSON: "+err.Error()) // of which all is ASCII and printable
	b = append(b, `,"line":`...)
	b = strconv.AppendInt(b, err.Line, 10)
	b = append(b, `,"column":`...)
	b = strconv.AppendInt(b, err.Column, 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, err.Offset, 10)
	b = append(b, "}\n"...)
	if w.Answer(http.StatusBadRequest, problemFields, b) != nil {
		w.Abort(http.StatusBadRequest, "the request's body is not JSON")
	}
}

var problemFields = []exchange.Field{
	{Name: []byte("Content-Type"), Value: []byte("application/problem+json")},
	{Name: []byte("Cache-Control"), Value: []byte("no-store")},
}
