package compress

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"pyspeed/gateway/exchange"
)

// edge is a Writer that keeps what it is given.
type edge struct {
	status         int
	fields         []string
	body           []byte
	flushed        []int // lengths of body at each Flush
	ended, aborted bool
	whole          bool // by Answer
}

func (e *edge) Head(status int, fields []exchange.Field) error {
	e.status, e.fields = status, nil
	for _, f := range fields {
		if bytes.ContainsAny(f.Value, "\r\n") {
			return fmt.Errorf("a bad value")
		}
		e.fields = append(e.fields, string(f.Name)+": "+string(f.Value))
	}
	return nil
}

func (e *edge) Answer(status int, fields []exchange.Field, body []byte) error {
	if err := e.Head(status, fields); err != nil {
		return err
	}
	e.body, e.ended, e.whole = append(e.body, body...), true, true
	return nil
}
func (e *edge) Body(p []byte)     { e.body = append(e.body, p...) }
func (e *edge) Flush()            { e.flushed = append(e.flushed, len(e.body)) }
func (e *edge) End()              { e.ended = true }
func (e *edge) Abort(int, string) { e.aborted = true }

func (e *edge) field(name string) string {
	for _, f := range e.fields {
		if n, v, _ := strings.Cut(f, ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// credited is a Source that adds up, whichever goroutine calls.
type credited struct {
	mu sync.Mutex
	n  int
}

func (c *credited) Drained(n int) {
	c.mu.Lock()
	c.n += n
	c.mu.Unlock()
}

func (c *credited) Cancelled() {}

// app answers by a function.
type app func(x *exchange.Exchange)

func (a app) Respond(x *exchange.Exchange) { a(x) }

func fields(lines ...string) []exchange.Field {
	var list []exchange.Field
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		list = append(list, exchange.Field{Name: []byte(name), Value: []byte(value)})
	}
	return list
}

func newFilter() *Filter {
	return New(Settings{
		Codings: []Coding{Zstd, Brotli, Gzip}, Levels: Levels{Gzip: 5, Brotli: 4, Zstd: 3}, MinSize: 100, Except: []string{"/raw"},
	})
}

// ask answers one request through the filter.
func ask(t testing.TB, f *Filter, method, path, accepts string, a app) (*edge, *credited, *exchange.Exchange) {
	t.Helper()
	e, c := &edge{}, &credited{}
	x := &exchange.Exchange{Writer: e}
	x.Request.Method, x.Request.Path = []byte(method), []byte(path)
	if accepts != "-" {
		x.Request.Fields = fields("Accept-Encoding: " + accepts)
	}
	f.Wrap(app(func(x *exchange.Exchange) {
		x.Source = c
		a(x)
	})).Respond(x)
	return e, c, x
}

func decode(t testing.TB, coding string, b []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return string(out)
}

var page = strings.Repeat("all work and no play makes a dull page. ", 100)

func TestWholeAnswers(t *testing.T) {
	f := func(accepts, coding string, status int, lines []string, want ...string) {
		t.Helper()
		e, _, _ := ask(t, newFilter(), "GET", "/", accepts, func(x *exchange.Exchange) {
			if err := x.Writer.Answer(status, fields(lines...), []byte(page)); err != nil {
				t.Fatal(err)
			}
		})
		if got := e.field("content-encoding"); got != coding {
			t.Errorf("%q %v: encoded as %q, want %q", accepts, lines, got, coding)
		}
		if coding == "" || len(e.body) < len(page) {
			if got := decode(t, coding, e.body); got != page {
				t.Errorf("%q: another body", accepts)
			}
		} else {
			t.Errorf("%q: %d bytes of %d", accepts, len(e.body), len(page))
		}
		for _, w := range want {
			if !slicesContain(e.fields, w) {
				t.Errorf("%q %v: %v has no %q", accepts, lines, e.fields, w)
			}
		}
	}
	html := "Content-Type: text/html; charset=utf-8"
	f("gzip", "gzip", 200, []string{html}, "Vary: Accept-Encoding")
	f("br", "br", 200, []string{html})
	f("zstd, br, gzip", "zstd", 200, []string{html})
	f("gzip", "gzip", 404, []string{html})
	f("-", "", 200, []string{html}, "Vary: Accept-Encoding")
	f("", "", 200, []string{html}, "Vary: Accept-Encoding")
	f("gzip", "gzip", 200, []string{html, "Vary: Cookie", "ETag: \"a\""}, "Vary: Cookie, Accept-Encoding", `ETag: W/"a"`)
	f("gzip", "gzip", 200, []string{html, "Vary: accept-encoding", "ETag: W/\"a\""}, "Vary: accept-encoding", `ETag: W/"a"`)
	f("-", "", 200, []string{html, "ETag: \"a\"", "Accept-Ranges: bytes"}, `ETag: "a"`, "Accept-Ranges: bytes")
	f("gzip", "gzip", 200, []string{html, fmt.Sprintf("Content-Length: %d", len(page)), "Accept-Ranges: bytes"})
	// Left alone.
	for _, l := range []string{
		"Content-Encoding: br", "Cache-Control: public, no-transform", "Content-Range: bytes 0-1/2", "Content-MD5: x", "Content-Digest: x",
		"Repr-Digest: x", "Digest: x", "Signature: x", "Signature-Input: x",
	} {
		e, _, _ := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) { _ = x.Writer.Answer(200, fields(html, l), []byte(page)) })
		if len(e.fields) != 2 || string(e.body) != page {
			t.Errorf("%s: %v", l, e.fields)
		}
	}
	f("gzip", "", 200, []string{"Content-Type: image/png"})
	f("gzip", "", 200, nil)
	f("gzip", "", 206, []string{html})
}

