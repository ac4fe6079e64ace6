package jsonpass

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pyspeed/gateway/exchange"
)

// edge is a Writer that keeps what it is given.
type edge struct {
	status         int
	fields         []string
	body           []byte
	flushed        []int // lengths of body at each Flush
	ended, aborted bool
	abort          int
	heads          int
}

func (e *edge) Head(status int, fields []exchange.Field) error {
	var list []string
	for _, f := range fields {
		if bytes.ContainsAny(f.Value, "\r\n") {
			return errors.New("a bad value")
		}
		list = append(list, string(f.Name)+": "+string(f.Value))
	}
	e.status, e.fields = status, list
	e.heads++
	return nil
}

func (e *edge) Answer(status int, fields []exchange.Field, body []byte) error {
	if err := e.Head(status, fields); err != nil {
		return err
	}
	e.body, e.ended = append(e.body, body...), true
	return nil
}
func (e *edge) Body(p []byte)              { e.body = append(e.body, p...) }
func (e *edge) Flush()                     { e.flushed = append(e.flushed, len(e.body)) }
func (e *edge) End()                       { e.ended = true }
func (e *edge) Abort(status int, _ string) { e.aborted, e.abort = true, status }
func (e *edge) has(line string) bool {
	return strings.Contains("\n"+strings.Join(e.fields, "\n")+"\n", "\n"+line+"\n")
}

// credited is a Source that adds up, whichever goroutine calls.
type credited struct {
	mu        sync.Mutex
	n         int
	cancelled bool
}

func (c *credited) Drained(n int) {
	c.mu.Lock()
	c.n += n
	c.mu.Unlock()
}
func (c *credited) Cancelled() { c.cancelled = true }

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

// rig is a filter and what it counted.
type rig struct {
	*Filter
	budget   *exchange.Budget
	outcomes map[string]int
	failed   []error
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{budget: exchange.NewBudget(64 << 20), outcomes: map[string]int{}}
	e, err := NewEngine(Auto)
	if err != nil {
		t.Fatal(err)
	}
	r.Filter = New(Settings{
		Engine: e, Reencode: []string{"/"}, SortKeys: []string{"/sorted"}, Validate: []string{"/check"}, Except: []string{"/raw"},
		MaxSize: 10_000, Budget: r.budget,
		Answered: func(o string) { r.outcomes["answer "+o]++ }, Asked: func(o string) { r.outcomes["request "+o]++ },
		Failed: func(err error) { r.failed = append(r.failed, err) },
	})
	return r
}

// ask answers one request through the filter.
func (r *rig) ask(t testing.TB, method, path string, a app) (*edge, *credited, *exchange.Exchange) {
	t.Helper()
	e, c := &edge{}, &credited{}
	x := &exchange.Exchange{Writer: e}
	x.Request.Method, x.Request.Path = []byte(method), []byte(path)
	r.Wrap(app(func(x *exchange.Exchange) {
		x.Source = c
		a(x)
	})).Respond(x)
	if r.budget.Held() != 0 && (e.ended || e.aborted) {
		t.Errorf("%s: %d bytes are still held", path, r.budget.Held())
	}
	return e, c, x
}

const (
	loose    = `{"b": "\u00e9", "a": [1, 2.0]}`
	tight    = `{"b":"é","a":[1,2.0]}`
	sorted   = `{"a":[1,2.0],"b":"é"}`
	jsonType = "Content-Type: application/json"
)

// ways are the ways to answer with a body.
func ways(status int, lines []string, body string) map[string]app {
	return map[string]app{
		"answer": func(x *exchange.Exchange) {
			_ = x.Writer.Answer(status, fields(lines...), []byte(body))
		},
		"parts": func(x *exchange.Exchange) {
			_ = x.Writer.Head(status, fields(lines...))
			for _, p := range []string{body[:len(body)/3], body[len(body)/3 : len(body)/2], body[len(body)/2:]} {
				x.Writer.Body([]byte(p))
				x.Writer.Flush()
			}
			x.Writer.End()
		},
	}
}

