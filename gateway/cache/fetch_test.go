package cache

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// held has the application keep its exchanges until a test answers them.
func (r *rig) held() chan *exchange.Exchange {
	calls := make(chan *exchange.Exchange, 2000)
	r.mu.Lock()
	r.answer = func(x *exchange.Exchange) { calls <- x }
	r.mu.Unlock()
	return calls
}

// begin sends a request whose answer comes later.
func (r *rig) begin(request, fields string) *recorder {
	x, w := newExchange(request, parseFields(fields, "\n"))
	r.next.Respond(x)
	return w
}

func answer(t *testing.T, x *exchange.Exchange, status int, fields, body string) {
	t.Helper()
	if err := x.Writer.Answer(status, parseFields(fields, "\n"), []byte(body)); err != nil {
		t.Error(err)
	}
}

func (r *rig) next1(calls chan *exchange.Exchange) *exchange.Exchange {
	r.t.Helper()
	select {
	case x := <-calls:
		return x
	case <-time.After(30 * time.Second):
		r.t.Fatal("the application is not asked")
		return nil
	}
}

// TestStampede: a thousand requests for the same cost one call, and get equal bytes.
func TestStampede(t *testing.T) {
	for _, streamed := range []bool{false, true} {
		r := newRig(t)
		calls := r.held()
		var all []*recorder
		for range 1000 {
			all = append(all, r.begin("GET /", ""))
		}
		x := r.next1(calls)
		body := strings.Repeat("0123456789", 100)
		if streamed {
			_ = x.Writer.Head(200, parseFields("Cache-Control: max-age=60", "\n"))
			for i := range 10 {
				x.Writer.Body([]byte(body[i*100 : i*100+100]))
				x.Writer.Flush()
			}
			x.Writer.End()
		} else {
			answer(t, x, 200, "Cache-Control: max-age=60", body)
		}
		for i, w := range all {
			r.wait(w)
			if string(w.body) != body || w.status != 200 {
				t.Fatalf("the %dth got %d, %d bytes", i, w.status, len(w.body))
			}
		}
		if r.called() != 1 || r.counts["collapsed"] != 999 {
			t.Errorf("%d calls, %v", r.called(), r.counts)
		}
		if held := r.cache.Budget.Held(); held != 0 {
			t.Errorf("%d bytes of the budget are held", held)
		}
	}
}

// TestFollowersOfWhatIsPrivate: who waits for an answer that is another's goes to the application at once, beside the
// others; nobody gets another's, and the next ones do not wait.
func TestFollowersOfWhatIsPrivate(t *testing.T) {
	f := func(name string, end func(x *exchange.Exchange, body string)) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			calls := r.held()
			var all []*recorder
			for range 50 {
				all = append(all, r.begin("GET /", ""))
			}
			end(r.next1(calls), "answer 0")
			var waiting []*exchange.Exchange
			for len(waiting) < 49 {
				waiting = append(waiting, r.next1(calls)) // all of them, before any is answered
			}
			for i, x := range waiting {
				end(x, fmt.Sprintf("answer %d", i+1))
			}
			seen := map[string]bool{}
			for _, w := range all {
				r.wait(w)
				if seen[string(w.body)] || !w.aborted && len(w.body) == 0 {
					t.Fatalf("%q came twice", w.body)
				}
				if !w.aborted {
					seen[string(w.body)] = true
				}
			}
		})
	}
	f("private", func(x *exchange.Exchange, body string) { answer(t, x, 200, "Cache-Control: private", body) })
	f("cookie", func(x *exchange.Exchange, body string) {
		answer(t, x, 200, "Cache-Control: max-age=60\nSet-Cookie: a=b", body)
	})
	f("nothing said", func(x *exchange.Exchange, body string) { answer(t, x, 200, "", body) })
	f("stream", func(x *exchange.Exchange, body string) {
		_ = x.Writer.Head(200, parseFields("Content-Type: text/event-stream\nCache-Control: max-age=60", "\n"))
		x.Writer.Body([]byte(body))
		x.Writer.End()
	})
	f("no-cache", func(x *exchange.Exchange, body string) {
		answer(t, x, 200, "Cache-Control: no-cache\nETag: \"1\"", body)
	})
	f("abort", func(x *exchange.Exchange, _ string) { x.Writer.Abort(503, "") })
}

