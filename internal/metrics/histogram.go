package metrics

import (
	"fmt"
	"io"
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets double from 62.5 µs to about 65 s, so that finding one is a shift and a count of
// bits. The library's own histogram has buckets that only its own query language reads.
const (
	firstBucket = 62500 * time.Nanosecond
	buckets     = 21
)

type histogram struct {
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	if d > firstBucket {
		i = min(bits.Len64(uint64((d-1)/firstBucket)), buckets)
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) write(w io.Writer, name string) {
	fmt.Fprintf(w, "# TYPE %s histogram\n", name)
	total := uint64(0)
	for i := range buckets {
		total += h.counts[i].Load()
		fmt.Fprintf(w, "%s_bucket{le=\"%g\"} %d\n", name, (firstBucket << i).Seconds(), total)
	}
	total += h.counts[buckets].Load()
	fmt.Fprintf(w, "%s_bucket{le=\"+Inf\"} %d\n", name, total)
	fmt.Fprintf(w, "%s_sum %g\n%s_count %d\n", name, time.Duration(h.sum.Load()).Seconds(), name, total)
}
