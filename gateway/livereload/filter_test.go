package livereload

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// sink is an edge's Writer: it notes what it is given.
type sink struct {
	head    []exchange.Field
	status  int
	body    []byte
	calls   []string
	refuses bool
	onBody  func(n int)
}

func (s *sink) Head(status int, fields []exchange.Field) error {
	if s.refuses {
		return errors.New("refused")
	}
	s.status, s.head = status, cloneFields(fields)
	s.calls = append(s.calls, "head")
	return nil
}

func (s *sink) Answer(status int, fields []exchange.Field, body []byte) error {
	if err := s.Head(status, fields); err != nil {
		return err
	}
	s.calls[len(s.calls)-1] = "answer"
	s.body = append(s.body, body...)
	return nil
}

func (s *sink) Body(p []byte) {
	s.body = append(s.body, p...)
	if s.onBody != nil {
		s.onBody(len(p))
	}
}
func (s *sink) Flush() { s.calls = append(s.calls, "flush") }
func (s *sink) End()   { s.calls = append(s.calls, "end") }
func (s *sink) Abort(status int, reason string) {
	s.calls = append(s.calls, "abort "+strconv.Itoa(status)+reason)
}

func (s *sink) get(name string) string {
	for _, f := range s.head {
		if exchange.EqualFold(f.Name, name) {
			return string(f.Value)
		}
	}
	return ""
}

func cloneFields(fields []exchange.Field) []exchange.Field {
	list := slices.Clone(fields)
	for i := range list {
		list[i] = exchange.Field{Name: bytes.Clone(list[i].Name), Value: bytes.Clone(list[i].Value)}
	}
	return list
}

// fields makes fields of "Name: value" lines.
func fields(lines ...string) []exchange.Field {
	var list []exchange.Field
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		list = append(list, exchange.Field{Name: []byte(name), Value: []byte(value)})
	}
	return list
}

// source counts what it is told.
type source struct{ drained, cancelled int }

func (s *source) Drained(n int) { s.drained += n }
func (s *source) Cancelled()    { s.cancelled++ }

// responder is a function that is one.
type responder func(x *exchange.Exchange)

func (f responder) Respond(x *exchange.Exchange) { f(x) }

// clock is a Settings.Now that a test moves.
type clock struct{ now time.Duration }

func testHub(c *clock) *Hub {
	return NewHub(Settings{Browser: true, Now: func() time.Duration { c.now++; return c.now }})
}

// request makes an exchange of a browser on this machine that navigates; lines are further fields.
func request(method, target string, w exchange.Writer, lines ...string) *exchange.Exchange {
	path, query, _ := strings.Cut(target, "?")
	x := &exchange.Exchange{Writer: w, Peer: &exchange.Peer{RemoteAddr: "127.0.0.1"}}
	x.Request = exchange.Request{
		Method: []byte(method), Target: []byte(target), RawPath: []byte(path), Path: []byte(path), Query: []byte(query),
		Authority: []byte("localhost:8000"), Fields: fields(append([]string{"Accept: text/html,*/*;q=0.8", "Sec-Fetch-Dest: document"}, lines...)...),
	}
	return x
}

const page = "<!doctype html><title>x</title><body><p>Hello</p></body></html>\n"

// serve sends a page whole through the filter, with the fields.
func serve(h *Hub, x *exchange.Exchange, status int, body string, lines ...string) *sink {
	s := &sink{}
	x.Writer = s
	h.Responder(responder(func(x *exchange.Exchange) {
		x.Source = &source{}
		_ = x.Writer.Answer(status, fields(lines...), []byte(body))
	})).Respond(x)
	return s
}

func TestPageGetsTheScript(t *testing.T) {
	h := testHub(&clock{})
	s := serve(h, request("GET", "/", nil), 200, page, "Content-Type: text/html; charset=utf-8", "Content-Length: "+strconv.Itoa(len(page)))
	want := `<!doctype html><title>x</title><body><p>Hello</p><script async src="` + scriptURL + `" data-at="` + h.boot + `.0"></script></body></html>` + "\n"
	if string(s.body) != want {
		t.Errorf("got\n%s, want\n%s", s.body, want)
	}
	if got := s.get("content-length"); got != strconv.Itoa(len(want)) {
		t.Errorf("Content-Length is %s, want %d", got, len(want))
	}
	s = serve(h, request("POST", "/", nil), 422, page, "Content-Type: text/html")
	if !bytes.Contains(s.body, []byte(`" data-keep=""></script>`)) || s.get("content-length") != "" {
		t.Errorf("the answer to a form is %s %s", s.head, s.body)
	}
}

