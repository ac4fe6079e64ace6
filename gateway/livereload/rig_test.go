package livereload

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/connedge"
	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
)

// patience bounds a failure; nothing waits that long when all is well.
const patience = 30 * time.Second

// rig is a hub behind a real edge, in front of an application that answers every request with a page.
type rig struct {
	t        *testing.T
	hub      *Hub
	url      string
	budget   *exchange.Budget
	registry *http1.Registry
	endHub   context.CancelFunc
	hubEnded chan struct{}
	client   *http.Client
}

func newRig(t *testing.T, app exchange.Responder) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clock := http1.NewClock()
	r := &rig{
		t: t, url: "http://" + ln.Addr().String(), hub: NewHub(Settings{Browser: true, Now: clock.Now}),
		budget: exchange.NewBudget(64 << 20), registry: http1.NewRegistry(clock, 1000), hubEnded: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}, Timeout: patience},
	}
	if app == nil {
		app = responder(func(x *exchange.Exchange) {
			x.Source = nothing{}
			_ = x.Writer.Answer(200, fields("Content-Type: text/html"), []byte(page))
		})
	}
	cfg := &http1.Config{
		Body: 1 << 20, BodyMemory: 64 << 10, SpoolDir: t.TempDir(), Responder: r.hub.Responder(app),
		HeaderTimeout: time.Minute, BodyTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute,
		Budget: r.budget, Clock: clock, Done: func(*exchange.Exchange) {},
	}
	edge := connedge.New(ln, http1.NewShared(cfg), r.registry, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	hubCtx, endHub := context.WithCancel(ctx)
	r.endHub = endHub
	var running sync.WaitGroup
	running.Go(func() { r.registry.Run(ctx) })
	running.Go(func() { defer close(r.hubEnded); r.hub.Run(hubCtx) })
	running.Go(func() { _ = edge.Serve() })
	t.Cleanup(func() {
		edge.Stop()
		endHub()
		<-r.hubEnded
		gone := r.registry.Shutdown()
		r.client.CloseIdleConnections()
		select {
		case <-gone: // no stream may hold it up
		case <-time.After(patience):
			t.Error("connections are left after the hub has ended")
		}
		r.registry.CloseAll()
		edge.Close()
		cancel()
		running.Wait()
		if held := r.budget.Held(); held != 0 {
			t.Errorf("%d bytes of the budget are still held", held)
		}
	})
	return r
}

// get asks for a path; lines are fields.
func (r *rig) get(path string, lines ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range fields(lines...) {
		req.Header.Set(string(f.Name), string(f.Value))
		if exchange.EqualFold(f.Name, "host") {
			req.Host = string(f.Value)
		}
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (r *rig) text(path string, lines ...string) string {
	r.t.Helper()
	b, err := io.ReadAll(r.get(path, lines...).Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// missed is what a page as of a position has missed.
func (r *rig) missed(at string) (list []message) {
	r.t.Helper()
	text := r.text(eventsPath+"?at="+at, "Accept: application/json")
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		r.t.Fatalf("%q: %v", text, err)
	}
	return list
}

// events is a stream as a browser reads it.
type events struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
	id   string // the last one
}

func (r *rig) listen(path string, lines ...string) *events {
	r.t.Helper()
	res := r.get(path, append(lines, "Accept: text/event-stream")...)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		r.t.Fatalf("no stream: %s %v", res.Status, res.Header)
	}
	return &events{t: r.t, body: res.Body, in: bufio.NewReader(res.Body)}
}

// next is the next event; ok is false at the stream's end.
func (e *events) next() (m message, ok bool) {
	e.t.Helper()
	for {
		line, err := e.in.ReadString('\n')
		if err == io.EOF && line == "" {
			return m, false
		}
		if err != nil {
			e.t.Fatal(err)
		}
		if id, found := strings.CutPrefix(line, "id: "); found {
			e.id = strings.TrimSpace(id)
		}
		if data, found := strings.CutPrefix(line, "data: "); found {
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				e.t.Fatalf("%q: %v", data, err)
			}
			if m.ID != e.id {
				e.t.Errorf("the event %q has the id %s", data, e.id)
			}
			return m, true
		}
	}
}

// want asserts what comes next, without its id.
func (e *events) want(want message) {
	e.t.Helper()
	got, ok := e.next()
	if !ok {
		e.t.Fatal("the stream has ended")
	}
	got.ID = ""
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		e.t.Errorf("got %s, want %s", a, b)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not %s", what)
		}
	}
}