func slicesContain(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestTouchesNothingElse(t *testing.T) {
	f := func(method, path string, status int, body string, lines ...string) {
		t.Helper()
		e, _, _ := ask(t, newFilter(), method, path, "gzip", func(x *exchange.Exchange) {
			if err := x.Writer.Answer(status, fields(lines...), []byte(body)); err != nil {
				t.Fatal(err)
			}
		})
		if strings.Join(e.fields, "|") != strings.Join(lines, "|") || string(e.body) != body || e.status != status {
			t.Errorf("%s %s: %d %v %q", method, path, e.status, e.fields, e.body)
		}
	}
	f("GET", "/raw", 200, page, "Content-Type: text/html")
	f("GET", "/raw/below", 200, page, "Content-Type: text/html")
	f("GET", "/", 304, "", "Content-Type: text/html", `ETag: "a"`)
	f("GET", "/", 204, "", "Content-Type: text/html")
	f("GET", "/", 200, page, "Content-Type: text/html", "Content-Length: 5") // the edge cuts it
	e, _, _ := ask(t, newFilter(), "GET", "/rawhide", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Answer(200, fields("Content-Type: text/html"), []byte(page))
	})
	if e.field("content-encoding") != "gzip" {
		t.Error("/rawhide is not below /raw")
	}
}

func TestTooSmall(t *testing.T) {
	e, _, _ := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Answer(200, fields("Content-Type: text/html"), []byte("short"))
	})
	if e.field("content-encoding") != "" || e.field("vary") != "Accept-Encoding" || string(e.body) != "short" {
		t.Errorf("%v %q", e.fields, e.body)
	}
	// Of a stream the size is not known, but where it is announced.
	e, _, _ = ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: text/html", "Content-Length: 5"))
		x.Writer.Body([]byte("short"))
		x.Writer.End()
	})
	if e.field("content-encoding") != "" || string(e.body) != "short" || !e.ended {
		t.Errorf("%v %q", e.fields, e.body)
	}
}

