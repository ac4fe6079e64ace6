package jsonpass

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

// send brings a body in parts, which the responder gets as an edge that streams gives it; it is whole before where part is 0.
func (r *rig) send(t *testing.T, length int64, body string, part int, lines ...string) (*edge, *next, *exchange.Exchange) {
	t.Helper()
	e, n := &edge{}, &next{}
	x := &exchange.Exchange{Writer: e}
	x.Request.Method, x.Request.Path, x.Request.Fields, x.Request.ContentLength = []byte("POST"), []byte("/check/it"), fields(lines...), length
	x.Body = exchange.NewBody(100, r.budget, t.TempDir())
	t.Cleanup(x.Body.Close)
	if part == 0 {
		if err := x.Body.Stage([]byte(body)); err != nil {
			t.Fatal(err)
		}
		x.Body.Finish()
	}
	r.Wrap(n).Respond(x)
	for part > 0 && !e.ended {
		if len(body) == 0 {
			x.Body.Finish()
			break
		}
		k := min(part, len(body))
		if err := x.Body.Append([]byte(body[:k])); err != nil {
			t.Fatal(err)
		}
		body = body[k:]
	}
	return e, n, x
}

func TestRequests(t *testing.T) {
	long := "[" + strings.Repeat("1, ", 2000) + "1]"
	f := func(passes bool, outcome, body string, lines ...string) {
		t.Helper()
		for _, part := range []int{0, 1, 7, 1000, 100_000} {
			for _, length := range []int64{int64(len(body)), -1} {
				if len(body) == 0 && length == 0 {
					continue // then there is no Body
				}
				r := newRig(t)
				e, n, x := r.send(t, length, body, part, lines...)
				if len(n.seen) == 1 != passes || e.ended == passes {
					t.Errorf("%q, %v in parts of %d: passed %d times, %d %q", body, lines, part, len(n.seen), e.status, e.body)
					continue
				}
				if outcome == "" != (len(r.outcomes) == 0) || outcome != "" && r.outcomes["request "+outcome] != 1 {
					t.Errorf("%q in parts of %d: counted %v", body, part, r.outcomes)
				}
				if x.Source == nil && !passes {
					t.Error("the edge has nobody to report to")
				}
				if passes {
					if got, end, err := n.seen[0].Body.Next(nil, 1<<20); string(got) != body || !end || err != nil {
						// Where it passed before its end only the rest is missing.
						if part == 0 || outcome != "" && outcome != outcomeTooLarge || !strings.HasPrefix(body, string(got)) {
							t.Errorf("in parts of %d: the body became %q, %v, %v", part, got, end, err)
						}
					}
					continue
				}
				var problem struct {
					Title, Detail        string
					Status               int
					Line, Column, Offset int64
				}
				if err := json.Unmarshal(e.body, &problem); err != nil || e.status != 400 || !e.has("Content-Type: application/problem+json") || problem.Status != 400 {
					t.Errorf("%v: %d %v %q", err, e.status, e.fields, e.body)
				}
				if want := check([]byte(body), 1000); problem.Line != want.Line || problem.Column != want.Column || problem.Offset != want.Offset || !strings.Contains(problem.Detail, want.Reason) {
					t.Errorf("%q: %+v, want %v", body, problem, want)
				}
			}
		}
	}
	f(true, "valid", `{"a": [1, 2.5, "é"]}`, jsonType)
	f(true, "valid", long, jsonType)
	f(true, "valid", "["+strings.Repeat(" ", 9_998)+"]", jsonType) // the limit
	f(true, "valid", "\ufeff[]", jsonType)
	f(true, "valid", "", jsonType)
	f(true, "valid", `{}`, "Content-Type: application/vnd.api+json;charset=utf-8")
	f(false, "invalid", `{"a": [1, 2.5, "é"}`, jsonType)
	f(false, "invalid", `{"a": "b"`, jsonType)
	f(false, "invalid", " ", jsonType)
	f(false, "invalid", "a=b&c=d", jsonType)
	f(false, "invalid", long+"]", jsonType)
	f(false, "invalid", strings.Repeat("[", MaxDepth-10), jsonType)
	f(false, "invalid", "{'a': \"\\x\"}", "Content-Type: application/problem+json")
	f(true, "", "a=b&c=d", "Content-Type: application/x-www-form-urlencoded")
	f(true, "", "a=b&c=d")
	f(true, "", "a=b", jsonType, "Content-Encoding: gzip")
	f(true, "", "\xff\xfe", "Content-Type: application/json; charset=utf-16")
	f(true, "", "{oops}\n", "Content-Type: application/x-ndjson")
	f(true, "too_large", strings.Repeat("[", 10_001), jsonType)
}

// TestWaits: the responder has nothing before the body is whole, and then all of it.
func TestWaits(t *testing.T) {
	r := newRig(t)
	n, e := &next{}, &edge{}
	x := &exchange.Exchange{Writer: e}
	x.Request.Method, x.Request.Path, x.Request.Fields, x.Request.ContentLength = []byte("POST"), []byte("/check"), fields(jsonType), -1
	x.Body = exchange.NewBody(1000, r.budget, t.TempDir())
	r.Wrap(n).Respond(x)
	for range 300 {
		if err := x.Body.Append([]byte(" [1] "[:1])); err != nil || len(n.seen) > 0 {
			t.Fatal(err, len(n.seen))
		}
	}
	if err := x.Body.Append([]byte("7")); err != nil || len(n.seen) > 0 {
		t.Fatal(err, len(n.seen))
	}
	x.Body.Finish()
	if len(n.seen) != 1 || n.seen[0] == x {
		t.Fatalf("passed %d times", len(n.seen))
	}
	x.Body.Close()
	if r.budget.Held() != 0 {
		t.Error("memory is still held")
	}
}

