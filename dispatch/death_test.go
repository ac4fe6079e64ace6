package dispatch

import (
	"strings"
	"testing"

	"pyspeed/fcgi"
)

// TestWorkerDies: what had not begun moves, in the order of arrival; what had begun, or may have, is 502.
func TestWorkerDies(t *testing.T) { eachLoop(t, workerDies) }

func workerDies(t *testing.T, s Settings) {
	r := newRig(t, Settings{InFlight: 100, Loop: s.Loop})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	ask := func(nonce string) (*client, *recorder, asked) {
		t.Helper()
		r.clock.advance(1)
		c, a := r.ask(nonce)
		return c, a, w.request()
	}
	// So that ids and arrival are not in the same order.
	_, x, xr := ask("/x")
	w.marks[xr.id] = 1 // which must not count for the next request with that id
	_, y, yr := ask("/y")
	w.marks[yr.id] = 1
	_, first, _ := ask("/first")
	w.answer(xr.id, "")
	x.want(200, "")
	w.answer(yr.id, "")
	y.want(200, "")
	_, second, _ := ask("/second")
	_, third, _ := ask("/third")

	_, begun, req := ask("/begun")
	w.marks[req.id] = 1
	_, cut, req := ask("/cut")
	w.marks[req.id] = 1
	w.write(appendResponse(nil, req.id, 0, 200, "part"))
	cut.streamed(4)
	_, unmarked, req := ask("/unmarked") // a shim that answers without the mark
	w.write(appendResponse(nil, req.id, 0, 103, ""))
	w.write(appendResponse(nil, req.id, 0, 200, "part"))
	unmarked.streamed(4)
	gone, left, _ := ask("/left")
	gone.x.Source.Cancelled()
	w.next(fcgi.TypeAbortRequest)
	up := r.client()
	body := newBody("data", false)
	upload := up.post("/upload", body, -1)
	req = w.request()
	if got, _ := w.stdin(req.id, 4); string(got) != "data" {
		t.Errorf("STDIN is %q", got)
	}
	late := newBody("", false)
	r.clock.advance(1)
	waiting := r.client().post("/waiting", late, 5) // no byte of it was sent
	w.request()
	r.clock.advance(1)
	whole := r.client().post("/whole", newBody("whole", true), 5)
	if req := w.request(); string(req.body) != "whole" {
		t.Errorf("the body inside REQUEST is %q", req.body)
	}

	w.die()
	<-w.served
	for _, a := range []*recorder{first, begun, cut, left, upload, waiting, whole} {
		a.open() // dead for certain only once it is reaped
	}
	r.Lost("1")
	begun.want(502, "")
	if o := cut.wait(); !o.cut {
		t.Errorf("an answer under way: %+v", o)
	}
	if o := unmarked.wait(); !o.cut {
		t.Errorf("an answer under way without a mark: %+v", o)
	}
	if o := left.wait(); !o.aborted || o.status != 0 {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	upload.want(502, "")
	if n := r.count(FailWorkerDied); n != 4 {
		t.Errorf("%d failures were counted", n)
	}

	other := startWorker(t, r.Dispatcher, "2", Worker{})
	for _, a := range []*recorder{first, second, third, waiting, whole} {
		req := other.request()
		if req.nonce != a.nonce {
			t.Errorf("%s came, want %s", req.nonce, a.nonce)
		}
		if a == whole && string(req.body) != "whole" {
			t.Errorf("the body moved as %q", req.body)
		}
		if a == waiting {
			defer func() {
				_ = late.Append([]byte("later"))
				if got, _ := other.stdin(req.id, 5); string(got) != "later" {
					t.Errorf("the body moved as %q", got)
				}
				other.answer(req.id, "")
				a.want(200, "")
			}()
			continue
		}
		other.answer(req.id, "")
		a.want(200, "")
	}
	other.none()
}

// TestEndOfFile: without END_REQUEST the end of the connection is a failure, however complete
// the answer looks.
func TestEndOfFile(t *testing.T) { eachLoop(t, endOfFile) }

func endOfFile(t *testing.T, s Settings) {
	f := func(name string, answer func(id uint16) []byte, cut bool) {
		t.Helper()
		r := newRig(t, s)
		w := startWorker(t, r.Dispatcher, "1", Worker{})
		_, a := r.ask("/a")
		req := w.request()
		w.marks[req.id] = 1
		w.write(answer(req.id))
		w.die()
		<-w.served
		r.mu.Lock()
		if len(r.broken) != 1 || r.broken[0] != "1" {
			t.Errorf("%s: the supervisor was told of %v", name, r.broken)
		}
		r.mu.Unlock()
		r.Lost("1")
		if o := a.wait(); o.cut != cut || !cut && o.status != 502 {
			t.Errorf("%s: %+v", name, o)
		}
		if r.count(FailWorkerDied) != 1 {
			t.Errorf("%s: counted as %v", name, r.failed)
		}
	}
	f("nothing", func(uint16) []byte { return nil }, false)
	f("a head", func(id uint16) []byte { return appendResponse(nil, id, 0, 200, "all of it") }, true)
	f("half a record", func(id uint16) []byte { return appendResponse(nil, id, fcgi.FlagLast, 200, "all of it")[:20] }, false)
	f("half a joined head", func(id uint16) []byte {
		return appendResponse(nil, id, fcgi.FlagMore, 200, "")
	}, false)
}

// TestAnswersBeforeDeath: what the worker wrote before it died counts, also when Lost comes
// before it was read.
func TestAnswersBeforeDeath(t *testing.T) { eachLoop(t, answersBeforeDeath) }

func answersBeforeDeath(t *testing.T, s Settings) {
	r := newRig(t, Settings{InFlight: 1000, Loop: s.Loop})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	const n = 300
	var answers []*recorder
	var b []byte
	for i := range n {
		_, a := r.ask(nonce(i))
		answers = append(answers, a)
		req := w.request()
		w.marks[req.id] = 1
		b = appendResponse(b, req.id, fcgi.FlagLast, 200, req.nonce)
	}
	w.write(b)
	w.die()
	r.Lost("1")
	for i, a := range answers {
		a.want(200, nonce(i))
	}
}

// TestProtocolBroken: the connection ends, begun requests get 502, and the supervisor is told.
func TestProtocolBroken(t *testing.T) { eachLoop(t, protocolBroken) }

func protocolBroken(t *testing.T, s Settings) {
	head := answerHead(200, "a", "b")
	f := func(name string, bytes func(id uint16) []byte) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, s)
			w := startWorker(t, r.Dispatcher, "1", Worker{})
			_, a := r.ask("/a")
			_, b := r.ask("/b")
			req := w.request()
			w.request()
			w.marks[req.id] = 1
			w.write(bytes(req.id))
			<-w.served
			if w.err == nil {
				t.Error("Serve gave no error")
			}
			r.Lost("1")
			if o := a.wait(); !o.aborted || o.status != 502 && !o.cut {
				t.Errorf("%+v", o)
			}
			if r.count(FailProtocol) != 1 || len(r.broken) != 1 {
				t.Errorf("counted as %v; the supervisor was told of %v", r.failed, r.broken)
			}
			b.open()
			next := startWorker(t, r.Dispatcher, "2", Worker{})
			other := next.request()
			next.answer(other.id, "")
			b.want(200, "")
		})
	}
	f("not FastCGI", func(uint16) []byte { return []byte("HTTP/1.1 200 OK\r\n\r\n") })
	f("STDOUT before RESPONSE", func(id uint16) []byte { return fcgi.AppendStream(nil, fcgi.TypeStdout, id, []byte("x")) })
	f("STDOUT after 103", func(id uint16) []byte {
		return fcgi.AppendStream(appendResponse(nil, id, 0, 103, ""), fcgi.TypeStdout, id, []byte("x"))
	})
	f("second RESPONSE", func(id uint16) []byte { return appendResponse(appendResponse(nil, id, 0, 200, "1"), id, 0, 200, "2") })
	f("unknown id", func(uint16) []byte { return appendResponse(nil, 77, fcgi.FlagLast, 200, "x") })
	f("id 0", func(uint16) []byte { return appendResponse(nil, 0, fcgi.FlagLast, 200, "x") })
	f("the highest id", func(uint16) []byte { return fcgi.AppendEndRequest(nil, 65535, fcgi.EndRequest{}) })
	f("credit of an id never used", func(uint16) []byte { return fcgi.AppendWindow(nil, 77, 1) })
	f("short END_REQUEST", func(id uint16) []byte { return fcgi.AppendRecord(nil, fcgi.TypeEndRequest, 0, id, []byte("x")) })
	f("short WINDOW", func(id uint16) []byte { return fcgi.AppendRecord(nil, fcgi.TypeWindow, 0, id, []byte("x")) })
	f("type 99", func(id uint16) []byte { return fcgi.AppendRecord(nil, 99, 0, id, nil) })
	f("REQUEST", func(id uint16) []byte { return fcgi.AppendRecord(nil, fcgi.TypeRequest, 0, id, head) })
	f("another record between parts", func(id uint16) []byte {
		return appendResponse(fcgi.AppendRecord(nil, fcgi.TypeResponse, fcgi.FlagMore, id, head[:3]), id+1, 0, 200, "x")
	})
	f("endless head", func(id uint16) []byte {
		return fcgi.AppendRecord(nil, fcgi.TypeResponse, 0, id, make([]byte, 2<<20))
	})
}