func TestDocuments(t *testing.T) {
	f := func(path, body, want, outcome string, lines ...string) {
		t.Helper()
		for name, a := range ways(201, append(lines, "X: y"), body) {
			r := newRig(t)
			e, _, _ := r.ask(t, "GET", path, a)
			if string(e.body) != want || e.status != 201 || !e.ended || !e.has("X: y") || e.heads != 1 {
				t.Errorf("%s: %s %v: %d %q %q", name, path, lines, e.status, e.fields, e.body)
			}
			if want != body && e.has(fmt.Sprintf("Content-Length: %d", len(body))) {
				t.Errorf("%s: %v: the length is still the old one", name, lines)
			}
			if (outcome == "") != (len(r.outcomes) == 0) || outcome != "" && r.outcomes["answer "+outcome] != 1 {
				t.Errorf("%s: %s %v %s: counted %v", name, path, lines, body, r.outcomes)
			}
		}
	}
	length := fmt.Sprintf("Content-Length: %d", len(loose))
	f("/", loose, tight, "rewritten", jsonType)
	f("/", loose+"\n", tight, "rewritten", jsonType)
	f("/", loose, tight, "rewritten", jsonType, length)
	f("/sorted/x", loose, sorted, "rewritten", jsonType)
	f("/sorted", tight, sorted, "rewritten", jsonType) // as long as before
	f("/sorted", sorted, sorted, "unchanged", jsonType)
	f("/sortedness", loose, tight, "rewritten", jsonType)
	f("/", tight, tight, "unchanged", jsonType)
	f("/", loose+",", loose+",", "invalid", jsonType)
	f("/", "["+strings.Repeat("1, ", 5000)+"1]", "["+strings.Repeat("1, ", 5000)+"1]", "too_large", jsonType)
	f("/", `{"a": NaN}`, `{"a": NaN}`, "invalid", jsonType)
	f("/", "\"\xe9\" ", "\"\xe9\" ", "invalid", jsonType)
	for _, ok := range []string{
		"application/json; charset=utf-8", `APPLICATION/JSON;charset="UTF-8"`, "application/problem+json", "application/vnd.api+json; ext=x", "text/json",
	} {
		f("/", loose, tight, "rewritten", "Content-Type: "+ok)
	}
	for _, left := range []string{
		"Content-Encoding: gzip", `ETag: "a"`, `ETag: W/"a"`, "Cache-Control: public, no-transform", "Content-Range: bytes 0-1/2", "Content-MD5: x", "Content-Digest: x",
		"Repr-Digest: x", "Digest: x", "Signature: x", "Signature-Input: x", "Accept-Ranges: bytes",
	} {
		f("/", loose, loose, "", jsonType, left)
	}
	f("/", loose, tight, "rewritten", jsonType, "Content-Encoding: identity", "Accept-Ranges: none", "Cache-Control: no-store")
	for _, other := range []string{"text/html", "application/javascript", "application/json; charset=latin-1", "application/jsonx", "+json", "application/json-seq", "text/event-stream"} {
		f("/", loose, loose, "", "Content-Type: "+other)
	}
	f("/", loose, loose, "")
	f("/raw/x", loose, loose, "", jsonType)
}

func TestLeftAloneByStatus(t *testing.T) {
	for _, status := range []int{204, 206, 304} {
		e, _, _ := newRig(t).ask(t, "GET", "/", func(x *exchange.Exchange) { _ = x.Writer.Answer(status, fields(jsonType), []byte(loose)) })
		if string(e.body) != loose {
			t.Errorf("%d: %q", status, e.body)
		}
	}
}

func TestEmptyBody(t *testing.T) {
	for name, a := range ways(200, []string{jsonType}, "") {
		r := newRig(t)
		if e, _, _ := r.ask(t, "GET", "/", a); len(e.body) != 0 || !e.ended || len(r.outcomes) != 0 {
			t.Errorf("%s: %q %v", name, e.body, r.outcomes)
		}
	}
}

// TestHead: the length of GET's answer is not known, and so not said.
func TestHead(t *testing.T) {
	for _, kind := range []string{"application/json", "application/x-ndjson"} {
		for name, a := range map[string]app{
			"answer": func(x *exchange.Exchange) {
				_ = x.Writer.Answer(200, fields("Content-Type: "+kind, "Content-Length: 40"), nil)
			},
			"with a body": func(x *exchange.Exchange) { _ = x.Writer.Answer(200, fields("Content-Type: "+kind), []byte(loose)) },
			"head": func(x *exchange.Exchange) {
				_ = x.Writer.Head(200, fields("Content-Type: "+kind, "Content-Length: 40"))
				x.Writer.End()
			},
		} {
			e, _, _ := newRig(t).ask(t, "HEAD", "/", a)
			if e.has("Content-Length: 40") || !e.has("Content-Type: "+kind) || len(e.body) != 0 || !e.ended {
				t.Errorf("%s: %v %q", name, e.fields, e.body)
			}
		}
	}
	large := "Content-Length: 100000"
	for name, a := range map[string]app{
		"answer": func(x *exchange.Exchange) { _ = x.Writer.Answer(200, fields(jsonType, large), nil) },
		"head":   func(x *exchange.Exchange) { _ = x.Writer.Head(200, fields(jsonType, large)); x.Writer.End() },
	} {
		if e, _, _ := newRig(t).ask(t, "HEAD", "/", a); !e.has(large) || !e.ended {
			t.Errorf("%s, too large: %v", name, e.fields)
		}
	}
}