// What is no page, or is not for a browser on this machine that shows it, passes as it is.
func TestOthersPassUntouched(t *testing.T) {
	const html = "Content-Type: text/html"
	type change func(x *exchange.Exchange)
	none := func(*exchange.Exchange) {}
	with := func(lines ...string) change {
		return func(x *exchange.Exchange) { x.Request.Fields = append(x.Request.Fields, fields(lines...)...) }
	}
	only := func(lines ...string) change {
		return func(x *exchange.Exchange) { x.Request.Fields = fields(lines...) }
	}
	host := func(host string) change { return func(x *exchange.Exchange) { x.Request.Authority = []byte(host) } }
	from := func(ip string) change { return func(x *exchange.Exchange) { x.Peer.RemoteAddr = ip } }
	method := func(m string) change { return func(x *exchange.Exchange) { x.Request.Method = []byte(m) } }
	for _, c := range []struct {
		name   string
		change change
		status int
		lines  []string
		script bool
	}{
		{"page", none, 200, []string{html}, true},
		{"error page of the application", none, 500, []string{html}, true},
		{"not found", none, 404, []string{"content-type: TEXT/HTML ; charset=latin1"}, true},
		{"no-cache page", none, 200, []string{html, "Cache-Control: no-store"}, true},
		{"identity", none, 200, []string{html, "Content-Encoding: identity"}, true},
		{"inline file", none, 200, []string{html, "Content-Disposition: inline; filename=attachment"}, true},
		{"iframe", only("Sec-Fetch-Dest: iframe"), 200, []string{html}, true},
		{"old browser", only("Accept: text/html,*/*"), 200, []string{html}, true},
		{"below localhost", host("shop.localhost:8000"), 200, []string{html}, true},
		{"address", host("127.0.0.1"), 200, []string{html}, true},
		{"IPv6", func(x *exchange.Exchange) { host("[::1]:8000")(x); from("::1")(x) }, 200, []string{html}, true},
		{"LOCALHOST.", host("LOCALHOST."), 200, []string{html}, true},
		{"mapped", from("::ffff:127.0.0.1"), 200, []string{html}, true},
		{"by a proxy here", with("X-Forwarded-For: 127.0.0.1, ::1", "X-Forwarded-Host: localhost:5173", "X-Real-IP: 127.0.0.1"), 200, []string{html}, true},

		{"text", none, 200, []string{"Content-Type: text/plain"}, false},
		{"like HTML", none, 200, []string{"Content-Type: text/html-sandboxed"}, false},
		{"XHTML", none, 200, []string{"Content-Type: application/xhtml+xml"}, false},
		{"events", none, 200, []string{"Content-Type: text/event-stream"}, false},
		{"nothing said", none, 200, nil, false},
		{"UTF-16", none, 200, []string{"Content-Type: text/html; charset=UTF-16LE"}, false},
		{"compressed", none, 200, []string{html, "Content-Encoding: gzip"}, false},
		{"download", none, 200, []string{html, "Content-Disposition: attachment; filename=a.html"}, false},
		{"no-transform", none, 200, []string{html, "Cache-Control: public, no-transform"}, false},
		{"digest", none, 200, []string{html, "Repr-Digest: sha-256=:AA==:"}, false},
		{"redirect", none, 302, []string{html, "Location: /"}, false},
		{"no content", none, 204, []string{html}, false},
		{"part", none, 206, []string{html, "Content-Range: bytes 0-1/2"}, false},
		{"not modified", none, 304, []string{html}, false},
		{"wrong length", none, 200, []string{html, "Content-Length: 3"}, false},
		{"two lengths", none, 200, []string{html, "Content-Length: 63", "Content-Length: 63"}, false},
		{"policy", none, 200, []string{html, "Content-Security-Policy: default-src 'none'"}, false},
		{"HEAD", method("HEAD"), 200, []string{html}, false},
		{"PUT", method("PUT"), 200, []string{html}, false},
		{"fetch", only("Accept: text/html", "Sec-Fetch-Dest: empty"), 200, []string{html}, false},
		{"curl", only("Accept: */*"), 200, []string{html}, false},
		{"XMLHttpRequest of an old browser", only("Accept: text/html", "X-Requested-With: XMLHttpRequest"), 200, []string{html}, false},
		{"htmx", with("HX-Request: true"), 200, []string{html}, false},
		{"range", with("Range: bytes=0-9"), 200, []string{html}, false},
		{"other host", host("shop.example:8000"), 200, []string{html}, false},
		{"rebound", host("localhost.evil.example"), 200, []string{html}, false},
		{"looks local", host("notlocalhost"), 200, []string{html}, false},
		{"its address elsewhere", host("192.168.1.5:8000"), 200, []string{html}, false},
		{"no host", host(""), 200, []string{html}, false},
		{"other client", from("192.168.1.5"), 200, []string{html}, false},
		{"unix socket", from(""), 200, []string{html}, false},
		{"by a proxy from elsewhere", with("X-Forwarded-For: 203.0.113.7, 127.0.0.1"), 200, []string{html}, false},
		{"by a proxy with another name", with("X-Forwarded-Host: shop.example"), 200, []string{html}, false},
		{"real IP elsewhere", with("X-Real-IP: 203.0.113.7"), 200, []string{html}, false},
		{"Forwarded", with("Forwarded: for=203.0.113.7"), 200, []string{html}, false},
	} {
		x := request("GET", "/", nil)
		c.change(x)
		s := serve(testHub(&clock{}), x, c.status, page, c.lines...)
		if got := bytes.Contains(s.body, []byte("<script async")); got != c.script {
			t.Errorf("%s: script %v, want %v", c.name, got, c.script)
		}
		if c.script {
			continue
		}
		if string(s.body) != page || fmt.Sprintf("%s", s.head) != fmt.Sprintf("%s", fields(c.lines...)) {
			t.Errorf("%s: it got %s %q", c.name, s.head, s.body)
		}
	}
	off := NewHub(Settings{Now: new(clock).tick})
	if s := serve(off, request("GET", "/", nil), 200, page, html); string(s.body) != page {
		t.Errorf("with Browser off: %q", s.body)
	}
}

