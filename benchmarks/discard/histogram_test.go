//go:build linux

package main

import "testing"

func TestBuckets(t *testing.T) {
	var h histogram
	last := -1
	for v := uint64(0); v <= top; v += 1 + v/300 {
		at := bucket(v)
		if at < last || at > last+1 || at >= len(h.counts) {
			t.Fatalf("%d is in bucket %d, the one before in %d", v, at, last)
		}
		last = at
		most := upper(at)
		if bucket(most) != at || most < v || float64(most-v) > float64(v)/128 {
			t.Fatalf("the most that counts as %d is %d", v, most)
		}
	}
	if bucket(top) != len(h.counts)-1 || upper(bucket(top)) != top {
		t.Errorf("the top is in bucket %d of %d", bucket(top), len(h.counts))
	}
}

func TestPercentiles(t *testing.T) {
	var h histogram
	if got := h.percentile(99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
	for v := int64(1); v <= 1000; v++ {
		h.add(v)
	}
	for percent, want := range map[float64]uint64{0: 1, 0.1: 1, 10: 100, 50: 500, 99: 990, 99.9: 999, 100: 1000} {
		if got := h.percentile(percent); got < want || got > want+want/128 {
			t.Errorf("%v %%: %d, want %d", percent, got, want)
		}
	}
	h.add(-1)
	h.add(1 << 50)
	if h.percentile(0) != 0 || h.max != top || h.percentile(100) != top {
		t.Errorf("least %d, most %d, %d", h.percentile(0), h.max, h.percentile(100))
	}
}
