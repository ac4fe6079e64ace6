package cache

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// source is an application's.
type source struct {
	mu        sync.Mutex
	drained   int
	cancelled int
}

func (s *source) Drained(n int) { s.mu.Lock(); s.drained += n; s.mu.Unlock() }
func (s *source) Cancelled()    { s.mu.Lock(); s.cancelled++; s.mu.Unlock() }

func (s *source) was() (drained, cancelled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drained, s.cancelled
}

// idle is an edge whose client takes nothing.
type idle struct {
	*recorder
	taken, flushes int
}

func (w *idle) Body(p []byte) { w.taken += len(p) }
func (w *idle) Flush()        { w.flushes++ }

// holds has the application hold its exchanges, with s as their Source.
func (r *rig) holds(s exchange.Source) <-chan *exchange.Exchange {
	held := make(chan *exchange.Exchange, 10)
	r.mu.Lock()
	r.answer = func(x *exchange.Exchange) { x.Source = s; held <- x }
	r.mu.Unlock()
	return held
}

// starts sends a request of a client that takes nothing.
func (r *rig) starts(request, fields string) (*exchange.Exchange, *idle) {
	x, w := newExchange(request, parseFields(fields, "\n"))
	q := &idle{recorder: w}
	x.Writer = q
	r.next.Respond(x)
	return x, q
}

// TestSlowLeader: others that wait are no reason to hold more of an answer than can be kept.
func TestSlowLeader(t *testing.T) {
	r, s := newRig(t), &source{}
	held := r.holds(s)
	x, w := r.starts("GET /big", "")
	app := <-held
	r.starts("GET /big", "") // follows
	_ = app.Writer.Head(200, parseFields("Cache-Control: public, max-age=60", "\n"))
	part := make([]byte, 64<<10)
	for range 100 {
		app.Writer.Body(part)
	}
	if n, _ := s.was(); n > int(r.settings.MaxEntry) {
		t.Errorf("of %d bytes %d were credited, and the client has taken none", w.taken, n)
	}
	x.Source.Drained(w.taken)
	if n, _ := s.was(); n != w.taken {
		t.Errorf("of %d bytes that were taken %d were credited", w.taken, n)
	}
}

// TestAnswersToNobody: who makes an answer that nobody gets is told.
func TestAnswersToNobody(t *testing.T) {
	const endless = "Content-Type: text/event-stream"
	t.Run("the client leaves, and the answer is not for who waits", func(t *testing.T) {
		r, s := newRig(t), &source{}
		held := r.holds(s)
		x, _ := r.starts("GET /events", "")
		app := <-held
		r.starts("GET /events", "")
		x.Source.Cancelled()
		if _, n := s.was(); n != 0 {
			t.Error("cancelled while somebody waits")
		}
		_ = app.Writer.Head(200, parseFields(endless, "\n"))
		<-held // who waited goes by itself
		if _, n := s.was(); n != 1 {
			t.Errorf("cancelled %d times", n)
		}
	})
	t.Run("it becomes too large to be kept", func(t *testing.T) {
		r, s := newRig(t), &source{}
		held := r.holds(s)
		x, _ := r.starts("GET /large", "")
		app := <-held
		r.starts("GET /large", "")
		x.Source.Cancelled()
		_ = app.Writer.Head(200, parseFields("Cache-Control: max-age=60", "\n"))
		for range 17 {
			app.Writer.Body(make([]byte, 64<<10))
		}
		<-held
		if _, n := s.was(); n != 1 {
			t.Errorf("cancelled %d times", n)
		}
	})
	t.Run("a refresh", func(t *testing.T) {
		r, s := newRig(t), &source{}
		r.answers(200, "Cache-Control: max-age=10, stale-while-revalidate=100", "x")
		r.ask("GET /e", "")
		r.pass(20 * time.Second)
		held := r.holds(s)
		r.ask("GET /e", "")
		_ = (<-held).Writer.Head(200, parseFields(endless, "\n"))
		if _, n := s.was(); n != 1 {
			t.Errorf("cancelled %d times", n)
		}
	})
	t.Run("all leave", func(t *testing.T) {
		r, s := newRig(t), &source{}
		held := r.holds(s)
		x, _ := r.starts("GET /slow", "")
		<-held
		y, _ := r.starts("GET /slow", "")
		y.Source.Cancelled()
		x.Source.Cancelled()
		if _, n := s.was(); n != 1 {
			t.Errorf("cancelled %d times", n)
		}
	})
	t.Run("the gateway stops", func(t *testing.T) {
		r, s := newRig(t), &source{}
		r.answers(200, "Cache-Control: max-age=10, stale-while-revalidate=100", "x")
		r.ask("GET /e", "")
		r.pass(20 * time.Second)
		held := r.holds(s)
		r.ask("GET /e", "")
		<-held
		r.cache.Stop()
		if _, n := s.was(); n != 1 {
			t.Errorf("cancelled %d times", n)
		}
	})
}