// TestOtherLength: a body that is not what was announced is the edge's to see to.
func TestOtherLength(t *testing.T) {
	for _, n := range []int{5, 500} {
		announced := fmt.Sprintf("Content-Length: %d", n)
		for name, a := range ways(200, []string{jsonType, announced}, loose) {
			if e, _, _ := newRig(t).ask(t, "GET", "/", a); string(e.body) != loose || !e.has(announced) || !e.ended {
				t.Errorf("%s, %d: %v %q", name, n, e.fields, e.body)
			}
		}
	}
}

func TestTooLargeByItsLength(t *testing.T) {
	r := newRig(t)
	e, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields(jsonType, "Content-Length: 10001"))
		x.Writer.Body([]byte("[1, "))
	})
	if string(e.body) != "[1, " || !e.has("Content-Length: 10001") || r.outcomes["answer too_large"] != 1 || c.n != 0 {
		t.Errorf("%v %q %v, credited %d", e.fields, e.body, r.outcomes, c.n)
	}
	x.Source.Drained(4)
	if c.n != 4 {
		t.Errorf("credited %d of 4", c.n)
	}
}

// TestBudget: what is gathered counts, and when there is no room for it the answer passes.
func TestBudget(t *testing.T) {
	r := newRig(t)
	e, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields(jsonType))
		x.Writer.Body([]byte(`["a", `))
	})
	if r.budget.Held() < 6 || e.heads != 0 || c.n != 6 {
		t.Errorf("holds %d, credited %d", r.budget.Held(), c.n)
	}
	r.budget.SetLimit(0)
	x.Writer.Body([]byte(`"b", `))
	if r.budget.Held() != 0 || string(e.body) != `["a", "b", ` || r.outcomes["answer too_large"] != 1 {
		t.Errorf("holds %d, %q %v", r.budget.Held(), e.body, r.outcomes)
	}
	x.Writer.Body([]byte(`1]`))
	x.Writer.End()
	if string(e.body) != `["a", "b", 1]` || !e.ended || c.n != 6 {
		t.Errorf("%q, credited %d", e.body, c.n)
	}
	x.Source.Drained(len(e.body))
	if c.n != len(e.body) {
		t.Errorf("credited %d of %d", c.n, len(e.body))
	}
}

func TestInformationalAnswersPass(t *testing.T) {
	e, _, _ := newRig(t).ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(103, fields("Link: </a>"))
		_ = x.Writer.Head(200, fields(jsonType))
		x.Writer.Body([]byte(loose))
		x.Writer.End()
	})
	if string(e.body) != tight || e.heads != 2 {
		t.Errorf("%d heads, %q", e.heads, e.body)
	}
}

// TestRefusedHeads: a head that the edge refuses is refused to the responder where that is still listening, and else its answer
// becomes 500, but not before it has ended it.
func TestRefusedHeads(t *testing.T) {
	r := newRig(t)
	e, _, _ := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
		if x.Writer.Answer(200, fields(jsonType, "X: a\nb"), []byte(loose)) == nil || x.Writer.Head(200, fields("X: a\nb")) == nil {
			t.Error("no error")
		}
		_ = x.Writer.Answer(500, fields(jsonType), []byte(loose))
	})
	if e.status != 500 || string(e.body) != tight || len(r.failed) != 0 {
		t.Errorf("%d %q", e.status, e.body)
	}
	for name, more := range map[string]string{"whole": "", "too large": strings.Repeat(" ", 20_000)} {
		for end, abort := range map[string]bool{"ended": false, "aborted": true} {
			r := newRig(t)
			e, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
				if err := x.Writer.Head(200, fields(jsonType, "X: a\nb")); err != nil {
					t.Error(err)
				}
				x.Writer.Body([]byte(loose))
				x.Writer.Body([]byte(more))
				x.Writer.Body([]byte(more))
				x.Writer.Flush()
			})
			if e.aborted || c.n != len(loose)+2*len(more) {
				t.Errorf("%s, %s: aborted %v, credited %d", name, end, e.aborted, c.n)
			}
			if abort {
				x.Writer.Abort(502, "")
			} else {
				x.Writer.End()
			}
			if !e.aborted || e.ended || len(e.body) != 0 || (name != "whole" || !abort) && (e.abort != 500 || len(r.failed) != 1) || r.budget.Held() != 0 {
				t.Errorf("%s, %s: %+v, %v", name, end, e, r.failed)
			}
		}
	}
}

