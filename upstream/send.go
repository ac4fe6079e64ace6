package upstream

import (
	"errors"

	"pyspeed/fcgi"
)

// encode puts BEGIN_REQUEST and PARAMS into w.
func (r *request) encode(w *writeBuffer) error {
	params := writeBuffers.Get().(*writeBuffer)
	defer params.free()
	p := paramWriter{out: params.b[:0]}
	r.u.params.write(&p, r.x, &r.script, r.length)
	params.b = p.out
	if p.err != nil {
		return p.err
	}
	w.b = fcgi.AppendBeginRequest(w.b[:0], requestID, fcgi.BeginRequest{Role: fcgi.RoleResponder, KeepConn: r.u.KeepAlive})
	w.b = p.appendRecords(w.b)
	return nil
}

// inline is the largest request that is sent before anything is read. A responder may write before it has read all;
// what it writes until it has read so little fits into the sockets' buffers.
const inline = 64 << 10

// withBody appends the body to the head if that makes the whole request, and it is small. Nothing is taken out
// of the body, so that it can be sent again.
func (r *request) withBody(w *writeBuffer) (whole bool) {
	if r.body == nil {
		if len(w.b) > inline {
			return false
		}
		w.b = fcgi.AppendStreamEnd(w.b, fcgi.TypeStdin, requestID)
		return true
	}
	if len(w.b) >= inline {
		return false
	}
	data, ok := r.body.Complete(inline - len(w.b))
	if !ok {
		return false
	}
	w.b = fcgi.AppendStream(w.b, fcgi.TypeStdin, requestID, data)
	w.b = fcgi.AppendStreamEnd(w.b, fcgi.TypeStdin, requestID)
	return true
}

// write writes p within ReadTimeout.
func (r *request) write(c *conn, p []byte) (int, error) {
	if !r.arm(c.SetWriteDeadline, r.u.ReadTimeout) {
		return 0, errInterrupted
	}
	n, err := c.Write(p)
	r.cut = n > 0 && n < len(p)
	return n, err
}

var errInterrupted = errors.New("interrupted")

// part is what of a body goes into one record: so small that a responder that reads slowly shows progress.
const part = 32 << 10

// send sends the head and then the body as it arrives. It runs beside read, so that a responder may answer
// before it has read all.
func (r *request) send(c *conn, head []byte) {
	defer close(r.sender)
	if _, err := r.write(c, head); err != nil {
		r.wrote(err)
		return
	}
	out := writeBuffers.Get().(*writeBuffer)
	defer out.free()
	for end := r.body == nil; ; {
		out.b = out.b[:0]
		if r.body != nil {
			var err error
			out.b = fcgi.AppendHeader(out.b, fcgi.TypeStdin, 0, requestID, 0, 0)
			if out.b, end, err = r.body.Next(out.b, part); err != nil {
				r.bodyErr = err
				r.interrupt()
				return
			}
			if n := len(out.b) - fcgi.HeaderLen; n > 0 {
				out.b = fcgi.CloseRecord(out.b, 0)
			} else {
				out.b = out.b[:0] // an empty record would end the stream
			}
		}
		if end {
			out.b = fcgi.AppendStreamEnd(out.b, fcgi.TypeStdin, requestID)
		}
		if len(out.b) > 0 {
			if _, err := r.write(c, out.b); err != nil || end {
				r.wrote(err)
				return
			}
			continue
		}
		select {
		case <-r.arrived:
		case <-r.stopping:
			return
		}
	}
}
