package dispatch

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// told gathers what the watch tells.
type told struct {
	mu            sync.Mutex
	slow, overdue []string // "worker method target"
	ages          []time.Duration
}

func (o *told) settings(soft, hard time.Duration) Settings {
	note := func(to *[]string) func(string, []Slow) {
		return func(worker string, requests []Slow) {
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, s := range requests {
				*to = append(*to, worker+" "+s.Method+" "+s.Target)
				o.ages = append(o.ages, s.Age)
			}
		}
	}
	return Settings{InFlight: 10, RequestSoft: soft, Request: hard, Slow: note(&o.slow), Overdue: note(&o.overdue)}
}

func (o *told) want(t *testing.T, slow, overdue []string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.slow, slow) || !slices.Equal(o.overdue, overdue) {
		t.Errorf("slow: %q, overdue: %q; want %q, %q", o.slow, o.overdue, slow, overdue)
	}
}

// pass lets time go by, as the watch sees it.
func (r *rig) pass(d time.Duration) {
	r.clock.advance(d)
	r.look(0)
}

// TestRequestTimeout: what has begun and is late ends with 504, whatever its worker says later; the id stays the
// worker's until it has ended the request, and the others go on.
func TestRequestTimeout(t *testing.T) { eachLoop(t, requestTimeout) }

func requestTimeout(t *testing.T, s Settings) {
	var o told
	settings := o.settings(10*time.Second, 20*time.Second)
	settings.Loop = s.Loop
	r := newRig(t, settings)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/late")
	_, b := r.ask("/streams")
	_, queued := r.ask("/waits")
	late, streams, waits := w.request(), w.request(), w.request()
	r.pass(time.Minute) // nothing was begun
	w.marks[late.id], w.marks[streams.id] = 1, 1
	w.write(appendResponse(nil, late.id, 0, 103, "")) // no head, as far as time is concerned
	w.write(appendResponse(nil, streams.id, 0, 200, "part"))
	b.streamed(4)
	r.pass(time.Second)
	r.pass(9999 * time.Millisecond)
	o.want(t, nil, nil)
	r.pass(time.Millisecond)
	o.want(t, []string{"1 GET /late"}, nil)
	r.pass(9 * time.Second)
	a.open()
	r.pass(time.Second)
	a.want(504, "")
	o.want(t, []string{"1 GET /late"}, []string{"1 GET /late"})
	if rec := w.next(fcgi.TypeAbortRequest); rec.ID != late.id {
		t.Errorf("request %d was aborted", rec.ID)
	}
	if n := r.count(FailRequestTimeout); n != 1 {
		t.Errorf("%d were counted", n)
	}

	// The connection's next request is not mistaken for it.
	next := c.get("/next")
	req := w.request()
	if req.id == late.id {
		t.Fatal("an id that the worker still has was used again")
	}
	w.write(appendResponse(nil, late.id, 0, 200, "late"))
	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, late.id, []byte("answer")))
	w.end(late.id, 0)
	w.answer(req.id, "next")
	next.want(200, "next")
	again := c.get("/again")
	if req := w.request(); req.id == late.id || req.id == waits.id {
		t.Logf("id %d is free again", req.id)
		w.answer(req.id, "again")
	} else {
		w.answer(req.id, "again")
	}
	again.want(200, "again")
	w.answer(waits.id, "waited")
	queued.want(200, "waited")
	r.pass(time.Hour) // a stream may last
	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, streams.id, []byte("end")))
	w.end(streams.id, 0)
	b.want(200, "partend")
	o.want(t, []string{"1 GET /late"}, []string{"1 GET /late"})
}

// TestRequestTimeoutOfADrainedWorker: nobody waits for a request that has ended, and its late answer, whole or not, is no
// breach of the protocol.
func TestRequestTimeoutOfADrainedWorker(t *testing.T) {
	var o told
	r := newRig(t, o.settings(0, time.Second))
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	_, b := r.ask("/b")
	first, second := w.request(), w.request()
	w.marks[first.id], w.marks[second.id] = 1, 1
	r.look(0)
	r.pass(time.Second)
	a.want(504, "")
	b.want(504, "")
	w.next(fcgi.TypeAbortRequest)
	w.next(fcgi.TypeAbortRequest)
	<-r.Drain("1")
	w.answer(first.id, "late")
	w.write(fcgi.AppendStream(appendResponse(nil, 0, 0, 200, "")[:0], fcgi.TypeStderr, second.id, []byte("note")))
	w.end(second.id, 2)
	w.die()
	r.Lost("1")
	<-w.served
	if w.err != nil {
		t.Errorf("the worker's connection ended with %v", w.err)
	}
	o.want(t, nil, []string{"1 GET /a", "1 GET /b"})
}