func (c *clock) tick() time.Duration { c.now++; return c.now }

// streamed sends body in parts through a filter and returns what the edge got.
func streamed(t testing.TB, h *Hub, body string, cuts []int, length int, lines ...string) *sink {
	t.Helper()
	s := &sink{}
	inner := &source{}
	x := request("GET", "/", s)
	h.Responder(responder(func(x *exchange.Exchange) {
		x.Source = inner
		head := fields(append([]string{"Content-Type: text/html"}, lines...)...)
		if length >= 0 {
			head = append(head, fields("Content-Length: "+strconv.Itoa(length))...)
		}
		if err := x.Writer.Head(200, head); err != nil {
			t.Fatal(err)
		}
	})).Respond(x)
	// The client takes each part at once, so the responder's credit may be behind only by what is kept.
	given := 0
	s.onBody = func(n int) { x.Source.Drained(n) }
	from := 0
	for _, to := range append(cuts, len(body)) {
		x.Writer.Body([]byte(body[from:to]))
		x.Writer.Flush()
		given += to - from
		from = to
		if behind := given - inner.drained; behind < 0 || behind > marker {
			t.Fatalf("%q in parts %v: the responder got credit for %d of %d bytes", body, cuts, inner.drained, given)
		}
	}
	x.Writer.End()
	if inner.drained != given {
		t.Fatalf("%q in parts %v: at the end the responder got credit for %d of %d bytes", body, cuts, inner.drained, given)
	}
	return s
}

func TestAnyCutGivesTheSame(t *testing.T) {
	h := testHub(&clock{})
	for _, body := range []string{
		page, "", "<", "</body", "</html>", "<p></p>", "</bod</body></html>", "<script>'</body>'</script></BODY\n>x",
		"<!-- </body> --></html></body>", "</body></body>",
	} {
		whole := string(streamed(t, h, body, nil, -1).body)
		if strings.Replace(whole, string(h.element(0, "", false)), "", 1) != body {
			t.Fatalf("%q became %q", body, whole)
		}
		for a := range len(body) + 1 {
			for b := a; b <= len(body); b++ {
				for _, length := range []int{-1, len(body)} {
					s := streamed(t, h, body, []int{a, b}, length)
					if string(s.body) != whole {
						t.Fatalf("%q in parts at %d and %d gave %q, want %q", body, a, b, s.body, whole)
					}
					if length >= 0 && s.get("content-length") != strconv.Itoa(len(whole)) {
						t.Fatalf("%q: Content-Length is %s of %d", body, s.get("content-length"), len(whole))
					}
				}
			}
		}
	}
}

