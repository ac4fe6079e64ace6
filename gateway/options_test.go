package gateway

import (
	"testing"

	"pyspeed/gateway/exchange"
)

// answers is a Writer that keeps a complete answer.
type answers struct {
	exchange.Writer
	status int
	fields []exchange.Field
	body   []byte
}

func (a *answers) Answer(status int, fields []exchange.Field, body []byte) error {
	a.status, a.fields, a.body = status, fields, body
	return nil
}

// passed is a Responder that counts what is given on to it.
type passed int

func (p *passed) Respond(*exchange.Exchange) { *p++ }

func TestServerWide(t *testing.T) {
	f := func(method, target string, ours bool) {
		t.Helper()
		var next passed
		w := &answers{}
		x := &exchange.Exchange{Writer: w}
		x.Request.Method, x.Request.Target = []byte(method), []byte(target)
		serverWide{&next}.Respond(x)
		if ours != (next == 0) {
			t.Errorf("%s %s: given on: %t", method, target, next == 1)
		}
		if !ours {
			return
		}
		if w.status != 204 || len(w.fields) != 1 || string(w.fields[0].Name) != "Allow" || len(w.body) != 0 || x.Source == nil {
			t.Errorf("%s %s: answered with %d, %v, %q", method, target, w.status, w.fields, w.body)
		}
		x.Source.Drained(1)
		x.Source.Cancelled()
	}
	f("OPTIONS", "*", true)
	f("OPTIONS", "/", false)
	f("OPTIONS", "/*", false)
	f("GET", "/", false)
}
