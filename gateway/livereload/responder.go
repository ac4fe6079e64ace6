package livereload

import (
	"crypto/sha256"
	_ "embed" // the script
	"encoding/hex"
	"net/http"
	"strings"

	"pyspeed/gateway/exchange"
)

// Paths of the gateway. They begin as no application's do; RFC 8615 has a place of its own for those
// that are everybody's.
const (
	eventsPath = "/.pyspeed/reload"
	scriptPath = "/.pyspeed/reload.js"
)

//go:embed reload.js
var script []byte

// scriptURL changes with the script, which browsers may therefore keep.
var scriptURL = func() string {
	sum := sha256.Sum256(script)
	return scriptPath + "?" + hex.EncodeToString(sum[:6])
}()

var (
	scriptHead = []exchange.Field{
		{Name: []byte("Content-Type"), Value: []byte("text/javascript; charset=utf-8")},
		{Name: []byte("Cache-Control"), Value: []byte("max-age=31536000, immutable")},
		{Name: []byte("X-Content-Type-Options"), Value: []byte("nosniff")},
	}
	missedHead = []exchange.Field{
		{Name: []byte("Content-Type"), Value: []byte("application/json")},
		{Name: []byte("Cache-Control"), Value: []byte("no-store")},
		{Name: []byte("X-Content-Type-Options"), Value: []byte("nosniff")},
	}
	onlyGet = []exchange.Field{{Name: []byte("Allow"), Value: []byte("GET, HEAD")}}
)

// Responder stands in front of next: it answers what the script asks for, and adds the script to pages.
func (h *Hub) Responder(next exchange.Responder) exchange.Responder { return &front{h, next} }

type front struct {
	hub  *Hub
	next exchange.Responder
}

// Respond implements exchange.Responder.
func (f *front) Respond(x *exchange.Exchange) {
	switch path := string(x.Request.RawPath); {
	case path != eventsPath && path != scriptPath:
	case !local(x) || foreign(x):
		// To all others there is no such path; the application says what it says to any.
	default:
		f.hub.own(x, path)
		return
	}
	if f.hub.settings.Browser && wantsPage(&x.Request) && local(x) {
		f.hub.filtered(x, f.next)
		return
	}
	f.next.Respond(x)
}

// own answers what the script asks for.
func (h *Hub) own(x *exchange.Exchange, path string) {
	get := string(x.Request.Method) == "GET"
	if get && path == eventsPath && !strings.Contains(string(x.Request.Get("accept")), "application/json") {
		from := string(x.Request.Get("last-event-id")) // the browser's, when it connects again
		if from == "" {
			from = asked(x)
		}
		h.listen(x, from)
		return
	}
	x.Source = nothing{}
	var err error
	switch {
	case !get && string(x.Request.Method) != "HEAD":
		err = x.Writer.Answer(http.StatusMethodNotAllowed, onlyGet, nil)
	case path == scriptPath:
		err = x.Writer.Answer(http.StatusOK, scriptHead, script)
	default:
		err = x.Writer.Answer(http.StatusOK, missedHead, h.missed(asked(x)))
	}
	if err != nil {
		x.Writer.Abort(http.StatusInternalServerError, "") // constants: it cannot be
	}
}

// asked is the position in a request's query.
func asked(x *exchange.Exchange) string {
	from, _ := strings.CutPrefix(string(x.Request.Query), "at=")
	return from
}

// missed is the events behind a position, as a JSON array.
func (h *Hub) missed(from string) []byte {
	h.mu.Lock()
	list, _ := h.since(from)
	h.mu.Unlock()
	b := []byte{'['}
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.text...)
	}
	return append(b, ']')
}

// nothing is the Source of an answer that is complete already.
type nothing struct{}

func (nothing) Drained(int) {}
func (nothing) Cancelled()  {}
