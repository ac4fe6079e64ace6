package cache

import (
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// sink is a Writer that throws away.
type sink struct{ n int }

func (w *sink) Head(int, []exchange.Field) error { return nil }
func (w *sink) Answer(_ int, _ []exchange.Field, body []byte) error {
	w.n += len(body)
	return nil
}
func (w *sink) Body(p []byte)     { w.n += len(p) }
func (w *sink) Flush()            {}
func (w *sink) End()              {}
func (w *sink) Abort(int, string) {}

// browser is the request of one, with what browsers send.
const browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\nAccept: text/html,application/xhtml+xml\n" +
	"Accept-Language: en-US,en;q=0.5\nAccept-Encoding: gzip, deflate, br, zstd\nConnection: keep-alive\nUpgrade-Insecure-Requests: 1\n" +
	"Sec-Fetch-Dest: document\nSec-Fetch-Mode: navigate\nPriority: u=0, i"

func kept(tb testing.TB, fields string) (exchange.Responder, *exchange.Exchange) {
	c, err := New(1<<20, Runtime{Budget: exchange.NewBudget(1 << 20), Now: func() time.Duration { return time.Second }, Count: func(string) {}})
	if err != nil {
		tb.Fatal(err)
	}
	next := c.Wrap(&Settings{MaxEntry: 1 << 20, Wait: time.Second, Status: true}, responder(func(x *exchange.Exchange) {
		if err := x.Writer.Answer(200, parseFields(fields, "\n"), make([]byte, 5000)); err != nil {
			tb.Error(err)
		}
	}))
	x, _ := newExchange("GET /items?limit=50", parseFields(browser, "\n"))
	x.Writer = &sink{}
	next.Respond(x)
	x.Writer = &sink{}
	return next, x
}

func BenchmarkHit(b *testing.B) {
	next, x := kept(b, "Content-Type: application/json\nCache-Control: max-age=60\nETag: \"x\"")
	b.ReportAllocs()
	for b.Loop() {
		next.Respond(x)
	}
}

func BenchmarkHitVary(b *testing.B) {
	next, x := kept(b, "Content-Type: application/json\nCache-Control: max-age=60\nVary: Accept-Encoding")
	b.ReportAllocs()
	for b.Loop() {
		next.Respond(x)
	}
}
