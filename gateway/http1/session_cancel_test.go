package http1

import (
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

// The client leaves after every byte that it sends, and the connection breaks at every byte
// that it is sent; whenever the responder ends its exchange then, everything is put back.
func TestLeavingAtEveryStep(t *testing.T) {
	in := get("/a") + post("/echo", "hello") + get("/stream") + chunkedPost + "3\r\none\r\n0\r\n\r\n" + post("/b", "unread") + get("/abort-late")
	f := func(t *testing.T, buffer int64, later bool, feed func(r *rig)) {
		t.Helper()
		var jobs []func()
		a := &app{run: func(job func()) { jobs = append(jobs, job) }}
		if !later {
			a.run = func(job func()) { job() }
		}
		started, cancelled := 0, 0
		a.src.onCancel = func() { cancelled++ }
		r := newRig(t, responder(func(x *exchange.Exchange) { started++; a.Respond(x) }), func(cfg *Config) { cfg.BufferBody = buffer })
		feed(r)
		r.s.Closed()
		written := len(r.tr.out)
		for len(jobs) > 0 {
			job := jobs[0]
			jobs = jobs[1:]
			job()
		}
		if len(r.tr.out) != written {
			t.Errorf("%d bytes were written after the client left", len(r.tr.out)-written)
		}
		if r.end() != "closed" || cancelled > 1 {
			t.Errorf("it is %s, the responder was told %d times", r.end(), cancelled)
		}
		// One that was refused, or left in the middle of a buffered body, was never the responder's.
		if n := len(r.done); n < started || n > started+1 || n > started && buffer == 0 {
			t.Errorf("Done was told %d times, %d exchanges began", n, started)
		}
		if r.s.dispatched || r.s.x.Body != nil || r.s.x.Source != nil || r.s.buf != nil || r.s.respond.out != nil {
			t.Error("something was not put back")
		}
		r.check()
	}
	for _, later := range []bool{false, true} {
		for _, buffer := range []int64{0, 1 << 10} {
			for n := range len(in) + 1 {
				f(t, buffer, later, func(r *rig) { r.s.Feed([]byte(in[:n])) })
				f(t, buffer, later, func(r *rig) {
					for i := range n {
						r.s.Feed([]byte(in[i : i+1]))
					}
				})
			}
		}
	}
	for n := range 400 {
		f(t, 0, false, func(r *rig) {
			r.tr.room = n
			r.s.Feed([]byte(in))
			r.tr.failing = errBroken
			r.tr.give(1)
			r.s.Feed([]byte(in))
		})
	}
}

// A responder is told once that the client left, and may end the exchange from there or never.
func TestCancelled(t *testing.T) {
	f := func(name string, head, ends bool, before func(r *rig)) {
		t.Run(name, func(t *testing.T) {
			var src source
			var x *exchange.Exchange
			r := newRig(t, responder(func(y *exchange.Exchange) {
				x = y
				x.Source = &src
				if head {
					_ = x.Writer.Head(200, nil)
					x.Writer.Body([]byte("part"))
					x.Writer.Flush()
				}
			}), nil)
			src.onCancel = func() {
				if ends {
					x.Writer.Abort(0, "")
				}
			}
			before(r)
			request := string(x.Request.Method) + string(x.Request.Target)
			r.s.Closed()
			r.s.Closed()
			r.s.Feed([]byte(get("/b")))
			if src.cancelled != 1 {
				t.Errorf("told %d times", src.cancelled)
			}
			if !ends {
				if got := string(x.Request.Method) + string(x.Request.Target); got != request {
					t.Errorf("the request changed to %q", got)
				}
				if x.Body != nil {
					if _, _, err := x.Body.Next(nil, 100); err == nil {
						t.Error("the body does not say that it was cut")
					}
				}
				x.Writer.Body([]byte("more"))
				x.Writer.Flush()
				x.Writer.End()
			}
			if len(r.done) != 1 || r.done[0].method+r.done[0].target != request {
				t.Errorf("Done was told of %v", r.done)
			}
			r.check()
		})
	}
	for name, ends := range map[string]bool{"ends in it": true, "ends later": false} {
		for state, head := range map[string]bool{"before the head": false, "after the head": true} {
			f(name+", "+state, head, ends, func(r *rig) { r.s.Feed([]byte(get("/a"))) })
			f(name+", "+state+", body missing", head, ends, func(r *rig) {
				r.s.Feed([]byte("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"))
			})
			f(name+", "+state+", client slow", head, ends, func(r *rig) {
				r.tr.room = 9
				r.s.Feed([]byte(get("/a")))
			})
		}
	}
}

// A request is refused while its answer is under way.
func TestRefusedInTheMiddle(t *testing.T) {
	const start, rest = chunkedPost + "3\r\none\r\n", "zz\r\nGET / HTTP/1.1\r\n\r\n"
	wrong := refusal(400, "a chunk size is not a hexadecimal number")
	f := func(name, out string, answer func(w exchange.Writer, refused func())) {
		t.Run(name, func(t *testing.T) {
			var src source
			var x *exchange.Exchange
			r := newRig(t, responder(func(y *exchange.Exchange) { x = y; x.Source = &src }), nil)
			r.s.Feed([]byte(start))
			answer(x.Writer, func() {
				r.s.Feed([]byte(rest))
				if src.cancelled != 1 {
					t.Errorf("told %d times", src.cancelled)
				}
				for range 3 { // it sends on, which changes nothing
					r.s.Feed(make([]byte, maxCarry/2))
				}
			})
			r.s.Feed([]byte(get("/b")))
			if got := r.tr.text(); got != out {
				t.Errorf("got\n%q, want\n%q", got, out)
			}
			if r.end() != "fin" || len(r.done) != 1 {
				t.Errorf("it is %s, Done was told of %v", r.end(), r.done)
			}
			r.s.Closed()
			r.check()
		})
	}
	f("before anything", wrong, func(w exchange.Writer, refused func()) { refused(); w.Abort(0, "") })
	f("its own failure", wrong, func(w exchange.Writer, refused func()) { refused(); w.Abort(500, "") })
	f("no answer", wrong, func(w exchange.Writer, refused func()) { refused(); w.End() })
	f("its own answer", answer200("ok", "Connection: close"), func(w exchange.Writer, refused func()) {
		refused()
		_ = w.Answer(200, nil, []byte("ok"))
	})
	f("head not sent", wrong, func(w exchange.Writer, refused func()) { _ = w.Head(200, nil); refused(); w.Abort(0, "") })
	f("only hints sent", "HTTP/1.1 103 Early Hints\r\n\r\n"+wrong, func(w exchange.Writer, refused func()) {
		_ = w.Head(103, nil)
		w.Flush()
		refused()
		w.Abort(0, "")
	})
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
	begin := func(w exchange.Writer) {
		_ = w.Head(200, nil)
		w.Body([]byte("part"))
		w.Flush()
	}
	f("head sent, aborted", head, func(w exchange.Writer, refused func()) { begin(w); refused(); w.Abort(0, "") })
	f("head sent, completed", head+"0\r\n\r\n", func(w exchange.Writer, refused func()) { begin(w); refused(); w.End() })
}

func TestExpectContinue(t *testing.T) {
	const head = "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	const hundred = "HTTP/1.1 100 Continue\r\n\r\n"
	f := func(name string, respond func(x *exchange.Exchange), buffer int64, out, end string, parts ...string) {
		t.Run(name, func(t *testing.T) {
			a := &app{run: func(f func()) { f() }}
			if respond == nil {
				respond = a.Respond
			}
			r := newRig(t, responder(respond), func(cfg *Config) { cfg.BufferBody = buffer })
			for _, p := range parts {
				r.s.Feed([]byte(p))
			}
			if got := r.tr.text(); got != out || r.end() != end {
				t.Errorf("it is %s and got\n%q, want %s and\n%q", r.end(), got, end, out)
			}
			r.s.Closed()
			r.check()
		})
	}
	f("asked", nil, 0, hundred+answer200("ok")+answer200("/b"), "open", head, "ok", get("/b"))
	f("asked, buffered", nil, 100, hundred+answer200("ok")+answer200("/b"), "open", head, "ok", get("/b"))
	f("body with it", nil, 0, answer200("ok")+answer200("/b"), "open", head+"ok"+get("/b"))
	f("part of the body with it", nil, 0, answer200("ok"), "open", head+"o", "k")
	f("chunked", nil, 0, hundred+answer200("ok"), "open", strings.Replace(head, "Content-Length: 2", "Transfer-Encoding: chunked", 1), "2\r\nok\r\n0\r\n\r\n")
	// Refused at once: the client may or may not send the body, so nothing can follow.
	f("refused", func(x *exchange.Exchange) { x.Writer.Abort(503, "") }, 0,
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 24\r\nConnection: close\r\n\r\n503 Service Unavailable\n", "fin", head, get("/b"))
	f("answered at once", func(x *exchange.Exchange) { _ = x.Writer.Answer(200, nil, []byte("no")) }, 0,
		answer200("no", "Connection: close"), "fin", head, "ok")
	// With the body already here the connection goes on.
	f("answered with the body here", func(x *exchange.Exchange) { _ = x.Writer.Answer(200, nil, []byte("no")) }, 0,
		answer200("no")+answer200("no"), "open", head+"ok"+get("/b"))
}
