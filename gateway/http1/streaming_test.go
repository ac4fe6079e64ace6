package http1

import (
	"fmt"
	"slices"
	"testing"

	"pyspeed/gateway/exchange"
)

// TestStreaming: what is said of the application counts for bodies that begin after it, and, as long as nothing was
// said, for those that arrive.
func TestStreaming(t *testing.T) {
	const (
		head  = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		short = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
		large = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n"
	)
	type rig2 struct {
		*rig
		seen  []string // what of the body was there, and whether its length was known, when the request was given on
		asked int
	}
	f := func(name string, streaming *Streaming, run func(r *rig2), want ...string) {
		t.Run(name, func(t *testing.T) {
			r := &rig2{}
			if streaming != nil {
				streaming.Asked = func() { r.asked++ }
			}
			r.rig = newRig(t, responder(func(x *exchange.Exchange) {
				n, known := x.Body.Length()
				r.seen = append(r.seen, fmt.Sprint(n, known))
				x.Source = &source{onCancel: func() { x.Writer.Abort(0, "") }}
			}), func(cfg *Config) { cfg.BufferBody, cfg.Streaming = 100, streaming })
			run(r)
			if !slices.Equal(r.seen, want) {
				t.Errorf("given on with length %v, want %v", r.seen, want)
			}
			r.s.Closed()
			r.check()
		})
	}
	say := func(what string) *Streaming {
		s := &Streaming{}
		switch what {
		case "yes":
			s.Set(true)
		case "no":
			s.Forget()
			s.Set(false)
		case "unknown":
			s.Set(true)
			s.Forget()
		}
		return s
	}
	feed := func(parts ...string) func(r *rig2) {
		return func(r *rig2) {
			for _, p := range parts {
				r.s.Feed([]byte(p))
			}
		}
	}
	whole := feed(head, "3\r\none\r\n", "0\r\n\r\n")
	f("nothing was said ever", nil, whole, "3 true")
	f("as a new one", &Streaming{}, whole, "3 true")
	f("complete", say("no"), whole, "3 true")
	f("streams", say("yes"), whole, "0 false")
	f("unknown, and comes whole", say("unknown"), func(r *rig2) {
		whole(r)
		if r.asked != 1 {
			r.t.Errorf("asked %d times", r.asked)
		}
	}, "3 true")
	f("unknown, and has no need to wait", say("unknown"), func(r *rig2) {
		feed(large)(r)
		if r.asked != 0 {
			r.t.Error("asked without need")
		}
	}, "0 false")
	f("unknown, a body that does not come", say("unknown"), feed(short))

	f("unknown, then it streams, with the next bytes", say("unknown"), func(r *rig2) {
		feed(head, "3\r\none\r\n")(r)
		r.cfg.Streaming.Set(true)
		if len(r.seen) > 0 {
			r.t.Error("given on before")
		}
		feed("3\r\ntwo\r\n")(r)
	}, "3 false")
	for _, one := range []string{head, short} {
		f("unknown, then it streams, and nothing more comes", say("unknown"), func(r *rig2) {
			feed(one)(r)
			r.registry.Reconsider() // for nothing
			r.cfg.Streaming.Set(true)
			r.registry.Reconsider()
			r.registry.Reconsider()
		}, "0 false")
	}
	f("unknown, then it is to be complete", say("unknown"), func(r *rig2) {
		feed(head, "3\r\none\r\n")(r)
		r.cfg.Streaming.Set(false)
		r.registry.Reconsider()
		feed("3\r\ntwo\r\n")(r)
		if len(r.seen) > 0 {
			r.t.Error("given on before it was complete")
		}
		feed("0\r\n\r\n")(r)
	}, "6 true")
	f("unknown, and refused", say("unknown"), func(r *rig2) {
		feed(head, "zz\r\n")(r)
		r.cfg.Streaming.Set(true)
		r.registry.Reconsider()
		feed("more")(r)
	})
}
