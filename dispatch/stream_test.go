package dispatch

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// stdin collects STDIN records of request id until n bytes, or the end, came.
func (w *fakeWorker) stdin(id uint16, n int) (data []byte, end bool) {
	w.t.Helper()
	for len(data) < n {
		rec := w.next(fcgi.TypeStdin)
		if rec.ID != id {
			w.t.Fatalf("STDIN for request %d, want %d", rec.ID, id)
		}
		if len(rec.Content) == 0 {
			return data, true
		}
		data = append(data, rec.Content...)
	}
	return data, false
}

func TestBodyInsideRequest(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	f := func(size int, length int64, open bool) {
		t.Helper()
		data := strings.Repeat("x", size)
		c := r.client()
		a := c.post("/p", newBody(data, true), length)
		req := w.request()
		if req.open != open || !open && string(req.body) != data {
			t.Errorf("%d bytes: open %v, %d bytes inside", size, req.open, len(req.body))
		}
		if open {
			got, _ := w.stdin(req.id, size)
			if rec := w.next(fcgi.TypeStdin); string(got) != data || len(rec.Content) != 0 {
				t.Errorf("%d bytes: %d came, then %d", size, len(got), len(rec.Content))
			}
		}
		w.answer(req.id, "")
		a.want(200, "")
		c.x.Body.Close()
	}
	f(0, -1, false)
	f(1, 1, false)
	f(embed, embed, false)
	f(embed, -1, false)
	f(embed+1, embed+1, true)
	f(100<<10, -1, true)
}

// TestBodyCredit: no more STDIN than the worker gave credit for.
func TestBodyCredit(t *testing.T) { eachLoop(t, bodyCredit) }

func bodyCredit(t *testing.T, s Settings) {
	r := newRig(t, s)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	data := bytes.Repeat([]byte("0123456789"), 60000)
	body := exchange.NewBody(1<<20, nil, "")
	c := r.client()
	a := c.post("/p", body, int64(len(data)))
	req := w.request()
	if !req.open {
		t.Fatal("a body that has not arrived is not open")
	}
	_ = body.Append(data)
	got, _ := w.stdin(req.id, stdinWindow)
	if len(got) != stdinWindow {
		t.Errorf("%d bytes came, the window has %d", len(got), stdinWindow)
	}
	body.Finish()
	for len(got) < len(data) {
		w.write(fcgi.AppendWindow(nil, req.id, 50000))
		more, _ := w.stdin(req.id, min(50000, len(data)-len(got)))
		got = append(got, more...)
	}
	if rec := w.next(fcgi.TypeStdin); len(rec.Content) != 0 {
		t.Errorf("%d bytes beyond the credit", len(rec.Content))
	}
	if !bytes.Equal(got, data) {
		t.Error("the body changed on its way")
	}
	w.answer(req.id, "")
	a.want(200, "")
	body.Close()
	// The application reads on after its answer, and gives credit for it.
	w.write(fcgi.AppendWindow(nil, req.id, 50000))
	a = c.get("/next")
	req = w.request()
	w.write(fcgi.AppendWindow(nil, req.id, 50000)) // it has no body: there is nothing to send
	w.answer(req.id, "")
	a.want(200, "")
	w.none()
}

// TestBodyOnTheWay: bytes arrive while others wait for credit, on both sides at once.
func TestBodyOnTheWay(t *testing.T) { eachLoop(t, bodyOnTheWay) }

func bodyOnTheWay(t *testing.T, s Settings) {
	r := newRig(t, s)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	const parts, size = 500, 3000
	body := exchange.NewBody(64<<10, nil, t.TempDir())
	a := r.client().post("/p", body, -1)
	req := w.request()
	go func() {
		for i := range parts {
			if err := body.Append(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Error(err)
			}
		}
		body.Finish()
	}()
	at := 0
	for {
		rec := w.next(fcgi.TypeStdin)
		if len(rec.Content) == 0 {
			break
		}
		for _, c := range rec.Content {
			if c != byte(at/size) {
				t.Fatalf("byte %d of the body is %d", at, c)
			}
			at++
		}
		w.write(fcgi.AppendWindow(nil, req.id, uint32(len(rec.Content))))
	}
	if at != parts*size {
		t.Errorf("%d bytes came, want %d", at, parts*size)
	}
	w.answer(req.id, "")
	a.want(200, "")
	body.Close()
}

// TestBodyFails: the gateway's disk cannot give a body back.
func TestBodyFails(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	body := exchange.NewBody(1<<20, nil, "")
	a := r.client().post("/p", body, 100)
	req := w.request()
	body.Fail(errors.New("cannot read"))
	w.next(fcgi.TypeAbortRequest)
	w.end(req.id, 2)
	a.want(500, "")
	if n := r.count(FailBody); n != 1 {
		t.Errorf("%d failures were counted", n)
	}
}

// TestAnswerCredit: what the client has taken goes back to the worker as WINDOW.
func TestAnswerCredit(t *testing.T) {
	r := newRig(t, Settings{Budget: budget(1 << 20)})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/a")
	req := w.request()
	if req.window != 16<<10 {
		t.Fatalf("the window is %d", req.window)
	}
	w.write(appendResponse(nil, req.id, 0, 200, strings.Repeat("x", req.window)))
	a.streamed(req.window)
	c.x.Source.Drained(req.window/2 - 1) // too little to tell
	c.x.Source.Drained(1)
	if rec := w.next(fcgi.TypeWindow); rec.ID != req.id || window(rec) != req.window/2 {
		t.Errorf("WINDOW of %d for %d, want %d", window(rec), rec.ID, req.window/2)
	}
	c.x.Source.Drained(req.window / 2)
	if rec := w.next(fcgi.TypeWindow); window(rec) != req.window/2 {
		t.Errorf("WINDOW of %d, want %d", window(rec), req.window/2)
	}
	w.end(req.id, 0)
	a.wait()
	c.x.Source.Drained(req.window) // the last bytes leave after the end
	w.none()

	// As the budget is used up the windows shrink.
	r.Budget.Hold(1 << 20)
	r.ask("/b")
	if req := w.request(); req.window != exchange.MinWindow {
		t.Errorf("the window of a gateway without memory is %d", req.window)
	}
}