func TestHead(t *testing.T) {
	for name, a := range map[string]app{
		"answer": func(x *exchange.Exchange) {
			_ = x.Writer.Answer(200, fields("Content-Type: text/html", "Content-Length: 4000"), nil)
		},
		"head": func(x *exchange.Exchange) {
			_ = x.Writer.Head(200, fields("Content-Type: text/html", "Content-Length: 4000"))
			x.Writer.End()
		},
	} {
		e, _, _ := ask(t, newFilter(), "HEAD", "/", "gzip", a)
		if e.field("content-encoding") != "gzip" || e.field("content-length") != "" || len(e.body) != 0 || !e.ended || e.aborted {
			t.Errorf("%s: %v %q", name, e.fields, e.body)
		}
	}
}

func TestInformationalAnswersPass(t *testing.T) {
	e, _, _ := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Head(103, fields("Link: </a>"))
		_ = x.Writer.Answer(200, fields("Content-Type: text/html"), []byte(page))
	})
	if e.field("content-encoding") != "gzip" || decode(t, "gzip", e.body) != page {
		t.Errorf("%v", e.fields)
	}
}

func TestRefusedHeads(t *testing.T) {
	e, _, _ := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		if x.Writer.Head(200, fields("Content-Type: text/html", "X: a\nb")) == nil || x.Writer.Answer(200, fields("Content-Type: text/html", "X: a\nb"), []byte(page)) == nil {
			t.Error("no error")
		}
		_ = x.Writer.Answer(500, fields("Content-Type: text/html"), []byte(page))
	})
	if e.status != 500 || decode(t, "gzip", e.body) != page {
		t.Errorf("%d %v", e.status, e.fields)
	}
}

func TestShorterThanAnnounced(t *testing.T) {
	e, _, _ := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: text/html", "Content-Length: 4000"))
		x.Writer.Body([]byte(page[:3000]))
		x.Writer.End()
	})
	if !e.aborted || e.ended {
		t.Error("an answer that was cut looks complete")
	}
}

func TestLongerThanAnnounced(t *testing.T) {
	e, _, _ := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: text/html", "Content-Length: 1000"))
		x.Writer.Body([]byte(page))
		x.Writer.End()
	})
	if got := decode(t, "gzip", e.body); got != page[:1000] {
		t.Errorf("%d bytes", len(got))
	}
}

// TestFlush: what a stream flushed can be read, and no more has to come for it.
func TestFlush(t *testing.T) {
	for _, coding := range []string{"gzip", "br", "zstd"} {
		e, _, _ := ask(t, newFilter(), "GET", "/", coding, func(x *exchange.Exchange) {
			_ = x.Writer.Head(200, fields("Content-Type: text/event-stream"))
			for i := range 3 {
				x.Writer.Body(fmt.Appendf(nil, "data: %d\n\n", i))
				x.Writer.Flush()
			}
			x.Writer.End()
		})
		for i := range 3 {
			want := "data: " + fmt.Sprint(i) + "\n\n"
			if got := readSome(t, coding, e.body[:e.flushed[i]]); !strings.HasSuffix(got, want) {
				t.Errorf("%s: after flush %d there is %q", coding, i, got)
			}
		}
	}
}

// readSome decodes as much as there is.
func readSome(t *testing.T, coding string, b []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(r) // ends in the middle
	return string(out)
}

// TestSlowClient: who takes nothing holds the responder up, once an encoder keeps what it may keep.
func TestSlowClient(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	for _, coding := range []string{"gzip", "br", "zstd", "identity"} {
		_, c, x := ask(t, newFilter(), "GET", "/", coding, func(x *exchange.Exchange) {
			_ = x.Writer.Head(200, fields("Content-Type: text/html"))
		})
		p := make([]byte, 64<<10)
		for range 64 {
			_, _ = random.Read(p) // does not get smaller
			x.Writer.Body(p)
			x.Writer.Flush()
		}
		if c.n > 128<<10 {
			t.Errorf("%s: credited %d of 4 MiB that nobody took", coding, c.n)
		}
		x.Writer.Abort(0, "")
	}
}

