package livereload

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pyspeed/gateway/exchange"
)

func TestStream(t *testing.T) {
	r := newRig(t, nil)
	at := r.hub.position(0)
	a, b := r.listen(eventsPath+"?at="+at), r.listen(eventsPath+"?at="+at)
	a.want(message{}) // it has an id to come back with
	b.want(message{})
	r.hub.Broadcast(Event{Kind: Replaced, Paths: []string{"/x/static/site.css"}})
	r.hub.Broadcast(Event{Kind: Changed, Paths: []string{"/x/static/site.css", "/x/static/other/site.css", "/x/static/Logo.SVG"}})
	r.hub.Broadcast(Event{Kind: Changed, Paths: []string{"/x/templates/home.html", "/x/static/site.css"}})
	r.hub.Broadcast(Event{Kind: Failed, Text: "no such module"})
	r.hub.Broadcast(Event{Kind: Failed, Page: r.hub.ErrorPage(failure(""))})
	all := []message{
		{Reload: true, Styles: []string{"site.css"}},
		{Styles: []string{"site.css"}, Images: []string{"Logo.SVG"}},
		{Reload: true, Styles: []string{"site.css"}, Names: []string{"home.html"}},
		{Error: "no such module"},
		{Reload: true},
	}
	for _, e := range []*events{a, b, r.listen(eventsPath + "?at=" + at)} {
		for _, m := range all {
			e.want(m)
		}
	}
	// One that comes again, by its own word or the browser's.
	second := r.hub.position(2)
	for _, e := range []*events{r.listen(eventsPath + "?at=" + second), r.listen(eventsPath+"?at="+at, "Last-Event-ID: "+second)} {
		for _, m := range all[2:] {
			e.want(m)
		}
	}
	if got := r.missed(second); len(got) != 3 || got[0].ID != r.hub.position(3) || got[2].ID != r.hub.position(5) {
		t.Errorf("missed since 2: %v", got)
	}
	if got := r.missed(r.hub.position(5)); len(got) != 0 {
		t.Errorf("missed since 5: %v", got)
	}
}

// A page of a gateway before, or one that is too old, is loaded again.
func TestStrangePositions(t *testing.T) {
	r := newRig(t, nil)
	for i := range kept + 10 {
		r.hub.Broadcast(Event{Kind: Changed, Paths: []string{strconv.Itoa(i) + ".css"}})
	}
	last := r.hub.position(kept + 10)
	for _, at := range []string{"", ".", "x", "other.3", r.hub.boot, r.hub.boot + ".-1", r.hub.boot + ".x", r.hub.position(kept + 11), r.hub.position(9)} {
		if got := r.missed(at); len(got) != 1 || !got[0].Reload || got[0].ID != last {
			t.Errorf("at %q: %v", at, got)
		}
		e := r.listen(eventsPath + "?at=" + at)
		e.want(message{Reload: true})
		if e.id != last {
			t.Errorf("at %q: the id is %s", at, e.id)
		}
	}
	if got := r.missed(r.hub.position(10)); len(got) != kept {
		t.Errorf("one that is just not too old gets %d events", len(got))
	}
}

func TestStreamsEndWithTheHub(t *testing.T) {
	r := newRig(t, nil)
	e := r.listen(eventsPath + "?at=" + r.hub.position(0))
	e.want(message{})
	r.endHub()
	if m, ok := e.next(); ok {
		t.Errorf("got %v after the end", m)
	}
	<-r.hubEnded
	if got := r.get(eventsPath, "Accept: text/event-stream").StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("a stream after the end: %d", got)
	}
	r.hub.Broadcast(Event{Kind: Replaced}) // does no harm
}

func (h *Hub) open() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

func TestBrowsersLeave(t *testing.T) {
	r := newRig(t, nil)
	var all []*events
	for range mostStreams {
		all = append(all, r.listen(eventsPath+"?at="+r.hub.position(0)))
	}
	if got := r.get(eventsPath, "Accept: text/event-stream").StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", got)
	}
	for _, e := range all {
		_ = e.body.Close()
	}
	eventually(t, "free of streams", func() bool { return r.hub.open() == 0 })
	r.listen(eventsPath + "?at=" + r.hub.position(0)).want(message{})
}