// TestFullSocket: a worker that does not read while it writes stops nobody who appends, and
// gets everything, in order, once it reads.
func TestFullSocket(t *testing.T) { eachLoop(t, fullSocket) }

func fullSocket(t *testing.T, s Settings) {
	const n = 3000 // each a write of its own; a socket takes some 300
	r := newRig(t, s)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/a")
	req := w.request()
	resume := w.pause()
	w.write(appendResponse(nil, req.id, 0, 200, "x"))
	a.streamed(1)
	for range n {
		c.x.Source.Drained(req.window)
	}
	// The gateway still reads answers.
	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, req.id, bytes.Repeat([]byte("y"), 1<<20)))
	a.streamed(1<<20 + 1)
	_, b := r.ask("/b")
	resume()
	for range n {
		if rec := w.next(fcgi.TypeWindow); window(rec) != req.window {
			t.Fatalf("WINDOW of %d, want %d", window(rec), req.window)
		}
	}
	other := w.request()
	w.end(req.id, 0)
	w.answer(other.id, "")
	a.want(200, "")
	b.want(200, "")
}

// TestBodiesWaitForTheWorker: what a worker does not read is not gathered for it beyond a limit, and
// once it reads, every body comes whole, none behind all the others.
func TestBodiesWaitForTheWorker(t *testing.T) { eachLoop(t, bodiesWaitForTheWorker) }

func bodiesWaitForTheWorker(t *testing.T, s Settings) {
	const n, size = 40, 150 << 10 // within a window each: nothing but the socket holds them up
	r := newRig(t, s)
	w := startWorker(t, r.Dispatcher, "1", Worker{ASGI: true})
	resume := w.pause()
	_ = w.conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(1 << 10)
	bodies := make([]*exchange.Body, n)
	answers := make([]*recorder, n)
	for i := range n {
		bodies[i] = newBody(strings.Repeat(string(rune('A'+i)), size), true)
		answers[i] = r.client().post(nonce(i), bodies[i], size)
	}
	untouched := 0
	for _, b := range bodies {
		if _, whole := b.Complete(size); whole {
			untouched++
		}
	}
	if untouched < n/2 {
		t.Errorf("%d of %d bodies were taken while the worker reads nothing", n-untouched, n)
	}
	resume()
	got := make(map[uint16][]byte)
	var turns, ended int
	var last uint16
	for ended < n {
		switch rec := w.any(); {
		case rec.Type == fcgi.TypeRequest:
			got[rec.ID] = nil
		case rec.Type != fcgi.TypeStdin:
			t.Fatalf("%s record", rec.Type)
		case len(rec.Content) == 0:
			if b := got[rec.ID]; len(b) != size || bytes.Count(b, b[:1]) != size {
				t.Errorf("the body of request %d came with %d bytes", rec.ID, len(b))
			}
			ended++
		default:
			got[rec.ID] = append(got[rec.ID], rec.Content...)
			if rec.ID != last {
				last = rec.ID
				turns++
			}
		}
	}
	if turns < n {
		t.Errorf("%d turns for %d bodies", turns, n)
	}
	for id := range got {
		w.answer(id, "")
	}
	for i := range n {
		answers[i].want(200, "")
		bodies[i].Close()
	}
}

// TestNoRoomIsMissed: bodies are put back before the call of Room that they wait for can come, since after it
// there may be no other.
func TestNoRoomIsMissed(t *testing.T) {
	r := newRig(t, Settings{})
	w := newWorker(r.Dispatcher, Worker{})
	_ = w.mux.Begin() // Full has to wait
	full := make(chan bool)
	go func() { full <- w.stillFull([]*call{{}}) }()
	for start := time.Now(); r.Dispatcher.mu.TryLock(); runtime.Gosched() {
		r.Dispatcher.mu.Unlock()
		if time.Since(start) > 10*time.Second {
			t.Fatal("Room could look for what waits between the question whether there is room and its consequence")
		}
	}
	w.mux.End(make([]byte, 1<<20))
	if !<-full || len(w.waiting) != 1 {
		t.Errorf("%d calls wait", len(w.waiting))
	}
}

// TestWorkerSpeaksFirst: what a worker sends before it was asked for anything ends its connection, and
// holds nobody up.
func TestWorkerSpeaksFirst(t *testing.T) { eachLoop(t, workerSpeaksFirst) }

func workerSpeaksFirst(t *testing.T, s Settings) {
	for range 100 {
		r := newRig(t, s)
		ours, theirs := socketpair(t)
		if _, err := theirs.Write([]byte("garbage, and more than a record's header")); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			done <- r.Serve(Worker{ID: "1", Conn: ours, Marks: make([]byte, 1<<16)}, time.Minute)
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Error("a worker that sends garbage was served in order")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a worker that sends garbage is still served")
		}
		r.Lost("1")
		_ = theirs.Close()
		_ = ours.Close()
	}
}
