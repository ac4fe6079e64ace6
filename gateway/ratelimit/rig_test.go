package ratelimit

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/redisstore"
)

// patience is for what happens soon, on any machine.
const patience = 30 * time.Second

// rig is a limiter before an application that answers 200, with a clock of the test's.
type rig struct {
	*Limiter
	t     *testing.T
	log   *log
	mu    sync.Mutex
	clock time.Duration
	ran   int // requests that the application had
}

func newRig(t *testing.T, store *redisstore.Store, rules ...Rule) *rig {
	t.Helper()
	r := &rig{t: t, log: &log{}}
	r.Limiter = New(store, r.time, slog.New(slog.NewTextHandler(r.log, nil)))
	t.Cleanup(r.Close)
	r.configure(rules...)
	return r
}

// configure takes rules, whose plainest parts need not be said.
func (r *rig) configure(rules ...Rule) {
	for i := range rules {
		if rules[i].IPv6Prefix == 0 {
			rules[i].IPv6Prefix = 64
		}
		if rules[i].Keys == 0 {
			rules[i].Keys = 256
		}
	}
	r.Configure(rules)
}

func (r *rig) time() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	r.clock += d
	r.mu.Unlock()
}

func (r *rig) runs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ran
}

// Respond implements exchange.Responder: it is the application.
func (r *rig) Respond(x *exchange.Exchange) {
	r.mu.Lock()
	r.ran++
	r.mu.Unlock()
	x.Source = complete{}
	switch string(x.Request.Path) {
	case "/stream":
		_ = x.Writer.Head(103, nil)
		_ = x.Writer.Head(200, fields("X", "1"))
		x.Writer.Body([]byte("streamed"))
		x.Writer.Flush()
		x.Writer.End()
	case "/shared":
		if sent, ok := exchange.BodyPipe(x.Writer, 0, 3); sent != 3 || !ok {
			r.t.Error("the way of a pipe is hidden")
		}
		if exchange.AnswerShared(x.Writer, 200, fields("Bad Name", "1"), nil) == nil {
			r.t.Error("a bad head was taken")
		}
		_ = exchange.AnswerShared(x.Writer, 200, fields("X", "1"), []byte("shared"))
	case "/bad":
		if x.Writer.Answer(200, fields("Bad Name", "1"), nil) == nil {
			r.t.Error("a bad head was taken")
		}
		x.Writer.Abort(500, "")
	default:
		_ = x.Writer.Answer(200, fields("X", "1"), []byte("hello"))
	}
}

// asked is a request that was made.
type asked struct {
	x     exchange.Exchange
	out   *answer
	ended chan struct{}
}

// ask makes a request, of METHOD path.
func (r *rig) ask(from, what string, pairs ...string) *asked {
	method, path, _ := strings.Cut(what, " ")
	a := &asked{ended: make(chan struct{})}
	a.out = &answer{ended: a.ended}
	a.x = exchange.Exchange{Peer: &exchange.Peer{RemoteAddr: from}, Writer: a.out, Accepted: r.time()}
	a.x.Request.Method, a.x.Request.Path, a.x.Request.Fields = []byte(method), []byte(path), fields(pairs...)
	r.Wrap(r).Respond(&a.x)
	return a
}

// wait waits for the answer.
func (a *asked) wait(t *testing.T) *answer {
	t.Helper()
	select {
	case <-a.ended:
	case <-time.After(patience):
		t.Fatal("no answer")
	}
	return a.out
}

// get makes a request and waits for its answer.
func (r *rig) get(from, what string, pairs ...string) *answer {
	r.t.Helper()
	return r.ask(from, what, pairs...).wait(r.t)
}

// answer is a Writer that remembers.
type answer struct {
	ended  chan struct{}
	status int
	infos  []int
	text   string // fields, one a line
	body   string
	ends   int
	shared int // answers
	piped  int // bytes
}

func (a *answer) Head(status int, list []exchange.Field) error {
	for _, f := range list {
		if bytes.ContainsRune(f.Name, ' ') {
			return fmt.Errorf("bad name %q", f.Name)
		}
	}
	if status < 200 {
		a.infos = append(a.infos, status)
		return nil
	}
	a.status = status
	for _, f := range list {
		a.text += string(f.Name) + ": " + string(f.Value) + "\n"
	}
	return nil
}

func (a *answer) Answer(status int, list []exchange.Field, body []byte) error {
	if err := a.Head(status, list); err != nil {
		return err
	}
	a.Body(body)
	a.End()
	return nil
}

func (a *answer) AnswerShared(status int, list []exchange.Field, body []byte) error {
	err := a.Answer(status, list, body)
	if err == nil {
		a.shared++
	}
	return err
}

func (a *answer) BodyPipe(_, n int) (int, bool) {
	a.piped += n
	return n, true
}
func (a *answer) Body(p []byte) { a.body += string(p) }
func (a *answer) Flush()        {}
func (a *answer) End() {
	a.ends++
	if a.ends == 1 {
		close(a.ended)
	}
}

func (a *answer) Abort(status int, _ string) {
	a.status = status
	a.End()
}

// get returns a field's value.
func (a *answer) get(name string) string {
	for line := range strings.SplitSeq(a.text, "\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && n == name {
			return v
		}
	}
	return ""
}

// log is what was logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (r *rig) metric(line string) {
	r.t.Helper()
	var b bytes.Buffer
	r.WriteMetrics(&b)
	if !strings.Contains(b.String(), line+"\n") {
		r.t.Errorf("no %s in\n%s", line, &b)
	}
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not: %s; the log is\n%s", what, r.log)
		}
	}
}
