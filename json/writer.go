package jsonpass

import (
	"bytes"
	"net/http"

	"pyspeed/gateway/exchange"
)

// writer is one answer's way through the filter: a Writer before the edge's, and a Source before the responder's.
//
// A document is gathered, and its head kept back, until it is whole, so that it is sent with its length and passes as it was where
// it turns out to be no JSON. Of a stream only the line that is not whole is kept.
type writer struct {
	exchange.Account // is the Source

	f    *Filter
	out  exchange.Writer
	head bool // the request's method
	sort bool

	// The writer's.
	mode    mode
	answer  answer
	status  int
	fields  []exchange.Field // of the head that is kept back
	text    *[]byte          // the document, or the line, as far as it has come
	charged int              // of the budget
	left    int64            // of a stream: body bytes that its Content-Length still announces; -1: it gave none
}

// mode is what happens to a body.
type mode uint8

const (
	passing mode = iota // it is the edge's as it comes
	gathering
	inLine
	inLongLine // of a stream: this one passes
	discarding // its head could not be sent
)

// Head implements exchange.Writer.
func (w *writer) Head(status int, fields []exchange.Field) error {
	a := look(status, fields)
	switch {
	case a.kind == other:
		return w.out.Head(status, fields)
	case a.kind == document && a.length > w.f.MaxSize:
		if !w.head {
			w.f.Answered(outcomeTooLarge)
		}
		return w.out.Head(status, fields)
	case w.head:
		// RFC 9110 §8.6: the length of the answer to GET is not known.
		return w.out.Head(status, withoutLength(fields))
	case a.kind == stream:
		if err := w.out.Head(status, withoutLength(fields)); err != nil {
			return err
		}
		w.mode, w.left = inLine, a.length
	default:
		w.mode, w.status, w.fields = gathering, status, keepFields(fields)
	}
	w.answer = a
	w.text = w.f.get()
	return nil
}

// Answer implements exchange.Writer.
func (w *writer) Answer(status int, fields []exchange.Field, body []byte) error {
	a := look(status, fields)
	switch {
	case a.kind == other, len(body) == 0 && !w.head:
		return w.out.Answer(status, fields, body)
	case w.head && (a.kind == stream || max(a.length, int64(len(body))) <= w.f.MaxSize):
		return w.out.Answer(status, withoutLength(fields), nil)
	case w.head:
		return w.out.Answer(status, fields, body)
	case a.length >= 0 && a.length != int64(len(body)):
		return w.out.Answer(status, fields, body) // which the edge sees to
	}
	made := w.f.get()
	defer w.f.put(made)
	if a.kind == stream {
		w.mode, w.left, w.text = inLine, -1, w.f.get()
		*made = w.lastLine(w.lines(*made, body))
		w.mode = passing
		w.letGo()
	} else if !w.rewrite(made, body) {
		return w.out.Answer(status, fields, body)
	}
	return w.out.Answer(status, withoutLength(fields), *made)
}

// rewrite appends a text anew to made, which is empty; false: it stays as it is.
func (w *writer) rewrite(made *[]byte, text []byte) bool {
	outcome := outcomeRewritten
	var ok bool
	switch {
	case len(text) == 0:
		return false
	case int64(len(text)) > w.f.MaxSize:
		outcome = outcomeTooLarge
	default:
		if *made, ok = w.f.Engine.AppendCompact(*made, text); !ok {
			outcome = outcomeInvalid
			break
		}
		if w.sort {
			sortKeys(*made)
		}
		if bytes.Equal(*made, text) {
			outcome = outcomeUnchanged
		}
	}
	w.f.Answered(outcome)
	return outcome == outcomeRewritten
}

// Body implements exchange.Writer.
func (w *writer) Body(p []byte) {
	switch w.mode {
	case gathering:
		if w.gather(p) {
			w.Note(len(p), 0)
			w.Credit()
			return
		}
		w.f.Answered(outcomeTooLarge)
		w.release()
	case inLine, inLongLine:
		w.streamed(p)
		return
	}
	if w.mode == discarding {
		w.Note(len(p), 0)
		w.Credit()
		return
	}
	w.Note(len(p), len(p))
	w.out.Body(p)
}

// gather adds p to the text; false: there is no room.
func (w *writer) gather(p []byte) bool {
	if !w.f.room(len(*w.text)+len(p), len(p)) {
		return false
	}
	*w.text = append(*w.text, p...)
	if n := cap(*w.text) - w.charged; n != 0 && w.f.Budget != nil {
		w.f.Budget.Hold(n)
		w.charged += n
	}
	return true
}

