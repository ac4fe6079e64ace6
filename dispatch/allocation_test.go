//go:build !race

package dispatch

import "testing"

// TestAllocations is not built with the race detector, whose own would count.
func TestAllocations(t *testing.T) {
	f := func(name string, run func()) {
		t.Helper()
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	buf := make([]byte, 0, 4096)
	small, browser := smallGet(), browserGet()
	f("environ of a small GET", func() { buf = testEncoder.appendEnviron(buf[:0], small) })
	f("environ of a browser's GET", func() { buf = testEncoder.appendEnviron(buf[:0], browser) })
	f("scope of a small GET", func() { buf = testEncoder.appendScope(buf[:0], small) })
	f("scope of a browser's GET", func() { buf = testEncoder.appendScope(buf[:0], browser) })
	run, end := cycle(t)
	defer end()
	f("a request and its answer", run)
}
