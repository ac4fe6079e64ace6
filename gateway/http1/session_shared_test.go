package http1

import (
	"strings"
	"testing"
	"time"
)

// TestConfigIsExchanged: an open connection goes by a new Config from its next request on, one that has begun by the old.
func TestConfigIsExchanged(t *testing.T) {
	a := &app{run: func(f func()) { f() }}
	r := newRig(t, a.Respond, nil)
	change := func(set func(*Config)) {
		c := *r.all.Load()
		set(&c)
		r.all.Store(&c)
	}
	feed := func(bytes string) string {
		before := len(r.tr.text())
		r.s.Feed([]byte(bytes))
		return r.tr.text()[before:]
	}
	long := "X-Long: " + strings.Repeat("x", 200) + "\r\n\r\n"
	if got := feed("GET /a HTTP/1.1\r\nHost: h\r\n"); got != "" {
		t.Fatalf("half a head got %q", got)
	}
	change(func(c *Config) { c.Limits.HeaderBytes = 100; c.IdleTimeout = time.Minute })
	if got := feed(long); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("a head that had begun got %q", got)
	}
	r.pass(50 * time.Second) // beyond the old IdleTimeout
	if r.end() != "open" {
		t.Fatalf("it is %s within the new IdleTimeout", r.end())
	}
	change(func(c *Config) { c.Body = 5 })
	if got := feed(post("/echo", "12345")); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("a body of 5 got %q", got)
	}
	change(func(c *Config) { c.Close = true })
	if got := feed(get("/a")); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "\r\nConnection: close\r\n") || r.end() != "fin" {
		t.Errorf("with Close the answer is %q, and the connection %s", got, r.end())
	}
	r.pass(lingerTime + 3*tick)
	r.connect()
	change(func(c *Config) { c.Close = false })
	if got := feed(get("/a")); strings.Contains(got, "Connection: close") || r.end() != "open" {
		t.Errorf("without Close the answer is %q, and the connection %s", got, r.end())
	}
	if got := feed("GET /a HTTP/1.1\r\nHost: h\r\n" + long); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("too many header bytes got %q", got)
	}
	r.pass(lingerTime + 3*tick)
	r.connect()
	if got := feed(post("/echo", "123456")); !strings.HasPrefix(got, "HTTP/1.1 413 ") {
		t.Errorf("a body of 6 got %q", got)
	}
	r.pass(lingerTime + 3*tick)
	r.check()
}

// TestCloseDuringAnExchange: an answer that is under way when connections are to end ends its own.
func TestCloseDuringAnExchange(t *testing.T) {
	var release func()
	a := &app{run: func(f func()) { release = f }}
	r := newRig(t, a.Respond, nil)
	r.s.Feed([]byte(get("/a")))
	c := *r.all.Load()
	c.Close = true
	r.all.Store(&c)
	release()
	if got := r.tr.text(); !strings.Contains(got, "\r\nConnection: close\r\n") || r.end() != "fin" {
		t.Errorf("the answer is %q, and the connection %s", got, r.end())
	}
	r.pass(lingerTime + 3*tick)
	r.check()
}

func TestSetMost(t *testing.T) {
	r := newRig(t, func() responder { a := &app{run: func(f func()) { f() }}; return a.Respond }(), nil)
	add := func() bool { return r.registry.Add(NewSession(r.all, r.tr, r.s.peer)) }
	r.registry.SetMost(2)
	if !add() || add() {
		t.Error("not two sessions are admitted")
	}
	r.registry.SetMost(1)
	if add() || r.registry.Len() != 2 {
		t.Errorf("%d sessions are open after a lower limit", r.registry.Len())
	}
	r.registry.SetMost(3)
	if !add() {
		t.Error("no third one is admitted")
	}
}
