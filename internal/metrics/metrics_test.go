package metrics

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

func TestBuckets(t *testing.T) {
	f := func(d time.Duration, want int) {
		t.Helper()
		var h histogram
		h.observe(d)
		for i := range h.counts {
			if got := h.counts[i].Load(); got != 0 && i != want || got != 1 && i == want {
				t.Errorf("%v: %d in bucket %d, want it in %d", d, got, i, want)
			}
		}
		if sum := time.Duration(h.sum.Load()); sum != max(d, 0) {
			t.Errorf("%v: the sum is %v", d, sum)
		}
	}
	f(-time.Second, 0) // a clock's reading from before
	f(0, 0)
	f(firstBucket, 0)
	f(firstBucket+1, 1)
	f(2*firstBucket, 1)
	f(2*firstBucket+1, 2)
	f(time.Millisecond, 4)
	f(time.Millisecond+1, 5)
	for i := range buckets {
		f(firstBucket<<i, i) // "le": the limit belongs to the bucket
		f(firstBucket<<i+1, i+1)
	}
	f(time.Hour, buckets)
	f(math.MaxInt64, buckets)
}

func TestCounters(t *testing.T) {
	m := New(nil)
	count := m.Counters("pyspeed_ends_total", "reason", "killed", "reload")
	count("reload")
	count("reload")
	count("unheard of")
	var b bytes.Buffer
	m.set.WritePrometheus(&b)
	series, _ := parse(t, b.String())
	for name, want := range map[string]float64{`pyspeed_ends_total{reason="killed"}`: 0, `pyspeed_ends_total{reason="reload"}`: 2} {
		if got, ok := series[name]; !ok || got != want {
			t.Errorf("%s is %v, %v; want %v", name, got, ok, want)
		}
	}
	if strings.Contains(b.String(), "unheard") {
		t.Error(b.String())
	}
}

