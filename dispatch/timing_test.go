package dispatch

import (
	"testing"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

func smallGet() *exchange.Exchange {
	return request("Host: localhost:8000", "User-Agent: wrk", "Accept: */*")
}

func browserGet() *exchange.Exchange {
	return request(
		"Host: shop.example", "Connection: keep-alive", "Cache-Control: max-age=0",
		`sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"`, "sec-ch-ua-mobile: ?0",
		`sec-ch-ua-platform: "Linux"`, "Upgrade-Insecure-Requests: 1",
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
		"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", "Sec-Fetch-Dest: document",
		"Referer: https://shop.example/cart", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-GB,en;q=0.9",
		"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark", "X-Own-Header: value",
	)
}

// nullWriter takes an answer and forgets it.
type nullWriter struct{ ended int }

func (w *nullWriter) Head(int, []exchange.Field) error           { return nil }
func (w *nullWriter) Answer(int, []exchange.Field, []byte) error { w.ended++; return nil }
func (w *nullWriter) Body([]byte)                                {}
func (w *nullWriter) Flush()                                     {}
func (w *nullWriter) End()                                       { w.ended++ }
func (w *nullWriter) Abort(int, string)                          { w.ended++ }

// cycle returns a function that lets one request through, from Respond to its answer, without
// sockets.
func cycle(t testing.TB) (run func(), end func()) {
	r := newRig(t, Settings{})
	h, end := silentWorker(t, r.Dispatcher)
	x := smallGet()
	w := &nullWriter{}
	x.Writer = w
	answer := appendResponse(nil, 1, fcgi.FlagLast, 200, "hello")
	return func() {
		x.Accepted = r.clock.Now()
		r.Respond(x)
		before := w.ended
		h.Feed(answer)
		if w.ended != before+1 {
			t.Fatal("no answer")
		}
	}, end
}

func BenchmarkEnviron(b *testing.B) {
	for name, x := range map[string]*exchange.Exchange{"small": smallGet(), "browser": browserGet()} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf = testEncoder.appendEnviron(buf[:0], x)
			}
		})
	}
}

func BenchmarkScope(b *testing.B) {
	for name, x := range map[string]*exchange.Exchange{"small": smallGet(), "browser": browserGet()} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf = testEncoder.appendScope(buf[:0], x)
			}
		})
	}
}

func BenchmarkCycle(b *testing.B) {
	run, end := cycle(b)
	defer end()
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}