// TestRefusedThenBroken: the client is told of the first fault, the supervisor of the second.
func TestRefusedThenBroken(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	req := w.request()
	b := fcgi.AppendRecord(nil, fcgi.TypeResponse, 0, req.id, answerHead(200, "bad name", "b"))
	w.write(appendResponse(b, req.id, fcgi.FlagLast, 200, "2"))
	<-w.served
	if w.err == nil || len(r.broken) != 1 {
		t.Errorf("Serve: %v; the supervisor was told of %v", w.err, r.broken)
	}
	r.Lost("1")
	a.want(500, "")
}

// TestEndTwice: the second end is for a request that the worker does not have.
func TestEndTwice(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	req := w.request()
	w.answer(req.id, "x")
	a.want(200, "x")
	w.end(req.id, 0)
	<-w.served
	if w.err == nil {
		t.Error("no error")
	}
}

// TestAnswersRefused: an application's fault ends its own request, and the worker lives.
func TestAnswersRefused(t *testing.T) {
	r := newRig(t, Settings{InFlight: 10})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	bad := answerHead(200, "bad name", "b")
	f := func(name string, status int, failure Failure, aborts bool, answer func(id uint16) []byte) {
		t.Helper()
		before := r.count(failure)
		_, a := r.ask("/" + strings.ReplaceAll(name, " ", "-"))
		req := w.request()
		w.write(answer(req.id))
		if aborts {
			if rec := w.next(fcgi.TypeAbortRequest); rec.ID != req.id {
				t.Errorf("%s: ABORT_REQUEST for %d, want %d", name, rec.ID, req.id)
			}
			a.open()
			w.end(req.id, 2)
		}
		a.want(status, "")
		if r.count(failure) != before+1 {
			t.Errorf("%s: counted as %v", name, r.failed)
		}
	}
	respond := func(flags fcgi.Flags, head []byte) func(id uint16) []byte {
		return func(id uint16) []byte { return fcgi.AppendRecord(nil, fcgi.TypeResponse, flags, id, head) }
	}
	f("bad field", 500, FailAnswerHead, false, respond(fcgi.FlagLast, bad))
	f("bad field and more to come", 500, FailAnswerHead, true, respond(0, bad))
	f("bad field and more on the way", 500, FailAnswerHead, true, func(id uint16) []byte {
		return fcgi.AppendStream(respond(0, bad)(id), fcgi.TypeStdout, id, []byte("rest"))
	})
	f("bad early hint", 500, FailAnswerHead, true, respond(0, answerHead(103, "bad name", "b")))
	f("not marshal", 500, FailAnswerHead, false, respond(fcgi.FlagLast, []byte("garbage")))
	f("not marshal and more", 500, FailAnswerHead, true, respond(0, []byte("garbage")))
	f("empty", 500, FailAnswerHead, false, respond(fcgi.FlagLast, nil))
	f("status 99", 500, FailAnswerHead, false, respond(fcgi.FlagLast, answerHead(99, "a", "b")))
	f("complete with 100", 500, FailAnswerHead, false, respond(fcgi.FlagLast, answerHead(100, "a", "b")))
	gone, left := r.ask("/refused-and-left")
	refused := w.request()
	w.write(respond(0, bad)(refused.id))
	w.next(fcgi.TypeAbortRequest)
	gone.x.Source.Cancelled() // it was aborted already
	w.end(refused.id, 2)
	if o := left.wait(); o.status != 0 {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	f("no answer", 500, FailApplication, false, func(id uint16) []byte {
		return fcgi.AppendEndRequest(nil, id, fcgi.EndRequest{})
	})
	f("the application failed", 500, FailApplication, false, func(id uint16) []byte {
		return fcgi.AppendEndRequest(nil, id, fcgi.EndRequest{AppStatus: 1})
	})
	f("overloaded", 500, FailApplication, false, func(id uint16) []byte {
		return fcgi.AppendEndRequest(nil, id, fcgi.EndRequest{ProtocolStatus: fcgi.StatusOverloaded})
	})
	_, a := r.ask("/cut")
	req := w.request()
	w.write(appendResponse(nil, req.id, 0, 200, "part"))
	w.end(req.id, 1)
	if o := a.wait(); !o.cut {
		t.Errorf("failed after its head: %+v", o)
	}
	// A head larger than a record.
	_, a = r.ask("/large")
	req = w.request()
	w.write(fcgi.AppendRecord(nil, fcgi.TypeResponse, fcgi.FlagLast, req.id,
		append(answerHead(200, "x-large", strings.Repeat("v", 200<<10)), "body"...)))
	a.want(200, "body")
	// STDERR is logged, whoever it is of.
	w.write(fcgi.AppendStream(nil, fcgi.TypeStderr, 0, []byte("note")))
	w.write(fcgi.AppendStream(nil, fcgi.TypeStderr, 5, []byte("note")))
	_, a = r.ask("/after")
	req = w.request()
	w.write(appendResponse(nil, req.id, 0, 103, ""))
	w.write(appendResponse(nil, req.id, 0, 103, ""))
	w.answer(req.id, "lives")
	a.want(200, "lives")
	if len(a.infos) != 2 {
		t.Errorf("informational answers: %v", a.infos)
	}
}

// TestTakenBytesDoNotMove: a body of which the gateway holds bytes that it took out, but has not sent
// yet, is not given to another worker, which would not get them.
func TestTakenBytesDoNotMove(t *testing.T) {
	w := &worker{marks: make([]byte, 2)}
	f := func(name string, c *call, mark byte, want bool) {
		t.Helper()
		c.id = 1
		w.marks[1] = mark
		if got := w.untouched(c); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("not begun", &call{}, 0, true)
	f("not begun, with a body", &call{bodyOpen: true}, 0, true)
	f("begun", &call{}, 1, false)
	f("streamed", &call{streamed: true}, 0, false)
	f("taken", &call{taking: true}, 0, false)
	f("answered", &call{heard: true}, 0, false)
	f("cancelled", &call{cancelled: true}, 0, false)
	f("failed", &call{failed: true}, 0, false)
}

// TestChildKeepsSocketOpen: a dead worker's child holds its end of the socket.
func TestChildKeepsSocketOpen(t *testing.T) { eachLoop(t, childKeepsSocketOpen) }

func childKeepsSocketOpen(t *testing.T, s Settings) {
	r := newRig(t, s)
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	_, a := r.ask("/a")
	_, b := r.ask("/b")
	w.marks[w.request().id] = 1
	w.request()
	r.Lost("1") // reaped, and nothing closes the socket
	a.want(502, "")
	if r.count(FailWorkerDied) != 1 {
		t.Errorf("counted as %v", r.failed)
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	req := other.request()
	other.answer(req.id, "")
	b.want(200, "")
}

// TestClientLeavesAfterMove: a request that was moved waits like any other.
func TestClientLeavesAfterMove(t *testing.T) {
	r := newRig(t, Settings{})
	w := startWorker(t, r.Dispatcher, "1", Worker{})
	c, a := r.ask("/a")
	_, b := r.ask("/b")
	w.request()
	w.request()
	w.die()
	r.Lost("1")
	<-w.served
	c.x.Source.Drained(1)
	c.x.Source.Cancelled()
	if o := a.wait(); !o.aborted || o.status != 0 {
		t.Errorf("the answer to a client that left: %+v", o)
	}
	other := startWorker(t, r.Dispatcher, "2", Worker{})
	req := other.request()
	if req.nonce != "/b" {
		t.Errorf("%s came", req.nonce)
	}
	other.answer(req.id, "")
	b.want(200, "")
	other.none()
}