// TestNobodyWaitsForLong: a mark lets the next requests for what is private go beside each other.
func TestNobodyWaitsForLong(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: private", "x")
	r.ask("GET /", "")
	calls := r.held()
	first, second := r.begin("GET /", ""), r.begin("GET /", "")
	a, b := r.next1(calls), r.next1(calls)
	answer(t, b, 200, "Cache-Control: max-age=60", "b") // it has become everybody's
	answer(t, a, 200, "Cache-Control: private", "a")
	r.wait(first)
	r.wait(second)
	if got := r.ask("GET /", ""); string(got.body) != "b" {
		t.Errorf("got %q", got.body)
	}
}

// TestWait: who has waited long enough goes to the application, and the answer that came too late is stored.
func TestWait(t *testing.T) {
	r := newRig(t)
	r.settings.Wait = time.Millisecond
	calls := r.held()
	first, second := r.begin("GET /", ""), r.begin("GET /", "")
	slow := r.next1(calls)
	answer(t, r.next1(calls), 200, "Cache-Control: private", "own")
	r.wait(second)
	answer(t, slow, 200, "Cache-Control: max-age=60", "slow")
	r.wait(first)
	if string(second.body) != "own" || string(first.body) != "slow" {
		t.Errorf("%q, %q", first.body, second.body)
	}
	if got := r.ask("GET /", ""); string(got.body) != "slow" {
		t.Errorf("got %q", got.body)
	}
}

// TestVariantsDoNotWaitForEachOther: followers that turn out to want others become flights of their own, one each.
func TestVariantsDoNotWaitForEachOther(t *testing.T) {
	r := newRig(t)
	calls := r.held()
	var all []*recorder
	for i := range 40 {
		all = append(all, r.begin("GET /", fmt.Sprintf("X-L: %d", i%4)))
	}
	answer(t, r.next1(calls), 200, "Cache-Control: max-age=60\nVary: X-L", "0")
	for range 3 {
		x := r.next1(calls)
		answer(t, x, 200, "Cache-Control: max-age=60\nVary: X-L", string(x.Request.Get("x-l")))
	}
	for i, w := range all {
		r.wait(w)
		if want := fmt.Sprint(i % 4); string(w.body) != want {
			t.Errorf("the %dth got %q, want %q", i, w.body, want)
		}
	}
	if r.called() != 4 {
		t.Errorf("%d calls", r.called())
	}
}

// TestLeaverIsReplaced: the client whose request others wait for leaves; they get their answer.
func TestLeaverIsReplaced(t *testing.T) {
	r := newRig(t)
	calls := r.held()
	x, first := newExchange("GET /", nil)
	r.next.Respond(x)
	second := r.begin("GET /", "")
	inner := r.next1(calls)
	x.Source.Cancelled()
	answer(t, inner, 200, "Cache-Control: max-age=60", "both")
	r.wait(first)
	r.wait(second)
	if string(second.body) != "both" || r.called() != 1 {
		t.Errorf("%q after %d calls", second.body, r.called())
	}
}

// cancellable counts what a responder's Source is told.
type cancellable struct {
	mu                 sync.Mutex
	drained, cancelled int
}

func (c *cancellable) Drained(n int) { c.mu.Lock(); c.drained += n; c.mu.Unlock() }
func (c *cancellable) Cancelled()    { c.mu.Lock(); c.cancelled++; c.mu.Unlock() }

