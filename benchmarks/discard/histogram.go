//go:build linux

package main

import (
	"math"
	"math/bits"
)

const (
	subBits = 7 // 128 buckets for each power of two: none is wider than 0.8 % of what it holds
	subs    = 1 << subBits
	top     = 1<<40 - 1 // twelve days of microseconds; what is more counts as this
)

// histogram counts whole numbers, those below 256 exactly. Its size is fixed, so that counting
// costs no allocation however long a load is.
type histogram struct {
	counts [(40 - subBits + 1) * subs]uint64
	total  uint64
	max    uint64 // exact
}

// bucket is where a number is counted.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// upper is the largest number that is counted in a bucket.
func upper(bucket int) uint64 {
	shift := max(0, bucket>>subBits-1)
	return (uint64(bucket-shift<<subBits)+1)<<shift - 1
}

func (h *histogram) add(v int64) {
	n := min(uint64(max(0, v)), top)
	h.counts[bucket(n)]++
	h.total++
	h.max = max(h.max, n)
}

// percentile is what so many percent of the numbers are not above; 0 when there are none.
func (h *histogram) percentile(percent float64) uint64 {
	rank := max(1, uint64(math.Ceil(float64(h.total)*percent/100)))
	var seen uint64
	for i, count := range h.counts {
		seen += count
		if seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}