// TestPrivate304: what makes a stored answer one client's is not given to those who wait.
func TestPrivate304(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=10\nETag: \"a\"", "page")
	r.ask("GET /p", "")
	r.pass(20 * time.Second)
	held := r.holds(&source{})
	_, w := r.starts("GET /p", "")
	app := <-held
	_, other := r.starts("GET /p", "Cache-Control: max-stale=5")
	_ = app.Writer.Answer(304, parseFields("ETag: \"a\"\nCache-Control: private\nSet-Cookie: session=1", "\n"), nil)
	r.wait(w.recorder)
	select {
	case <-held: // asks by itself
	case <-other.ended:
		t.Errorf("got %d %v %q", other.status, other.fields, other.recorder.body)
	}
}

// TestRefreshIsOfAll: a stale answer of which a client wants a part is asked for whole.
func TestRefreshIsOfAll(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=10, stale-while-revalidate=100", "0123456789")
	r.ask("GET /r", "")
	r.pass(20 * time.Second)
	held := r.holds(&source{})
	if w := r.ask("GET /r", "Range: bytes=0-1\nIf-Range: \"a\""); w.status != 206 && w.status != 200 {
		t.Errorf("got %d", w.status)
	}
	x := <-held
	if x.Request.Get("range") != nil || x.Request.Get("if-range") != nil {
		t.Errorf("asked with %s", x.Request.Fields)
	}
}

// TestEarlyHints leave at once.
func TestEarlyHints(t *testing.T) {
	r := newRig(t)
	held := r.holds(&source{})
	_, w := r.starts("GET /h", "")
	app := <-held
	_ = app.Writer.Head(103, parseFields("Link: </a>", "\n"))
	app.Writer.Flush()
	if w.flushes != 1 {
		t.Error("103 waits")
	}
}

// TestFieldsOfA304 that cannot be sent are not stored with the answer.
func TestFieldsOfA304(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=10\nETag: \"a\"", "page")
	r.ask("GET /p", "")
	r.pass(20 * time.Second)
	fields := append(parseFields("ETag: \"a\"\nCache-Control: max-age=100", "\n"), exchange.Field{Name: []byte("X-A"), Value: []byte("a\r\nb")})
	r.mu.Lock()
	r.answer = func(x *exchange.Exchange) { _ = x.Writer.Answer(304, fields, nil) }
	r.mu.Unlock()
	if w := r.ask("GET /p", ""); w.status != 200 || string(w.body) != "page" {
		t.Errorf("got %d %q", w.status, w.body)
	}
	r.answers(200, "Cache-Control: max-age=10\nETag: \"b\"", "new")
	if w := r.ask("GET /p", ""); w.status != 200 || string(w.body) != "new" {
		t.Errorf("then %d %q", w.status, w.body)
	}
}

// TestMethodsInOtherCase are not taken for unsafe ones: to an application they may be GET.
func TestMethodsInOtherCase(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=100", "x")
	r.ask("GET /c", "")
	r.ask("get /c", "")
	calls := r.called()
	if r.ask("GET /c", ""); r.called() != calls {
		t.Error("the page was removed")
	}
}

// TestManyVariants: how much an unsafe request has to remove is limited.
func TestManyVariants(t *testing.T) {
	r := newRig(t)
	r.answers(200, "Cache-Control: max-age=100\nVary: User-Agent", "x")
	for i := range mostVariants + 100 {
		r.ask("GET /v", "User-Agent: "+strconv.Itoa(i))
	}
	kept := 0
	for i := range mostVariants + 100 {
		calls := r.called()
		r.answers(200, "Cache-Control: no-store", "x")
		if r.ask("GET /v", "User-Agent: "+strconv.Itoa(i)); r.called() == calls {
			kept++
		}
	}
	if kept > mostVariants || kept < mostVariants/2 {
		t.Errorf("%d are kept", kept)
	}
}