// TestCredit: the responder is told of as many bytes as it gave, whoever takes them, and of a client that left alone.
func TestCredit(t *testing.T) {
	r := newRig(t)
	source := &cancellable{}
	var inner *exchange.Exchange
	next := r.cache.Wrap(r.settings, responder(func(x *exchange.Exchange) { x.Source = source; inner = x }))
	x, _ := newExchange("GET /", nil)
	x.Writer = &sink{} // which reports nothing by itself
	next.Respond(x)
	_ = inner.Writer.Head(200, parseFields("Cache-Control: max-age=60", "\n"))
	inner.Writer.Body(make([]byte, 1000))
	inner.Writer.Body(make([]byte, 500))
	told := func(want int) {
		t.Helper()
		if source.drained != want {
			t.Errorf("told of %d bytes, want %d", source.drained, want)
		}
	}
	told(0)
	x.Source.Drained(1200)
	told(1200)
	_ = r.followed(next)
	inner.Writer.Body(make([]byte, 100)) // somebody waits, and there is room: nobody is held up
	told(1600)
	x.Source.Drained(400)
	told(1600)
	x.Source.Cancelled() // nobody is told, as somebody waits
	inner.Writer.Body(make([]byte, 7))
	told(1607)
	if source.cancelled != 0 {
		t.Error("cancelled although somebody waits")
	}
	other, _ := newExchange("GET /alone", nil)
	next.Respond(other)
	other.Source.Cancelled()
	if source.cancelled != 1 {
		t.Errorf("cancelled %d times", source.cancelled)
	}
	inner.Writer.Abort(0, "")
}

// followed has a second client ask for "/".
func (r *rig) followed(next exchange.Responder) *recorder {
	x, w := newExchange("GET /", nil)
	next.Respond(x)
	return w
}

// TestPurgeUnderWay: what was asked for before a purge, or a change, is not kept after it.
func TestPurgeUnderWay(t *testing.T) {
	for name, purge := range map[string]func(r *rig){
		"all":    func(r *rig) { r.purge(Purge{All: true}) },
		"url":    func(r *rig) { r.purge(Purge{URL: "http://EXAMPLE.com:80/%61"}) },
		"path":   func(r *rig) { r.purge(Purge{URL: "/a"}) },
		"prefix": func(r *rig) { r.purge(Purge{Prefix: "/"}) },
		"tag":    func(r *rig) { r.purge(Purge{Tag: "t"}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			calls := r.held()
			before := r.begin("GET /a", "")
			x := r.next1(calls)
			purge(r)
			after := r.begin("GET /a", "") // it must not wait for what is old
			y := r.next1(calls)
			answer(t, y, 200, "Cache-Control: max-age=60\nCache-Tag: t", "new")
			answer(t, x, 200, "Cache-Control: max-age=60\nCache-Tag: t", "old")
			r.wait(before)
			r.wait(after)
			if got := r.ask("GET /a", ""); string(got.body) != "new" || string(before.body) != "old" || string(after.body) != "new" {
				t.Errorf("before %q, after %q, then %q", before.body, after.body, got.body)
			}
			purge(r)
			r.answers(200, "", "newest")
			if got := r.ask("GET /a", ""); string(got.body) != "newest" {
				t.Errorf("after a purge: %q", got.body)
			}
		})
	}
}

func (r *rig) purge(p Purge) {
	r.t.Helper()
	if _, err := r.cache.Purge(p); err != nil {
		r.t.Error(err)
	}
}

func TestPurgeSelects(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=60\nSurrogate-Key: one two\nCache-Tag: th ree, four", "x")
	fill := func() {
		for _, target := range []string{"/a", "/a?q=1", "/ab", "//other.example/a"} {
			r.ask("GET "+target, "")
		}
	}
	f := func(want int, p Purge) {
		t.Helper()
		fill()
		if got, err := r.cache.Purge(p); got != want || err != nil {
			t.Errorf("%+v removes %d, want %d", p, got, want)
		}
	}
	f(2, Purge{URL: "/a"})
	f(1, Purge{URL: "http://other.example/a"})
	f(1, Purge{URL: "/a?q=1"})
	f(0, Purge{URL: "/a?q=2"})
	f(4, Purge{Prefix: "/a"})
	f(3, Purge{Prefix: "http://example.com/a"})
	f(1, Purge{Prefix: "/ab"})
	f(4, Purge{Tag: "two"})
	f(4, Purge{Tag: "th ree"})
	f(0, Purge{Tag: "th"})
	f(4, Purge{All: true})
	if got := r.ask("GET /a", ""); got.fields["surrogate-key"] != "" || got.fields["cache-tag"] != "" {
		t.Errorf("the client got the tags: %v", got.fields)
	}
}

