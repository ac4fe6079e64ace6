package dispatch

import (
	"sync"
	"testing"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
	"pyspeed/gateway/exchange"
)

// appendEvents begins an event stream.
func appendEvents(b []byte, id uint16, contentType, body string) []byte {
	head := marshal.AppendInt(marshal.AppendTuple(nil, 2), 200)
	head = marshal.AppendTuple(marshal.AppendList(head, 1), 2)
	head = marshal.AppendBytes(marshal.AppendBytes(head, "Content-Type"), contentType)
	return fcgi.AppendRecord(b, fcgi.TypeResponse, 0, id, append(head, body...))
}

// TestEndStreams: event streams that have begun end whole, and nothing that their worker still sends matters; all else
// goes on.
func TestEndStreams(t *testing.T) { eachLoop(t, endStreams) }

func endStreams(t *testing.T, s Settings) {
	r := newRig(t, Settings{InFlight: 10, Loop: s.Loop})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, events := r.ask("/events")
	_, download := r.ask("/download")
	_, silent := r.ask("/silent")
	gone, left := r.ask("/left")
	first, second, third, fourth := w.request(), w.request(), w.request(), w.request()
	for _, req := range []asked{first, second, third, fourth} {
		w.marks[req.id] = 1
	}
	w.write(appendEvents(nil, first.id, "Text/Event-Stream; charset=utf-8", "data: 1\n\n"))
	w.write(appendResponse(nil, second.id, 0, 200, "part"))
	w.write(appendEvents(nil, fourth.id, "text/event-stream", "data: 2\n\n"))
	events.streamed(9)
	download.streamed(4)
	left.streamed(9)
	gone.x.Source.Cancelled()
	w.next(fcgi.TypeAbortRequest)
	empty := r.Drain("1")
	for n := r.EndStreams("1"); n != 1; n = r.EndStreams("1") { // the reader may not have released it yet
		if n != 0 {
			t.Fatalf("%d streams were ended", n)
		}
	}
	if o := events.wait(); o.aborted || o.status != 200 || o.body != "data: 1\n\n" {
		t.Errorf("the stream ended so: %+v", o)
	}
	if rec := w.next(fcgi.TypeAbortRequest); rec.ID != first.id {
		t.Errorf("request %d was aborted", rec.ID)
	}
	if n := r.EndStreams("1"); n != 0 {
		t.Errorf("%d streams were ended once more", n)
	}
	if n := r.EndStreams("none"); n != 0 {
		t.Errorf("a worker that is not there had %d streams", n)
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	next := c.get("/next")
	other.answer(other.request().id, "")
	next.want(200, "")

	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, first.id, []byte("data: 3\n\n")))
	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, second.id, []byte("end")))
	w.end(second.id, 0)
	download.want(200, "partend")
	w.answer(third.id, "")
	silent.want(200, "")
	select {
	case <-empty:
		t.Error("the worker counts as empty while a client's end is due")
	default:
	}
	w.end(fourth.id, 2)
	<-empty // though the first request runs on in the worker
	w.die()
	r.Lost("1")
}

// TestEndStreamsWhileTheyFlow: the reader has the stream in hand again and again.
func TestEndStreamsWhileTheyFlow(t *testing.T) { eachLoop(t, endStreamsWhileTheyFlow) }

func endStreamsWhileTheyFlow(t *testing.T, s Settings) {
	r := newRig(t, Settings{InFlight: 10, Loop: s.Loop})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c := r.client()
	for i := range 300 {
		a := c.get(nonce(i))
		req := w.requestAmongAborts()
		w.marks[req.id] = 1
		var writing sync.WaitGroup
		writing.Go(func() {
			w.write(appendEvents(nil, req.id, "text/event-stream", ""))
			for range 10 {
				w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, req.id, []byte("data: x\n\n")))
			}
			if i%2 == 0 {
				w.end(req.id, 2)
			}
		})
		for r.EndStreams("1") == 0 {
			if n := len(a.done); n > 0 {
				break // its own end came first
			}
		}
		o := a.wait()
		if o.status != 200 || len(o.body)%9 != 0 {
			t.Fatalf("%s: %+v", nonce(i), o)
		}
		if o.aborted && i%2 == 1 {
			t.Fatalf("%s was cut", nonce(i))
		}
		writing.Wait()
		if i%2 == 1 {
			w.end(req.id, 2)
		}
	}
	<-r.Drain("1")
}

// TestEndStreamsOfABrokenWorker: the reader had the stream in hand when its connection broke.
func TestEndStreamsOfABrokenWorker(t *testing.T) {
	r := newRig(t, Settings{})
	h, end := silentWorker(t, r.Dispatcher)
	_, a := r.ask("/events")
	var begun sync.WaitGroup
	begun.Add(1)
	a.onBody = func() { // while the reader is in it
		r.EndStreams("1")
		a.onBody = nil
		begun.Done()
	}
	b := appendEvents(nil, 1, "text/event-stream", "data: 1\n\n")
	h.Feed(append(b, appendResponse(nil, 9, 0, 200, "")...)) // for a request that it does not have
	begun.Wait()
	a.open()
	end()
	if o := a.wait(); o.aborted || o.body != "data: 1\n\n" {
		t.Errorf("the stream ended so: %+v", o)
	}
}

// TestEventStream: what is taken for one.
func TestEventStream(t *testing.T) {
	for value, want := range map[string]bool{
		"text/event-stream": true, "TEXT/EVENT-STREAM;charset=x": true, "text/event-stream ; a": true,
		"text/event-streams": false, "text/event": false, "": false, "text/html": false,
	} {
		fields := []exchange.Field{{Name: []byte("x"), Value: []byte("text/event-stream")}, {Name: []byte("CONTENT-type"), Value: []byte(value)}}
		if got := isEventStream(fields); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
