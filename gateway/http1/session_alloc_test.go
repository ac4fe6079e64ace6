//go:build !race

package http1

import (
	"testing"

	"pyspeed/gateway/exchange"
)

// A request and its answer on a connection that is kept alive cost no memory.
func TestSessionAllocations(t *testing.T) {
	s, request := nullSession()
	for name, in := range map[string][]byte{
		"one":       request,
		"pipelined": append(append([]byte(nil), request...), request...),
	} {
		if n := testing.AllocsPerRun(1000, func() { s.Feed(in) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if got := s.cfg.Budget.Held(); got != 0 {
		t.Errorf("the budget holds %d bytes", got)
	}
	if s.x.Slot != "answered" {
		t.Error("nothing was answered")
	}
}

var slotted any = "answered" // converting it for each request would allocate

// nullSession answers every request at once, to a transport that takes everything.
func nullSession() (*Session, []byte) {
	fields, body := field("Content-Type", "text/plain"), []byte("Hello, World!")
	clock := NewClock()
	cfg := &Config{
		Body: 1 << 20, BodyMemory: 1 << 16, HeaderTimeout: 1 << 40, BodyTimeout: 1 << 40, IdleTimeout: 1 << 40, WriteTimeout: 1 << 40,
		Budget: exchange.NewBudget(1 << 20), Clock: clock, Done: func(*exchange.Exchange) {},
		Responder: responder(func(x *exchange.Exchange) {
			x.Slot = slotted
			_ = x.Writer.Answer(200, fields, body)
		}),
	}
	return NewSession(NewShared(cfg), nullTransport{}, exchange.Peer{}), []byte(get("/hello", "User-Agent: wrk", "Accept: */*"))
}

type nullTransport struct{}

func (nullTransport) Write(a, b []byte) (int, error) { return len(a) + len(b), nil }
func (nullTransport) WaitWritable()                  {}
func (nullTransport) CloseWrite() bool               { return true }
func (nullTransport) Spilling()                      {}
func (nullTransport) Close()                         {}

func BenchmarkSession(b *testing.B) {
	s, request := nullSession()
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		s.Feed(request)
	}
}
