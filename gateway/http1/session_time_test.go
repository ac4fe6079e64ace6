package http1

import (
	"strings"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// Each phase has its deadline: a moment before it nothing has happened, a moment after it the
// connection has ended.
func TestTimeouts(t *testing.T) {
	const header, body, idle, write = 10 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second
	slow408 := func(what string) string { return refusal(408, "the request "+what+" took too long") }
	f := func(name string, after time.Duration, out, end string, do func(r *rig, a *app)) {
		t.Run(name, func(t *testing.T) {
			a := &app{run: func(f func()) { f() }}
			r := newRig(t, a.Respond, nil)
			do(r, a)
			before, ends := r.tr.text(), r.end()
			r.pass(after) // the clock may have been a tick behind when it began
			if got := r.tr.text(); got != before || r.end() != ends {
				t.Fatalf("too early: %s, %q", r.end(), got)
			}
			r.pass(3 * tick)
			if got := strings.TrimPrefix(r.tr.text(), before); got != out || r.end() != end {
				t.Fatalf("it is %s and got %q, want %s and %q", r.end(), got, end, out)
			}
			r.pass(lingerTime + 2*tick)
			if end != "open" && r.end() != "closed" {
				t.Fatalf("it is %s after lingering", r.end())
			}
			r.check()
		})
	}
	feed := func(parts ...string) func(*rig, *app) {
		return func(r *rig, _ *app) {
			for _, p := range parts {
				r.pass(time.Second)
				r.s.Feed([]byte(p))
			}
		}
	}
	f("no request", header, "", "closed", func(*rig, *app) {})
	f("head begun", header, slow408("head"), "fin", feed("GET"))
	f("head one byte at a time", header-2*time.Second, slow408("head"), "fin", feed("G", "E", "T"))
	f("head begun after an answer", header, slow408("head"), "fin", feed(get("/a"), "GET"))
	f("rest of a pipeline begun", header, slow408("head"), "fin", feed(get("/a")+get("/b")+"GET"))
	f("idle", idle, "", "closed", feed(get("/a")))
	f("idle again", idle, "", "closed", feed(get("/a"), get("/b"), post("/echo", "c")))
	f("body", body, slow408("body"), "fin", feed("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12"))
	f("body slow but coming", body, slow408("body"), "fin", func(r *rig, a *app) {
		feed("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")(r, a)
		for range 5 {
			r.pass(body - time.Second)
			r.s.Feed([]byte("x"))
		}
	})
	f("unread body", body, "", "fin", feed("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12"))
	f("application takes its time", time.Hour, "", "open", func(r *rig, a *app) {
		a.run = func(func()) {}
		r.s.Feed([]byte(get("/a")))
	})
	f("client does not read", write, "", "closed", func(r *rig, _ *app) {
		r.tr.room = 3
		r.s.Feed([]byte(get("/a") + get("/b")))
		r.s.Feed([]byte(get("/c")))
	})
	f("client reads a little", write, "", "closed", func(r *rig, _ *app) {
		r.tr.room = 3
		r.s.Feed([]byte(get("/a")))
		for range 5 {
			r.pass(write - time.Second)
			r.tr.give(1)
		}
	})
	f("client sends a body and does not read", write, "", "closed", func(r *rig, a *app) {
		r.tr.room = 3
		r.s.Feed([]byte(get("/a")))
		for range 3 {
			r.s.Feed([]byte(get("/c")))
		}
	})
	f("client read late, application takes its time", time.Hour, "", "open", func(r *rig, a *app) {
		r.cfg.Responder = responder(func(x *exchange.Exchange) {
			x.Source = &a.src
			_ = x.Writer.Head(200, nil)
			x.Writer.Flush()
		})
		r.tr.room = 3
		r.s.Feed([]byte(get("/a")))
		r.pass(write - time.Second)
		r.tr.give(-1)
	})
	f("linger", lingerTime, "", "closed", feed(get("/close")))
	f("linger while it sends", lingerTime-time.Second, "", "closed", feed(get("/close"), "more"))
	f("linger waits for the last answer", write, "", "closed", func(r *rig, _ *app) {
		r.tr.room = 3
		r.s.Feed([]byte(get("/close")))
	})
	f("linger waits for FIN", write, "", "closed", func(r *rig, _ *app) {
		r.tr.slowFIN = true
		r.s.Feed([]byte(get("/close")))
	})
	f("FIN was late", lingerTime, "", "closed", func(r *rig, _ *app) {
		r.tr.slowFIN = true
		r.s.Feed([]byte(get("/close")))
		r.pass(write - time.Second)
		r.tr.slowFIN = false
		r.s.Writable()
	})
	f("idle with an answer on its way", idle, "", "open", func(r *rig, _ *app) {
		r.tr.slowFIN = true
		r.s.Feed([]byte(get("/a")))
	})
}

func TestShutdown(t *testing.T) {
	f := func(name string, do func(r *rig, a *app), wait time.Duration, out string) {
		t.Run(name, func(t *testing.T) {
			a := &app{run: func(f func()) { f() }}
			r := newRig(t, a.Respond, nil)
			do(r, a)
			gone := r.registry.Shutdown()
			if r.registry.Add(NewSession(r.all, r.tr, exchange.Peer{})) {
				t.Error("a connection was admitted after the shutdown began")
			}
			a.run(func() {})
			r.pass(wait)
			if r.end() == "open" {
				t.Errorf("still open after %v", wait)
			}
			if got := r.tr.text(); got != out {
				t.Errorf("got\n%q, want\n%q", got, out)
			}
			r.pass(lingerTime + 2*tick)
			if r.end() != "closed" {
				t.Errorf("it is %s after lingering", r.end())
			}
			select {
			case <-gone:
				t.Error("gone while a session is registered")
			default:
			}
			r.registry.Remove(r.s)
			r.registry.Remove(r.s)
			<-gone
			<-r.registry.Shutdown()
			r.check()
		})
	}
	const moment = shutdownGrace + 2*tick
	f("new", func(*rig, *app) {}, moment, "")
	f("idle", func(r *rig, _ *app) { r.s.Feed([]byte(get("/a"))) }, moment, answer200("/a"))
	f("head begun", func(r *rig, _ *app) { r.s.Feed([]byte("GET")) }, 11*time.Second, refusal(408, "the request head took too long"))
	f("head begun and completed", func(r *rig, a *app) {
		r.s.Feed([]byte("GET /a HTTP/1.1\r\n"))
		a.run = func(f func()) {
			a.run = func(f func()) { f() }
			r.pass(time.Second)
			r.s.Feed([]byte("Host: h\r\n\r\n"))
			f()
		}
	}, 0, answer200("/a", "Connection: close"))
	f("request after it", func(r *rig, a *app) {
		a.run = func(f func()) { a.run = func(f func()) { f() }; r.s.Feed([]byte(get("/a"))); f() }
	}, 0, answer200("/a", "Connection: close"))
	f("answer under way", func(r *rig, a *app) {
		var job func()
		a.run = func(f func()) { job = f; a.run = func(func()) { job() } }
		r.s.Feed([]byte(get("/a") + get("/b")))
	}, 0, answer200("/a", "Connection: close"))
	f("head sent", func(r *rig, a *app) {
		var job func()
		r.cfg.Responder = responder(func(x *exchange.Exchange) {
			x.Source = &a.src
			_ = x.Writer.Head(200, field("Content-Length", "2"))
			x.Writer.Flush()
			job = func() { x.Writer.Body([]byte("ok")); x.Writer.End() }
		})
		r.s.Feed([]byte(get("/a")))
		a.run = func(func()) { job() }
	}, moment, answer200("ok"))
	f("answer not taken", func(r *rig, a *app) {
		r.tr.room = 7
		r.s.Feed([]byte(get("/a")))
		a.run = func(func()) { r.tr.give(-1) }
	}, moment, answer200("/a"))
	f("body not read", func(r *rig, a *app) {
		r.s.Feed([]byte("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"))
		a.run = func(func()) { r.s.Feed([]byte("abc")) }
	}, moment, answer200("/a"))
	f("lingering", func(r *rig, _ *app) { r.s.Feed([]byte(get("/close"))) }, 0, answer200("bye", "Connection: close"))
}

func TestRegistryRefusesTooMany(t *testing.T) {
	a := &app{run: func(f func()) { f() }}
	r := newRig(t, a.Respond, nil)
	first := r.s
	for range 9 {
		r.connect()
	}
	if r.registry.Add(NewSession(r.all, r.tr, exchange.Peer{})) {
		t.Error("11 sessions were admitted, limit 10")
	}
	r.registry.Remove(first)
	if r.registry.Len() != 9 {
		t.Errorf("Len is %d, want 9", r.registry.Len())
	}
	r.connect()
	r.registry.CloseAll()
	if r.end() != "closed" {
		t.Error("CloseAll left one open")
	}
}
