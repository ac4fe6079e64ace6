package http1

import (
	"bytes"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

// TestAnswerShared: it is Answer, for whatever client and method, however slowly it is taken.
func TestAnswerShared(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), directWrite/16+7)
	f := func(name, request string, body []byte, fields []exchange.Field) {
		t.Helper()
		var got [2]string
		for i := range got {
			for _, step := range []int{-1, 1000} {
				r := newRig(t, func(x *exchange.Exchange) {
					x.Source = &source{}
					if i == 0 {
						_ = x.Writer.Answer(200, fields, body)
					} else {
						_ = exchange.AnswerShared(x.Writer, 200, fields, body)
					}
				}, nil)
				r.tr.room = step
				r.s.Feed([]byte(request))
				for r.tr.waiting > 0 {
					r.tr.give(step)
				}
				r.s.Closed()
				r.check()
				text := r.tr.text()
				if step > 0 && text != got[i] {
					t.Errorf("%s: a slow client gets %d bytes, a fast one %d", name, len(text), len(got[i]))
				}
				got[i] = text
			}
		}
		if got[0] != got[1] {
			t.Errorf("%s: AnswerShared sends %d bytes, Answer %d: %.200q", name, len(got[1]), len(got[0]), got[1])
		}
		if r := strings.Count(got[1], "HTTP/1."); r != strings.Count(request, " HTTP/1.") {
			t.Errorf("%s: %d answers", name, r)
		}
	}
	f("one", get("/"), big, nil)
	f("three", get("/")+get("/")+get("/"), big, field("A", "b"))
	f("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"+get("/"), big, nil)
	f("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", big, nil)
	f("small", get("/")+get("/"), big[:100], nil)
	f("empty", get("/"), nil, nil)
	f("shorter than announced", get("/"), big, field("Content-Length", "99999999"))
	f("longer than announced", get("/")+get("/"), big, field("Content-Length", "1000"))
	f("close", get("/"), big, field("Connection", "close"))
}

// TestAnswerSharedLeft: a client that is gone, and an error in a field.
func TestAnswerSharedLeft(t *testing.T) {
	big := make([]byte, 2*directWrite)
	var x *exchange.Exchange
	r := newRig(t, func(y *exchange.Exchange) { x, y.Source = y, &source{} }, nil)
	r.s.Feed([]byte(get("/")))
	if err := exchange.AnswerShared(x.Writer, 200, field("A", "b\nc"), big); err == nil {
		t.Error("a field that ends its line was taken")
	}
	r.s.Closed()
	if err := exchange.AnswerShared(x.Writer, 200, nil, big); err != nil {
		t.Error(err)
	}
	r.check()
	if len(r.tr.out) > 0 || len(r.done) != 1 {
		t.Errorf("%d bytes to a client that is gone, %v", len(r.tr.out), r.done)
	}
}