// TestCredit: the responder is never credited with more than it gave, and with all of it in the end.
func TestCredit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		coding := []string{"gzip", "br", "zstd", "identity"}[random.IntN(4)]
		e, c, x := ask(t, newFilter(), "GET", "/", coding, func(x *exchange.Exchange) {
			_ = x.Writer.Head(200, fields("Content-Type: text/html"))
		})
		var sent bytes.Buffer
		drained := 0
		drain := func(n int) {
			drained += n
			x.Source.Drained(n)
			if c.n > sent.Len() {
				t.Fatalf("credited %d of %d", c.n, sent.Len())
			}
		}
		for range random.IntN(20) {
			p := make([]byte, random.IntN(40_000))
			for i := range p {
				p[i] = "abcdefgh"[random.IntN(1+random.IntN(8))]
			}
			sent.Write(p)
			x.Writer.Body(p)
			if random.IntN(3) == 0 {
				x.Writer.Flush()
			}
			if held := len(e.body) - drained; held > 0 && random.IntN(2) == 0 {
				drain(1 + random.IntN(held))
			}
		}
		x.Writer.End()
		if held := len(e.body) - drained; held > 0 {
			drain(held)
		}
		if c.n != sent.Len() {
			t.Fatalf("%s: credited %d of %d", coding, c.n, sent.Len())
		}
		name := coding
		if name == "identity" {
			name = ""
		}
		if decode(t, name, e.body) != sent.String() {
			t.Fatalf("%s: another body", coding)
		}
	}
}

// TestCreditBeforeRespondReturns: what comes while the responder is still being asked counts as well.
func TestCreditBeforeRespondReturns(t *testing.T) {
	e, c, x := ask(t, newFilter(), "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: text/html"))
		x.Writer.Body([]byte(page))
	})
	x.Writer.End()
	x.Source.Drained(len(e.body))
	if c.n != len(page) {
		t.Errorf("credited %d of %d", c.n, len(page))
	}
}

func TestAbortLetsTheEncoderGo(t *testing.T) {
	f := newFilter()
	e, _, _ := ask(t, f, "GET", "/", "gzip", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: text/html"))
		x.Writer.Body([]byte(page))
		x.Writer.Abort(502, "")
	})
	if !e.aborted {
		t.Error("not aborted")
	}
	// The next one starts anew.
	e, _, _ = ask(t, f, "GET", "/", "gzip", func(x *exchange.Exchange) { _ = x.Writer.Answer(200, fields("Content-Type: text/html"), []byte(page)) })
	if decode(t, "gzip", e.body) != page {
		t.Error("something of the one before")
	}
}

// FuzzBody: however a body is cut and flushed, it decodes to itself.
func FuzzBody(f *testing.F) {
	f.Add([]byte(page), uint64(1), uint8(0))
	f.Add([]byte{}, uint64(2), uint8(1))
	f.Add([]byte("x"), uint64(3), uint8(2))
	filter := newFilter()
	f.Fuzz(func(t *testing.T, body []byte, seed uint64, kind uint8) {
		coding := []string{"gzip", "br", "zstd"}[kind%3]
		random := rand.New(rand.NewPCG(seed, 1))
		e, _, _ := ask(t, filter, "GET", "/", coding, func(x *exchange.Exchange) {
			_ = x.Writer.Head(200, fields("Content-Type: text/plain"))
			for rest := body; len(rest) > 0; {
				n := 1 + random.IntN(len(rest))
				x.Writer.Body(rest[:n])
				rest = rest[n:]
				if random.IntN(2) == 0 {
					x.Writer.Flush()
				}
			}
			x.Writer.End()
		})
		if got := decode(t, coding, e.body); got != string(body) {
			t.Fatalf("%s: %d bytes became %d", coding, len(body), len(got))
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	body := []byte(page)
	for _, coding := range []string{"gzip", "br", "zstd", "identity"} {
		b.Run(coding, func(b *testing.B) {
			f := newFilter()
			html := fields("Content-Type: text/html")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				ask(b, f, "GET", "/", coding, func(x *exchange.Exchange) { _ = x.Writer.Answer(200, html, body) })
			}
		})
	}
}