// TestClientLeavesWhileHeld: the responder is not asked.
func TestClientLeavesWhileHeld(t *testing.T) {
	r := newRig(t)
	n, e := &next{}, &edge{}
	x := &exchange.Exchange{Writer: e}
	x.Request.Method, x.Request.Path, x.Request.Fields, x.Request.ContentLength = []byte("POST"), []byte("/check"), fields(jsonType), 100
	x.Body = exchange.NewBody(1000, r.budget, t.TempDir())
	r.Wrap(n).Respond(x)
	if err := x.Body.Append([]byte("[1, ")); err != nil {
		t.Fatal(err)
	}
	x.Body.Fail(exchange.ErrBodyCut)
	x.Source.Cancelled()
	if !e.aborted || e.abort != 0 || len(n.seen) != 0 {
		t.Errorf("aborted %v, passed %d times", e.aborted, len(n.seen))
	}
	x.Body.Finish() // nobody listens
	x.Body.Close()
}

// TestHeldAnswers: what the responder of a request that was held answers is written anew, and its Source hears of the client.
func TestHeldAnswers(t *testing.T) {
	r := newRig(t)
	r.Validate = []string{"/"}
	e, c := &edge{}, &credited{}
	x := &exchange.Exchange{Writer: e}
	x.Request.Method, x.Request.Path, x.Request.Fields, x.Request.ContentLength = []byte("POST"), []byte("/x"), fields(jsonType), 2
	x.Body = exchange.NewBody(1000, r.budget, t.TempDir())
	var inner *exchange.Exchange
	r.Wrap(app(func(x *exchange.Exchange) {
		inner = x
		x.Source = c
		x.Worker = "3"
	})).Respond(x)
	for _, p := range []string{"[", "]"} {
		if err := x.Body.Append([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	x.Body.Finish()
	if inner == nil {
		t.Fatal("not passed")
	}
	_ = inner.Writer.Head(200, fields("Content-Type: application/jsonl"))
	inner.Writer.Body([]byte("[1, 2]\n"))
	x.Source.Drained(6)
	x.Source.Cancelled()
	inner.Writer.End()
	if string(e.body) != "[1,2]\n" || c.n != 7 || !c.cancelled || x.Worker != "3" {
		t.Errorf("%q, credited %d, cancelled %v, worker %q", e.body, c.n, c.cancelled, x.Worker)
	}
	x.Body.Close()
}

// TestBodyOfADetachedRequest: one goroutine brings the body while another asks; the text is looked at once, and passed once.
func TestBodyOfADetachedRequest(t *testing.T) {
	text := []byte("[" + strings.Repeat(`"abcdefgh", 1, `, 4000) + "1]")
	folder := t.TempDir()
	for range 200 {
		r := newRig(t)
		r.MaxSize = 1 << 20
		e, n := &edge{}, &next{}
		x := &exchange.Exchange{Writer: e}
		x.Request.Method, x.Request.Path, x.Request.Fields, x.Request.ContentLength = []byte("POST"), []byte("/check"), fields(jsonType), int64(len(text))
		x.Body = exchange.NewBody(1<<20, r.budget, folder)
		d := exchange.Detach(x)
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			d.Give(r.Wrap(n))
		}()
		for part := range slices.Chunk(text, 256) {
			if err := x.Body.Append(part); err != nil {
				t.Fatal(err)
			}
		}
		x.Body.Finish()
		<-asked
		if len(n.seen) != 1 || e.ended || r.outcomes["request valid"] != 1 {
			t.Fatalf("passed %d times, answered %d, counted %v", len(n.seen), e.status, r.outcomes)
		}
		x.Body.Close()
	}
}

// FuzzRequest: whatever the parts, who is asked has a valid body, and all of it.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"a": 1}`), uint64(1))
	f.Add([]byte(`{"a": 1`), uint64(2))
	f.Add([]byte(strings.Repeat("[1,", 500)), uint64(3))
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		r := newRig(t)
		random := rand.New(rand.NewPCG(seed, 1))
		e, n := &edge{}, &next{}
		x := &exchange.Exchange{Writer: e}
		x.Request.Path, x.Request.Fields, x.Request.ContentLength = []byte("/check"), fields(jsonType), -1
		x.Body = exchange.NewBody(random.IntN(200), r.budget, t.TempDir())
		defer x.Body.Close()
		r.Wrap(n).Respond(x)
		for rest := body; len(rest) > 0 && !e.ended; {
			k := 1 + random.IntN(len(rest))
			if err := x.Body.Append(rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if !e.ended {
			x.Body.Finish()
		}
		valid := len(body) == 0 || check(body, len(body)) == nil || len(body) > int(r.MaxSize) && len(n.seen) > 0
		if valid != (len(n.seen) == 1) || valid == e.ended {
			t.Fatalf("%q: valid %v, passed %d times, refused %v", body, valid, len(n.seen), e.ended)
		}
		if valid {
			if got, end, err := n.seen[0].Body.Next(nil, len(body)+1); !bytes.Equal(got, body) || !end || err != nil {
				t.Fatalf("%q became %q, %v, %v", body, got, end, err)
			}
		}
	})
}
