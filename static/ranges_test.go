package static

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	f := func(value string, want string) {
		t.Helper()
		spans, how := parseRange([]byte(value), 1000)
		got := fmt.Sprint(spans)
		switch how {
		case whole:
			got = "whole"
		case unsatisfiable:
			got = "416"
		case parts:
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
	f("bytes=0-99", "[{0 100}]")
	f("bytes=900-", "[{900 100}]")
	f("bytes=-100", "[{900 100}]")
	f("bytes=-2000", "[{0 1000}]")
	f("bytes=0-5000", "[{0 1000}]")
	f("bytes=0-0", "[{0 1}]")
	f("BYTES = 0-0 ", "[{0 1}]")
	f("bytes=0-0,10-19, -1", "[{0 1} {10 10} {999 1}]")
	f("bytes=1000-", "416")
	f("bytes=-0", "416")
	f("bytes=5000-6000", "416")
	f("bytes=5000-6000,0-0", "[{0 1}]")
	f("bytes=99999999999999999999-", "416")
	f("bytes=0-99999999999999999999", "[{0 1000}]")
	f("bytes=5-4", "whole")
	f("bytes=", "whole")
	f("bytes=,", "whole")
	f("bytes=a-b", "whole")
	f("bytes=-", "whole")
	f("bytes=+1-2", "whole")
	f("bytes=1", "whole")
	f("items=0-1", "whole")
	f("", "whole")
	// Row 62: many, or such as overlap.
	f("bytes=0-0"+strings.Repeat(",2-2", 999), "whole")
	f("bytes=0-500,400-600", "whole")
	f("bytes=0-999,0-999", "whole")
	f("bytes="+strings.TrimSuffix(strings.Repeat("0-,", 16), ","), "whole")
}