// TestLargeBodies: what is larger than max_entry passes, and who waits for it is let go; what fits is given in pieces.
func TestLargeBodies(t *testing.T) {
	r := newRig(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // 320 KB
	r.answers(200, "Cache-Control: max-age=60", string(body))
	for range 3 {
		if got := r.ask("GET /", ""); !bytes.Equal(got.body, body) || got.fields["content-length"] != "" && got.fields["content-length"] != "320000" {
			t.Fatalf("%d bytes came", len(got.body))
		}
	}
	if r.called() != 1 {
		t.Errorf("%d calls", r.called())
	}
	r.settings.MaxEntry = 100_000
	calls := r.held()
	first, second := r.begin("GET /big", ""), r.begin("GET /big", "")
	stream := func(x *exchange.Exchange) {
		_ = x.Writer.Head(200, parseFields("Cache-Control: max-age=60", "\n"))
		for range 4 {
			x.Writer.Body(body[:50_000])
		}
	}
	x := r.next1(calls)
	stream(x)
	y := r.next1(calls) // before the first has ended
	stream(y)
	y.Writer.End()
	x.Writer.End()
	r.wait(first)
	r.wait(second)
	if len(first.body) != 200_000 || len(second.body) != 200_000 || r.cache.Budget.Held() != 0 {
		t.Errorf("%d and %d bytes, %d held", len(first.body), len(second.body), r.cache.Budget.Held())
	}
}

// TestCutAnswersAreNotKept: fewer bytes than announced, or an abort.
func TestCutAnswersAreNotKept(t *testing.T) {
	r := newRig(t)
	for i, end := range []func(w exchange.Writer){func(w exchange.Writer) { w.End() }, func(w exchange.Writer) { w.Abort(0, "") }} {
		r.answer = func(x *exchange.Exchange) {
			_ = x.Writer.Head(200, parseFields("Cache-Control: max-age=60\nContent-Length: 10", "\n"))
			x.Writer.Body([]byte("12345"))
			end(x.Writer)
		}
		r.ask("GET /", "")
		r.ask("GET /", "")
		if want := 2 * (i + 1); r.called() != want {
			t.Errorf("%d calls, want %d", r.called(), want)
		}
	}
}

// TestUnsafeThatIsCut: an unsafe request without an answer may have changed what is stored.
func TestUnsafeThatIsCut(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=60", "old")
	r.ask("GET /", "")
	r.answer = func(x *exchange.Exchange) { x.Writer.Abort(502, "") }
	r.ask("POST /", "")
	r.answers(200, "Cache-Control: max-age=60", "new")
	if got := r.ask("GET /", ""); string(got.body) != "new" {
		t.Errorf("got %q", got.body)
	}
}

// TestStaleOnAbort: an application that cannot be reached is a failure too.
func TestStaleOnAbort(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=10, stale-if-error=60", "old")
	r.ask("GET /", "")
	r.pass(20 * time.Second)
	r.answer = func(x *exchange.Exchange) { x.Writer.Abort(503, "") }
	if got := r.ask("GET /", ""); string(got.body) != "old" || got.status != 200 || got.aborted {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

// TestNothingIsLeft: once all requests have ended nothing of them is noted any more, whatever their order.
func TestNothingIsLeft(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: private", "x")
	r.ask("GET /", "") // from now on nobody waits
	calls := r.held()
	var all []*recorder
	for range 4 {
		all = append(all, r.begin("GET /", ""))
	}
	var open []*exchange.Exchange
	for range 4 {
		open = append(open, r.next1(calls))
	}
	r.cache.mu.Lock()
	n := 0
	for f := r.cache.active["http://example.com/"]; f != nil; f = f.after {
		n++
	}
	r.cache.mu.Unlock()
	if n != 4 {
		t.Errorf("%d fetches are noted", n)
	}
	for _, i := range []int{1, 0, 3, 2} {
		answer(t, open[i], 200, "Cache-Control: private", "x")
	}
	for _, w := range all {
		r.wait(w)
	}
	if len(r.cache.active)+len(r.cache.flights) > 0 {
		t.Errorf("%d fetches and %d flights are left", len(r.cache.active), len(r.cache.flights))
	}
}