// TestRequestTimeoutThenDeath: nothing is left to fail, and nothing moves.
func TestRequestTimeoutThenDeath(t *testing.T) {
	var o told
	r := newRig(t, o.settings(0, time.Second))
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/a")
	req := w.request()
	w.marks[req.id] = 1
	r.look(0)
	r.pass(time.Second)
	a.want(504, "")
	w.marks[req.id] = 0 // as a broken shim might
	if n := r.Reclaimed("1", []uint16{99}); n != 0 {
		t.Errorf("%d moved", n)
	}
	w.die()
	r.Lost("1")
	<-w.served
	if waiting, _ := r.State(); waiting != 0 {
		t.Errorf("%d wait", waiting)
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	b := c.get("/b")
	other.answer(other.request().id, "")
	b.want(200, "")
	other.none()
}

// TestRequestTimeoutOfClientsThatLeft: their requests hold the worker all the same; the exchange ends.
func TestRequestTimeoutOfClientsThatLeft(t *testing.T) {
	var o told
	r := newRig(t, o.settings(time.Second, 2*time.Second))
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/a")
	w.marks[w.request().id] = 1
	r.look(0)
	c.x.Source.Cancelled()
	w.next(fcgi.TypeAbortRequest)
	r.pass(time.Second)
	a.open()
	r.pass(time.Second)
	if e := a.wait(); !e.aborted || e.status != 0 {
		t.Errorf("the answer to a client that left: %+v", e)
	}
	o.want(t, []string{"1 GET /a"}, []string{"1 GET /a"})
	if n := r.count(FailRequestTimeout); n != 0 {
		t.Errorf("%d were counted", n)
	}
	c.x.Source.Cancelled()
	c.x.Source.Drained(1 << 20)
	w.none()
}

// TestRequestTimePauses: under a debugger, while the gateway did not run, and while the client still sends the body.
func TestRequestTimePauses(t *testing.T) {
	var o told
	s := o.settings(10*time.Second, 20*time.Second)
	debugged, asked := false, 0
	s.Debugged = func(string) bool { asked++; return debugged }
	r := newRig(t, s)
	w := startWorker(t, r.Dispatcher, "1", Worker{ASGI: true})
	_, a := r.ask("/a")
	w.marks[w.request().id] = 1
	r.look(0)
	r.pass(9 * time.Second)
	if asked != 0 {
		t.Errorf("asked %d times for a debugger, with nothing to be done", asked)
	}
	debugged = true
	r.pass(time.Hour)
	r.pass(time.Hour)
	debugged = false
	r.pass(9 * time.Second)
	r.clock.advance(time.Hour)
	r.look(time.Hour)
	o.want(t, nil, nil)
	r.pass(time.Second)
	o.want(t, []string{"1 GET /a"}, nil)

	body := newBody("", false)
	b := r.client().post("/upload", body, -1)
	w.marks[w.request().id] = 1
	r.look(0)
	r.pass(9 * time.Second)
	r.pass(time.Second)
	a.want(504, "")
	r.pass(time.Hour)
	b.open()
	body.Finish()
	r.pass(20*time.Second - 1)
	b.open()
	r.pass(1)
	b.want(504, "")
	o.want(t, []string{"1 GET /a", "1 GET /upload"}, []string{"1 GET /a", "1 GET /upload"})
}

// TestRequestTimeoutMeetsTheAnswer: whichever comes first, the exchange ends once.
func TestRequestTimeoutMeetsTheAnswer(t *testing.T) { eachLoop(t, requestTimeoutMeetsTheAnswer) }

func requestTimeoutMeetsTheAnswer(t *testing.T, s Settings) {
	var o told
	settings := o.settings(0, time.Nanosecond)
	settings.InFlight, settings.Loop = 1000, s.Loop
	r := newRig(t, settings)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.pass(1)
				runtime.Gosched()
			}
		}
	})
	c := r.client()
	answered, late := 0, 0
	for i := range 600 {
		a := c.get(nonce(i))
		req := w.requestAmongAborts()
		if i%20 != 0 { // else it is never late
			w.marks[req.id] = 1
		}
		if i%20 == 1 {
			for len(a.done) == 0 {
				runtime.Gosched()
			}
		}
		switch i % 3 {
		case 0:
			w.answer(req.id, req.nonce)
		case 1:
			w.write(appendResponse(nil, req.id, 0, 103, ""))
			w.write(appendResponse(nil, req.id, 0, 200, req.nonce))
			w.end(req.id, 0)
		default:
			b := appendResponse(nil, req.id, 0, 200, "")
			b = fcgi.AppendStream(b, fcgi.TypeStdout, req.id, []byte(req.nonce))
			w.write(fcgi.AppendEndRequest(b, req.id, fcgi.EndRequest{}))
		}
		switch e := a.wait(); {
		case e.status == 200 && e.body == nonce(i) && !e.aborted:
			answered++
		case e.status == 504 && e.aborted:
			late++
		default:
			t.Fatalf("%s: %+v", nonce(i), e)
		}
	}
	close(stop)
	watching.Wait()
	t.Logf("%d were answered, %d late", answered, late)
	if answered < 30 || late < 30 {
		t.Error("the test met no race")
	}
}

// requestAmongAborts is the next request, whatever was aborted meanwhile.
func (w *fakeWorker) requestAmongAborts() asked {
	w.t.Helper()
	for {
		rec := w.any()
		if rec.Type == fcgi.TypeAbortRequest {
			continue
		}
		a, err := parseRequest(rec)
		if err != nil {
			w.t.Fatal(err)
		}
		return a
	}
}