// sample is one line of the text format.
type sample struct {
	name   string
	labels string
	value  float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:, ?)?)+)\})? (\S+)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$`)
)

// parse reads Prometheus' text format, version 0.0.4, as strictly as its description has it.
func parse(t *testing.T, text string) (map[string]float64, []sample) {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	series := map[string]float64{}
	types := map[string]string{}
	var all []sample
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, "# TYPE") {
			m := typeLine.FindStringSubmatch(line)
			if m == nil || types[m[1]] != "" {
				t.Errorf("bad or second type: %q", line)
				continue
			}
			types[m[1]] = m[2]
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Errorf("not a number: %q", line)
		}
		key := m[1]
		if m[2] != "" {
			key += "{" + m[2] + "}"
		}
		if _, twice := series[key]; twice {
			t.Errorf("%s occurs twice", key)
		}
		series[key] = v
		all = append(all, sample{m[1], m[2], v})
	}
	return series, all
}

// checkHistogram fails unless the histogram's buckets rise, in limit and in count, to its count.
func checkHistogram(t *testing.T, all []sample, name string, count, sum float64) {
	t.Helper()
	limit, last, n := 0.0, 0.0, 0
	for _, s := range all {
		switch s.name {
		case name + "_bucket":
			le, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(s.labels, `le="`), `"`), 64)
			if err != nil || le <= limit || s.value < last {
				t.Errorf("%s: bucket %v with %v after %v with %v", name, s.labels, s.value, limit, last)
			}
			limit, last = le, s.value
			n++
		case name + "_count":
			if s.value != count || last != count || !math.IsInf(limit, 1) {
				t.Errorf("%s: count %v, last bucket %v up to %v; want %v", name, s.value, last, limit, count)
			}
		case name + "_sum":
			if math.Abs(s.value-sum) > 1e-9 {
				t.Errorf("%s: sum %v, want %v", name, s.value, sum)
			}
		}
	}
	if n != buckets+1 {
		t.Errorf("%s has %d buckets", name, n)
	}
}

func TestExposition(t *testing.T) {
	m := New([]string{"queue_full", "worker_died"})
	m.Gauge("pyspeed_connections", func() float64 { return 7 })
	m.Writer(func(w io.Writer) { _, _ = fmt.Fprintf(w, "pyspeed_worker_window{worker=%q} %d\n", "2.3", 4) })
	end := func(status int, bytesOut int64, queued, took time.Duration) {
		x := &exchange.Exchange{Status: status, BytesOut: bytesOut, Accepted: time.Second}
		if queued >= 0 {
			x.Dispatched = x.Accepted + queued
		}
		m.Ended(x, x.Accepted+took)
	}
	end(200, 100, 0, time.Millisecond)
	end(204, 0, time.Millisecond, 2*time.Millisecond)
	end(302, 5, 0, 0)
	end(404, 9, 0, 0)
	end(503, 1, -1, 10*time.Second)
	end(999, 0, 0, 0) // what an application may send
	end(0, 0, 0, 0)   // the client left
	m.Failed("queue_full")
	m.Failed("queue_full")
	m.Failed("no such kind") // counts nothing, breaks nothing

	var out bytes.Buffer
	m.Write(&out)
	series, all := parse(t, out.String())
	for key, want := range map[string]float64{
		`pyspeed_requests_total{status="2xx"}`:                2,
		`pyspeed_requests_total{status="3xx"}`:                1,
		`pyspeed_requests_total{status="4xx"}`:                1,
		`pyspeed_requests_total{status="5xx"}`:                2,
		`pyspeed_requests_total{status="1xx"}`:                0,
		`pyspeed_requests_total{status="none"}`:               1,
		`pyspeed_response_body_bytes_total`:                   115,
		`pyspeed_failures_total{kind="queue_full"}`:           2,
		`pyspeed_failures_total{kind="worker_died"}`:          0,
		`pyspeed_connections`:                                 7,
		`pyspeed_worker_window{worker="2.3"}`:                 4,
		`pyspeed_request_duration_seconds_count`:              7,
		`pyspeed_request_duration_seconds_bucket{le="0.001"}`: 5,
		`pyspeed_request_duration_seconds_bucket{le="0.002"}`: 6,
		`pyspeed_queue_duration_seconds_count`:                6, // the 503 was never given to a worker
	} {
		if got, ok := series[key]; !ok || got != want {
			t.Errorf("%s is %v (%t), want %v", key, got, ok, want)
		}
	}
	checkHistogram(t, all, "pyspeed_request_duration_seconds", 7, 10.003)
	checkHistogram(t, all, "pyspeed_queue_duration_seconds", 6, 0.001)
	if _, ok := series["process_resident_memory_bytes"]; !ok {
		t.Error("the process's memory is not there")
	}
}

// TestConcurrent: counts are exact, whoever counts, and writing meanwhile gives what parses.
func TestConcurrent(t *testing.T) {
	m := New([]string{"worker_died"})
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			x := &exchange.Exchange{Status: 200, BytesOut: 3, Accepted: 1, Dispatched: 2}
			for range 1000 {
				m.Ended(x, time.Millisecond)
				m.Failed("worker_died")
			}
		})
	}
	running.Go(func() {
		for range 10 {
			var out bytes.Buffer
			m.Write(&out)
			parse(t, out.String())
		}
	})
	running.Wait()
	var out bytes.Buffer
	m.Write(&out)
	series, _ := parse(t, out.String())
	for key, want := range map[string]float64{
		`pyspeed_requests_total{status="2xx"}`:       8000,
		`pyspeed_response_body_bytes_total`:          24000,
		`pyspeed_failures_total{kind="worker_died"}`: 8000,
		`pyspeed_request_duration_seconds_count`:     8000,
		`pyspeed_queue_duration_seconds_count`:       8000,
	} {
		if series[key] != want {
			t.Errorf("%s is %v, want %v", key, series[key], want)
		}
	}
}

func TestAllocations(t *testing.T) {
	m := New(nil)
	x := &exchange.Exchange{Status: 200, BytesOut: 3, Accepted: 1, Dispatched: 2}
	if n := testing.AllocsPerRun(100, func() { m.Ended(x, time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations for counting a request", n)
	}
}