// TestAbort: an answer that fails while it is gathered has not begun, so the client can get a whole one.
func TestAbort(t *testing.T) {
	r := newRig(t)
	e, _, _ := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields(jsonType))
		x.Writer.Body([]byte(loose))
		x.Writer.Abort(502, "")
	})
	if !e.aborted || e.abort != 502 || e.heads != 0 || r.budget.Held() != 0 {
		t.Errorf("%+v, %d held", e, r.budget.Held())
	}
}

func TestCancelled(t *testing.T) {
	_, c, x := newRig(t).ask(t, "GET", "/", func(x *exchange.Exchange) { _ = x.Writer.Head(200, fields(jsonType)) })
	x.Source.Cancelled()
	if !c.cancelled {
		t.Error("the responder is not told")
	}
	x.Writer.Abort(0, "")
}

func TestStreams(t *testing.T) {
	r := newRig(t)
	long := `["` + strings.Repeat("x", 20_000) + `", 1]`
	in := "{\"a\": 1}\n\n{\"b\": \"\\u00e9\"} \r\n \n{oops}\n" + long + "\n[ ]\n[1, 2]"
	want := "{\"a\":1}\n\n{\"b\":\"é\"}\n \n{oops}\n" + long + "\n[]\n[1,2]"
	for _, part := range []int{1, 2, 7, 100, 30_000} {
		for _, kind := range []string{"application/x-ndjson", "application/jsonl; charset=utf-8"} {
			e, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
				_ = x.Writer.Head(200, fields("Content-Type: "+kind, fmt.Sprintf("Content-Length: %d", len(in))))
				for rest := in; len(rest) > 0; {
					n := min(part, len(rest))
					x.Writer.Body([]byte(rest[:n]))
					rest = rest[n:]
				}
				x.Writer.End()
			})
			if string(e.body) != want || !e.ended || len(e.fields) != 1 {
				t.Errorf("in parts of %d: %v %q", part, e.fields, e.body)
			}
			x.Source.Drained(len(e.body))
			if c.n != len(in) {
				t.Errorf("in parts of %d: credited %d of %d", part, c.n, len(in))
			}
		}
	}
	e, _, _ := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Answer(200, fields("Content-Type: application/x-ndjson"), []byte(in))
	})
	if string(e.body) != want || !e.ended {
		t.Errorf("in one: %q", e.body)
	}
	if n := r.outcomes["answer too_large"]; n != 11 || r.outcomes["answer invalid"] != 11 || r.outcomes["answer rewritten"] != 44 {
		t.Errorf("counted %v", r.outcomes)
	}
}

// TestStreamsArrive: a line that is whole leaves when the responder flushes it.
func TestStreamsArrive(t *testing.T) {
	e, _, _ := newRig(t).ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: application/x-ndjson"))
		x.Writer.Body([]byte("[1, 2]\n[3"))
		x.Writer.Flush()
		x.Writer.Body([]byte(", 4]\n"))
		x.Writer.Flush()
		x.Writer.End()
	})
	if string(e.body) != "[1,2]\n[3,4]\n" || len(e.flushed) != 2 || e.flushed[0] != 6 || e.flushed[1] != 12 {
		t.Errorf("%q, flushed %v", e.body, e.flushed)
	}
}

// TestStreamThatIsLonger: what is beyond its Content-Length is never sent.
func TestStreamThatIsLonger(t *testing.T) {
	e, c, x := newRig(t).ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: application/x-ndjson", "Content-Length: 7"))
		x.Writer.Body([]byte("[1, 2]\n[3]\n"))
		x.Writer.Body([]byte("[4]\n"))
		x.Writer.End()
	})
	x.Source.Drained(len(e.body))
	if string(e.body) != "[1,2]\n" || !e.ended || c.n != 15 {
		t.Errorf("%q, credited %d", e.body, c.n)
	}
}

