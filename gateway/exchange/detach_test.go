package exchange

import "testing"

// answered is a Responder whose Source is told.
type answered struct {
	tally
	calls int
}

func (a *answered) Respond(x *Exchange) { x.Source = a }

func (a *answered) Drained(n int) {
	a.calls++
	a.tally.Drained(n)
}

// TestDetachedPassesOn: whatever the edge reports before there is somebody to hear it is told later; room, which is no number of
// bytes, too.
func TestDetachedPassesOn(t *testing.T) {
	f := func(name string, report func(s Source), calls, drained, cancelled int) {
		t.Helper()
		for _, late := range []bool{false, true} {
			var x Exchange
			a := &answered{}
			d := Detach(&x)
			if late {
				d.Give(a)
				report(x.Source)
			} else {
				report(x.Source)
				if a.calls > 0 || d.Gone() != (cancelled > 0) {
					t.Errorf("%s: told too early, or the client has left: %v", name, d.Gone())
				}
				d.Give(a)
			}
			if a.drained != drained || a.cancelled != cancelled || a.calls < min(calls, 1) || a.calls > calls {
				t.Errorf("%s, given before it %v: told %d times, of %d bytes, cancelled %d times", name, late, a.calls, a.drained, a.cancelled)
			}
		}
	}
	f("nothing", func(Source) {}, 0, 0, 0)
	f("bytes", func(s Source) { s.Drained(3); s.Drained(4) }, 2, 7, 0)
	f("room", func(s Source) { s.Drained(0) }, 1, 0, 0)
	f("the end", func(s Source) { s.Cancelled() }, 0, 0, 1)
	f("all", func(s Source) { s.Drained(5); s.Drained(0); s.Cancelled() }, 2, 5, 1)
}