// FuzzInject: whatever a page is and however it is cut, the client gets it with the script once, and the responder
// gets credit for its own bytes only.
func FuzzInject(f *testing.F) {
	f.Add(page, uint64(1), 0)
	f.Add("<script></body></script></html>", uint64(7), 3)
	f.Add("<a b='</body>", uint64(2), -4)
	f.Fuzz(func(t *testing.T, body string, seed uint64, beyond int) {
		h := testHub(&clock{})
		element := string(h.element(0, "", false))
		if strings.Contains(body, element) {
			t.Skip()
		}
		random := rand.New(rand.NewPCG(seed, seed))
		var cuts []int
		for at := 0; at < len(body); {
			at = min(at+1+random.IntN(9), len(body))
			cuts = append(cuts, at)
		}
		whole := string(streamed(t, h, body, nil, -1).body)
		got := string(streamed(t, h, body, cuts, -1).body)
		if got != whole {
			t.Fatalf("in parts %v: %q, whole: %q", cuts, got, whole)
		}
		if strings.Count(got, element) != 1 || strings.Replace(got, element, "", 1) != body {
			t.Fatalf("%q became %q", body, got)
		}
		x := request("GET", "/", nil)
		if s := serve(h, x, 200, body, "Content-Type: text/html"); string(s.body) != whole {
			t.Fatalf("as one answer %q, else %q", s.body, whole)
		}

		// With a Content-Length that is wrong: up to it the body is the same with the script in it, and what is beyond comes behind
		// that, where the edge cuts.
		length := max(len(body)-beyond%(len(body)+1), 0)
		s := streamed(t, h, body, cuts, length)
		announced, _ := strconv.Atoi(s.get("content-length"))
		if announced != length+len(element) {
			t.Fatalf("Content-Length %d became %d", length, announced)
		}
		if length > len(body) {
			if strings.Replace(string(s.body), element, "", 1) != body {
				t.Fatalf("shorter than announced: %q became %q", body, s.body)
			}
			return
		}
		if sent := string(s.body[:announced]); strings.Replace(sent, element, "", 1) != body[:length] {
			t.Fatalf("%q of length %d became %q", body, length, sent)
		}
	})
}

// Bytes that the edge drops, and heads and chunk sizes that it counts late, make no difference.
func TestCreditOfASlowClient(t *testing.T) {
	h := testHub(&clock{})
	s, inner := &sink{}, &source{}
	x := request("GET", "/", s)
	h.Responder(responder(func(x *exchange.Exchange) {
		x.Source = inner
		_ = x.Writer.Head(200, fields("Content-Type: text/html"))
	})).Respond(x)
	before := strings.Repeat("x", 1000)
	x.Writer.Body([]byte(before + "</body>" + before))
	x.Writer.End()
	element := len(h.element(0, "", false))
	for out := 1; out <= len(s.body); out++ {
		x.Source.Drained(1)
		want := out
		switch {
		case out > 1000+element:
			want = out - element
		case out > 1000:
			want = 1000
		}
		if inner.drained != want {
			t.Fatalf("%d bytes left, and the responder got credit for %d, want %d", out, inner.drained, want)
		}
	}
	x.Source.Cancelled()
	if inner.cancelled != 1 {
		t.Errorf("Cancelled was passed on %d times", inner.cancelled)
	}
}

func TestEnds(t *testing.T) {
	const html = "Content-Type: text/html"
	start := func(refuses bool) (*exchange.Exchange, *sink) {
		s := &sink{refuses: refuses}
		x := request("GET", "/", s)
		testHub(&clock{}).Responder(responder(func(x *exchange.Exchange) { x.Source = &source{} })).Respond(x)
		return x, s
	}
	t.Run("abort", func(t *testing.T) {
		x, s := start(false)
		_ = x.Writer.Head(200, fields(html))
		x.Writer.Body([]byte("begun </bo"))
		x.Writer.Abort(502, "why")
		if string(s.body) != "begun </bo" || s.calls[len(s.calls)-1] != "abort 502why" {
			t.Errorf("got %q, %q", s.body, s.calls)
		}
	})
	t.Run("shorter than announced", func(t *testing.T) {
		x, s := start(false)
		_ = x.Writer.Head(200, fields(html, "Content-Length: 100"))
		x.Writer.Body([]byte("short </"))
		x.Writer.End()
		if string(s.body) != "short </" || s.calls[len(s.calls)-1] != "end" {
			t.Errorf("got %q, %q", s.body, s.calls)
		}
	})
	t.Run("a second head after a refused one", func(t *testing.T) {
		x, s := start(true)
		if x.Writer.Head(200, fields(html, "Content-Length: 3")) == nil || x.Writer.Answer(200, fields(html), []byte("x")) == nil {
			t.Error("the edge's error is lost")
		}
		s.refuses = false
		_ = x.Writer.Head(500, fields("Content-Type: text/plain"))
		x.Writer.Body([]byte("plain </body>"))
		x.Writer.End()
		if string(s.body) != "plain </body>" {
			t.Errorf("got %q", s.body)
		}
	})
	t.Run("hints first", func(t *testing.T) {
		x, s := start(false)
		_ = x.Writer.Head(103, fields("Link: </a>"))
		_ = x.Writer.Head(200, fields(html))
		x.Writer.Flush()
		x.Writer.End()
		if !bytes.HasPrefix(s.body, []byte("<script async")) || !slices.Equal(s.calls, []string{"head", "head", "flush", "end"}) {
			t.Errorf("got %q, %q", s.body, s.calls)
		}
	})
	t.Run("gone before it began", func(t *testing.T) {
		x, s := start(false)
		x.Writer.Abort(http.StatusBadGateway, "")
		if len(s.body) > 0 || !slices.Equal(s.calls, []string{"abort 502"}) {
			t.Errorf("got %q, %q", s.body, s.calls)
		}
	})
}