func TestStreamThatIsCut(t *testing.T) {
	e, _, _ := newRig(t).ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields("Content-Type: application/x-ndjson", "Content-Length: 50"))
		x.Writer.Body([]byte("[1, 2]\n[3"))
		x.Writer.End()
	})
	if !e.aborted || e.ended {
		t.Error("a stream that is shorter than announced looks complete")
	}
}

// TestCredit: the responder is never credited with more than it gave, and with all of it in the end.
func TestCredit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		r := newRig(t)
		kind := []string{"application/json", "application/jsonl", "text/plain"}[random.IntN(3)]
		e, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) { _ = x.Writer.Head(200, fields("Content-Type: "+kind)) })
		sent, drained := 0, 0
		drain := func(n int) {
			drained += n
			x.Source.Drained(n)
			if c.n > sent {
				t.Fatalf("credited %d of %d", c.n, sent)
			}
		}
		for range random.IntN(20) {
			p := make([]byte, random.IntN(3_000))
			for i := range p {
				p[i] = " [,1]\n"[random.IntN(6)]
			}
			sent += len(p)
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
		if c.n != sent || r.budget.Held() != 0 {
			t.Fatalf("%s: credited %d of %d, %d bytes held", kind, c.n, sent, r.budget.Held())
		}
	}
}

// TestCreditBeforeRespondReturns: what comes while the responder is still being asked counts as well, also on another goroutine.
func TestCreditBeforeRespondReturns(t *testing.T) {
	r := newRig(t)
	begun, ended := make(chan struct{}), make(chan struct{})
	e, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, fields(jsonType))
		x.Writer.Body([]byte(loose))
		w := x.Writer
		go func() {
			close(begun)
			w.Body([]byte("  "))
			close(ended)
		}()
		<-begun
	})
	<-ended
	if c.n != len(loose)+2 {
		t.Errorf("credited %d of %d", c.n, len(loose)+2)
	}
	x.Writer.End()
	if string(e.body) != tight {
		t.Errorf("%q", e.body)
	}
}

// TestSlowClient: who takes nothing holds the responder up, once a document is beyond what is gathered.
func TestSlowClient(t *testing.T) {
	for _, kind := range []string{"application/json", "application/jsonl"} {
		r := newRig(t)
		_, c, x := r.ask(t, "GET", "/", func(x *exchange.Exchange) { _ = x.Writer.Head(200, fields("Content-Type: "+kind)) })
		for range 1000 {
			x.Writer.Body([]byte(strings.Repeat("[1,2]\n", 100)))
		}
		if c.n > int(r.MaxSize) {
			t.Errorf("%s: credited %d of what nobody took", kind, c.n)
		}
		x.Writer.Abort(0, "")
	}
}

// TestOnlySorted: paths whose keys are sorted need not be named twice.
func TestOnlySorted(t *testing.T) {
	r := newRig(t)
	r.Reencode = nil
	for path, want := range map[string]string{"/sorted": sorted, "/": loose} {
		if e, _, _ := r.ask(t, "GET", path, ways(200, []string{jsonType}, loose)["answer"]); string(e.body) != want {
			t.Errorf("%s: %q", path, e.body)
		}
	}
}

// TestNothingOn: without paths the filter is not there at all.
func TestNothingOn(t *testing.T) {
	next := &next{}
	if r := New(Settings{}).Wrap(next); r != exchange.Responder(next) {
		t.Errorf("wrapped in %T", r)
	}
}

type next struct{ seen []*exchange.Exchange }

func (n *next) Respond(x *exchange.Exchange) { n.seen = append(n.seen, x) }

// still is a Writer that keeps nothing.
type still struct {
	exchange.Writer
	n int
}

func (s *still) Answer(int, []exchange.Field, []byte) error { s.n++; return nil }

func BenchmarkAnswer(b *testing.B) {
	for name, text := range texts() {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.MaxSize = 1 << 20
			r.Answered = func(string) {}
			list, e := fields(jsonType), &still{}
			responder := r.Wrap(app(func(x *exchange.Exchange) { _ = x.Writer.Answer(200, list, text) }))
			x := &exchange.Exchange{}
			x.Request.Method, x.Request.Path = []byte("GET"), []byte("/a")
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				x.Writer = e
				responder.Respond(x)
			}
		})
	}
}
