package exchange

import "testing"

func TestLists(t *testing.T) {
	f := func(value, token string, want bool) {
		t.Helper()
		if got := Lists([]byte(value), token); got != want {
			t.Errorf("%q has %s: %v", value, token, got)
		}
	}
	f("a, b", "b", true)
	f("a,B\t ,c", "b", true)
	f("", "b", false)
	f(",,b", "b", true)
	f("bb, a b", "b", false)
	f("max-age=1, private=\"x\"", "private", true)
	f("no-transform", "no-trans", false)
	f("no-transform", "no-transform", true)
	f("max-age=5, No-Transform", "no-transform", true)
	f("max-age=5, no-transformer", "no-transform", false)
	f("Cookie,accept-encoding", "accept-encoding", true)
	f("", "*", false)
}
