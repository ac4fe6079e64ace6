package config

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	k := size{0, 1 << 62}
	f := func(raw any, want int64) {
		t.Helper()
		got, err := k.read(raw, "")
		if want < 0 {
			if err == nil {
				t.Errorf("%v: got %v, want an error", raw, got)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("%v: got %v, error %v, want %d", raw, got, err, want)
		}
		if again, ok := parseSize(formatSize(want)); !ok || again != want {
			t.Errorf("%d is written as %s, which reads as %d", want, formatSize(want), again)
		}
	}
	f(int64(0), 0)
	f(int64(4094), 4094)
	f(text("4094"), 4094)
	f("4094", 4094)
	f("4094B", 4094)
	f("64KiB", 65536)
	f("64 kib", 65536)
	f("10MB", 10_000_000)
	f("10kB", 10_000)
	f("1GiB", 1<<30)
	f("3GB", 3e9)
	f("2TiB", 2<<40)
	f("2tb", 2e12)
	f("4194303TiB", 4194303<<40)
	f("8388607TiB", -1) // fits an int64, not the range
	f("8388608TiB", -1)
	f("99999999999999999999", -1)
	for _, s := range []any{"", "KiB", "-1", "+1", "1.5MiB", "64k", "64K", "1 0B", "0x10", "1_000", int64(-1), 1.0, true, []any{int64(1)}} {
		f(s, -1)
	}
}

func TestDuration(t *testing.T) {
	k := duration{0, 24 * time.Hour}
	f := func(raw any, want time.Duration) {
		t.Helper()
		got, err := k.read(raw, "")
		if want < 0 {
			if err == nil {
				t.Errorf("%v: got %v, want an error", raw, got)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("%v: got %v, error %v, want %v", raw, got, err, want)
		}
		if again, ok := parseDuration(formatDuration(want)); !ok || again != want {
			t.Errorf("%v is written as %s, which reads as %v", want, formatDuration(want), again)
		}
	}
	f(int64(30), 30*time.Second)
	f(2.5, 2500*time.Millisecond)
	f(text("30"), 30*time.Second)
	f("0.5", 500*time.Millisecond)
	f("30s", 30*time.Second)
	f("500ms", 500*time.Millisecond)
	f("1m", time.Minute)
	f("10m", 10*time.Minute)
	f("1m30s", 90*time.Second)
	f("1h", time.Hour)
	f("20h", 20*time.Hour)
	f("1h0m1s", time.Hour+time.Second)
	f("0", 0)
	for _, s := range []any{"", "1 day", "1d", "-1s", "25h", "s", "nan", "inf", "1e300", int64(-1), int64(1) << 62, -0.5, true} {
		f(s, -1)
	}
}

func TestNearest(t *testing.T) {
	f := func(name, want string, candidates ...string) {
		t.Helper()
		if got := nearest(name, candidates); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("workers.treads", "workers.threads", keys()...)
	f("worker.threads", "workers.threads", keys()...)
	f("Workers.Threads", "workers.threads", keys()...)
	f("bind", "server.bind", keys()...)
	f("server.body", "server.limits.body", keys()...)
	f("server.timeout.idle", "server.timeouts.idle", keys()...)
	f("hovercraft", "", keys()...)
	f("", "", keys()...)
	f("--wrokers", "--workers", "--workers", "--queue")
	f("abcd", "abdc", "abxx", "abdc") // a swap is one mistake
	f("x", "", "a", "b")
}