// letGo forgets the text.
func (w *writer) letGo() {
	if w.text != nil {
		w.f.put(w.text)
		w.text = nil
	}
	if w.charged != 0 {
		w.f.Budget.Hold(-w.charged)
		w.charged = 0
	}
}

// release passes the head that was kept back and what was gathered, as they were.
func (w *writer) release() {
	w.mode = passing
	if err := w.out.Head(w.status, w.fields); err != nil {
		// The responder was told that its head is fine, and goes on. It is heard to the end.
		w.mode = discarding
		w.f.Failed(err)
	} else if text := *w.text; len(text) > 0 {
		w.Note(0, len(text))
		w.out.Body(text)
	}
	w.letGo()
}

// streamed takes a part of a stream.
func (w *writer) streamed(p []byte) {
	taken := len(p)
	if w.left >= 0 {
		// What is beyond its Content-Length is never sent (RFC 9112 §6.3).
		p = p[:min(int64(len(p)), w.left)]
		w.left -= int64(len(p))
	}
	made := w.f.get()
	*made = w.lines(*made, p)
	w.push(taken, *made)
	w.f.put(made)
}

// lines appends what can be sent of a stream of which p has come.
func (w *writer) lines(dst, p []byte) []byte {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			if w.mode == inLongLine || w.gather(p) {
				if w.mode == inLongLine {
					dst = append(dst, p...)
				}
				return dst
			}
			w.f.Answered(outcomeTooLarge)
			dst = append(append(dst, *w.text...), p...)
			*w.text = (*w.text)[:0]
			w.mode = inLongLine
			return dst
		}
		line := p[:n]
		p = p[n+1:]
		switch {
		case w.mode == inLongLine:
			dst = append(dst, line...)
			w.mode = inLine
		case len(*w.text) > 0:
			*w.text = append(*w.text, line...)
			dst = w.line(dst, *w.text)
			*w.text = (*w.text)[:0]
		default:
			dst = w.line(dst, line)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// lastLine appends the line that nothing ended.
func (w *writer) lastLine(dst []byte) []byte {
	if len(*w.text) > 0 {
		dst = w.line(dst, *w.text)
		*w.text = (*w.text)[:0]
	}
	return dst
}

// line appends one.
func (w *writer) line(dst, line []byte) []byte {
	if len(bytes.Trim(line, " \t\r")) == 0 {
		return append(dst, line...) // which keeps a connection alive
	}
	made := w.f.get()
	defer w.f.put(made)
	if w.rewrite(made, line) {
		line = *made
	}
	return append(dst, line...)
}

// push gives the edge what was made of what the responder gave, of which taken bytes are new.
func (w *writer) push(taken int, made []byte) {
	w.Note(taken, len(made))
	if len(made) > 0 {
		w.out.Body(made)
		return
	}
	w.Credit()
}

// Flush implements exchange.Writer.
func (w *writer) Flush() { w.out.Flush() }

// End implements exchange.Writer.
func (w *writer) End() {
	switch w.mode {
	case gathering:
		w.finish()
	case inLine, inLongLine:
		if w.left > 0 {
			// Shorter than announced: it must not look complete.
			w.Abort(0, "")
			return
		}
		made := w.f.get()
		*made = w.lastLine(*made)
		w.push(0, *made)
		w.f.put(made)
		w.letGo()
		w.out.End()
	case discarding:
		w.out.Abort(http.StatusInternalServerError, "")
	default:
		w.out.End()
	}
}

// finish sends a document that is whole.
func (w *writer) finish() {
	text := *w.text
	if w.answer.length >= 0 && w.answer.length != int64(len(text)) {
		w.release()
		w.End()
		return
	}
	made := w.f.get()
	fields := w.fields
	if w.rewrite(made, text) {
		text, fields = *made, withoutLength(fields)
	}
	w.Note(0, len(text))
	err := w.out.Answer(w.status, fields, text)
	w.f.put(made)
	w.letGo()
	if err != nil {
		w.f.Failed(err)
		w.out.Abort(http.StatusInternalServerError, "")
	}
}

// Abort implements exchange.Writer.
func (w *writer) Abort(status int, reason string) {
	w.letGo()
	if w.mode == discarding {
		status, reason = http.StatusInternalServerError, ""
	}
	w.out.Abort(status, reason)
}
