package livereload

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

// A page's copy in the browser is good as long as the page and the script in it are.
func TestConditionalRequests(t *testing.T) {
	h := testHub(&clock{})
	// app answers as a file server would.
	app := func(x *exchange.Exchange) {
		x.Source = &source{}
		tag := x.Request.Get("if-none-match")
		if bytes.Contains(tag, []byte(`"v1"`)) || tag == nil && x.Request.Get("if-modified-since") != nil {
			_ = x.Writer.Answer(304, fields(`ETag: "v1"`), nil)
			return
		}
		_ = x.Writer.Answer(200, fields("Content-Type: text/html", `ETag: "v1"`), []byte(page))
	}
	ask := func(lines ...string) *sink {
		s := &sink{}
		h.Responder(responder(app)).Respond(request("GET", "/", s, lines...))
		return s
	}
	first := ask("Accept-Encoding: gzip, br")
	tag := first.get("etag")
	if want := `"v1--` + h.boot + `.0"`; first.status != 200 || tag != want {
		t.Fatalf("first: %d with the tag %s, want %s", first.status, tag, want)
	}
	again := ask("If-None-Match: "+tag, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT")
	if again.status != 304 || again.get("etag") != tag {
		t.Errorf("again: %d %s", again.status, again.head)
	}
	// What the browser got from elsewhere has no script, or another.
	for _, lines := range [][]string{
		{`If-None-Match: "v1"`},
		{`If-None-Match: *`},
		{`If-None-Match: "v1`},
		{`If-None-Match: "v1--other.0"`},
		{"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"},
		{`If-None-Match: "v1"`, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"},
	} {
		if s := ask(lines...); s.status != 200 {
			t.Errorf("%q: %d", lines, s.status)
		}
	}
	h.Broadcast(Event{Kind: Replaced})
	if s := ask("If-None-Match: " + tag); s.status != 200 || s.get("etag") != `"v1--`+h.boot+`.1"` {
		t.Errorf("after a change: %d %s", s.status, s.head)
	}
	// Requests that are not for pages keep theirs.
	s := &sink{}
	x := request("GET", "/", s)
	x.Request.Fields = fields("Sec-Fetch-Dest: image", `If-None-Match: "v1"`, "Accept-Encoding: gzip")
	h.Responder(responder(func(x *exchange.Exchange) {
		if x.Request.Get("accept-encoding") == nil {
			t.Error("Accept-Encoding is gone")
		}
		app(x)
	})).Respond(x)
	if s.status != 304 || s.get("etag") != `"v1"` {
		t.Errorf("an image: %d %s", s.status, s.head)
	}
}

func TestOwnTags(t *testing.T) {
	for in, want := range map[string]string{
		`"a--s"`:               `"a"`,
		`W/"a--s"`:             `W/"a"`,
		`"a", "b--s",W/"c--s"`: `"b", W/"c"`,
		`"--s"`:                `""`,
		`"a,--s" , "b"`:        `"a,"`,
		``:                     ``,
		`*`:                    ``,
		`"`:                    ``,
		`"a--s`:                ``,
		`a--s"`:                ``,
		`"a--s" "`:             `"a"`,
		`x"W/"--s`:             ``,
		`"a", W/"b"`:           ``,
	} {
		if got := string(ownTags([]byte(in), "--s")); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What a page is up to date with is what was current when a worker got its request, not when the request came: it
// may have waited for the new code.
func TestPositionOfAPage(t *testing.T) {
	c := &clock{}
	h := testHub(c)
	ask := func(app func(x *exchange.Exchange)) string {
		s := &sink{}
		h.Responder(responder(func(x *exchange.Exchange) {
			x.Source = &source{}
			app(x)
			_ = x.Writer.Answer(200, fields("Content-Type: text/html"), []byte(page))
		})).Respond(request("GET", "/", s))
		_, at, _ := strings.Cut(string(s.body), `data-at="`+h.boot+".")
		at, _, _ = strings.Cut(at, `"`)
		return at
	}
	h.Broadcast(Event{Kind: Replaced})
	replaced := func(*exchange.Exchange) { h.Broadcast(Event{Kind: Replaced}) }
	for _, q := range []struct {
		name, want string
		app        func(x *exchange.Exchange)
	}{
		{"nothing happens", "1", func(*exchange.Exchange) {}},
		{"the gateway answers", "1", replaced},
		{"an old worker has it", "2", func(x *exchange.Exchange) { x.Dispatched = c.tick(); replaced(x) }},
		{"it waits for a new worker", "4", func(x *exchange.Exchange) { replaced(x); x.Dispatched = c.tick() }},
		{"both", "5", func(x *exchange.Exchange) { replaced(x); x.Dispatched = c.tick(); replaced(x) }},
		{"so many that nobody knows", "0", func(x *exchange.Exchange) {
			x.Dispatched = c.tick()
			for range 2 * kept {
				replaced(x)
			}
		}},
	} {
		if got := ask(q.app); got != q.want {
			t.Errorf("%s: the page is as of %s, want %s", q.name, got, q.want)
		}
	}
}

func TestHintOnce(t *testing.T) {
	var log bytes.Buffer
	h := NewHub(Settings{Browser: true, Now: new(clock).tick, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		serve(h, request("GET", "/strict", nil), 200, page, "Content-Type: text/html", "Content-Security-Policy: script-src 'none'")
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "path=/strict") || !strings.Contains(got, "reload.browser = false") {
		t.Errorf("the log is %q", got)
	}
}

func TestNonce(t *testing.T) {
	s := serve(testHub(&clock{}), request("GET", "/", nil), 200, page, "Content-Type: text/html", "Content-Security-Policy: script-src 'nonce-Zm9v' 'strict-dynamic'")
	if !bytes.Contains(s.body, []byte(`" nonce="Zm9v"></script>`)) {
		t.Errorf("got %s", s.body)
	}
}