// A browser that does not read is let go, and costs no more than it may.
func TestBrowserThatDoesNotRead(t *testing.T) {
	h := testHub(&clock{})
	s := &sink{}
	x := request("GET", eventsPath+"?at="+h.position(0), s)
	h.Responder(nil).Respond(x)
	h.write(false)
	long := []string{strings.Repeat("x", 8000) + ".css"}
	for i := range 20 {
		h.Broadcast(Event{Kind: Changed, Paths: long})
		h.write(false)
		if h.open() == 0 {
			if i < mostOwed/8000 || len(s.body) > mostOwed+10000 {
				t.Errorf("let go after %d events and %d bytes", i, len(s.body))
			}
			if s.calls[len(s.calls)-1] != "end" {
				t.Errorf("it got %q", s.calls)
			}
			break
		}
	}
	if h.open() != 0 {
		t.Fatalf("%d bytes were written", len(s.body))
	}
	// One that reads stays.
	s = &sink{}
	x = request("GET", eventsPath+"?at="+h.position(0), s)
	h.Responder(nil).Respond(x)
	s.onBody = func(n int) { x.Source.Drained(n) }
	for range 20 {
		h.Broadcast(Event{Kind: Changed, Paths: long})
		h.write(false)
	}
	if h.open() != 1 {
		t.Error("a browser that reads was let go")
	}
	// When nothing happens something is sent all the same.
	before := len(s.body)
	h.write(true)
	if got := s.body[before:]; string(got) != ":\n\n" {
		t.Errorf("the beat is %q", got)
	}
	x.Source.Cancelled()
	h.write(false)
	if s.calls[len(s.calls)-1] != "abort 0" || h.open() != 0 {
		t.Errorf("after it left it got %q", s.calls)
	}
}

func TestOwnPaths(t *testing.T) {
	r := newRig(t, nil)
	res := r.get(scriptURL)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("the script: %s %v", res.Status, res.Header)
	}
	if got := r.text(scriptURL); got != string(script) {
		t.Errorf("the script is %q", got)
	}
	for _, path := range []string{scriptPath, eventsPath} {
		for method, want := range map[string]int{"HEAD": 200, "POST": 405, "DELETE": 405} {
			s := &sink{}
			r.hub.Responder(nil).Respond(request(method, path, s))
			if s.status != want {
				t.Errorf("%s %s: %d", method, path, s.status)
			}
		}
	}
	// To anybody else the paths are the application's.
	for name, lines := range map[string][]string{
		"other host":  {"Host: shop.example"},
		"other site":  {"Sec-Fetch-Site: cross-site"},
		"same site":   {"Sec-Fetch-Site: same-site"},
		"origin":      {"Origin: http://evil.example"},
		"null origin": {"Origin: null"},
		"by a proxy":  {"X-Forwarded-For: 203.0.113.7"},
	} {
		for _, path := range []string{scriptPath, eventsPath} {
			if got := r.text(path, append(lines, "Accept: application/json")...); got != page {
				t.Errorf("%s, %s: got %q", name, path, got)
			}
		}
	}
	for _, path := range []string{eventsPath + "/", "/.pyspeed/", "/x" + eventsPath, "/%2Epyspeed/reload"} {
		if got := r.text(path, "Accept: application/json"); got != page {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if got := r.missed(r.hub.position(0)); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	ours := strings.TrimPrefix(r.url, "http://")
	if got := r.text(eventsPath+"?at="+r.hub.position(0), "Accept: application/json", "Origin: http://"+ours, "Sec-Fetch-Site: same-origin"); got != "[]" {
		t.Errorf("from our origin: %q", got)
	}
}

// Everything at once; the race detector looks on.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t, responder(func(x *exchange.Exchange) {
		// As a worker's reader, on another goroutine that may be ahead of Respond.
		inner := &source{}
		x.Source = inner
		go func() {
			_ = x.Writer.Head(200, fields("Content-Type: text/html"))
			for _, part := range []string{"<p>Hello", strings.Repeat("x", 20000), "</bo", "dy></html>"} {
				x.Writer.Body([]byte(part))
				x.Writer.Flush()
			}
			x.Writer.End()
		}()
	}))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 20 {
				got := r.text("/", "Accept: text/html")
				if !strings.HasSuffix(got, `"></script></body></html>`) {
					t.Errorf("got %q", got[max(0, len(got)-100):])
					return
				}
			}
		})
		clients.Go(func() {
			for range 5 {
				e := r.listen(eventsPath + "?at=" + r.hub.position(0))
				e.next()
				_ = e.body.Close()
			}
		})
	}
	for i := range 200 {
		r.hub.Broadcast(Event{Kind: Changed, Paths: []string{fmt.Sprint(i, ".css")}})
	}
	clients.Wait()
}

func TestScriptIsOneElement(t *testing.T) {
	if bytes.Contains(bytes.ToLower(script), []byte("</script")) || bytes.Contains(script, []byte("<!--")) {
		t.Error("the script cannot be put into a page")
	}
}
