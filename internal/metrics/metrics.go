package metrics

import (
	"fmt"
	"io"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"pyspeed/gateway/exchange"
)

// Metrics of one gateway.
type Metrics struct {
	set      *vm.Set
	classes  [6]*vm.Counter // by the status' first digit; 0: the client left first
	bytesOut *vm.Counter
	latency  histogram
	queue    histogram
	failures map[string]*vm.Counter
}

// New makes the counters. failures are the labels Failed may be called with.
func New(failures []string) *Metrics {
	m := &Metrics{set: vm.NewSet(), failures: map[string]*vm.Counter{}}
	for i := range m.classes {
		m.classes[i] = m.set.NewCounter(fmt.Sprintf("pyspeed_requests_total{status=%q}", class(i)))
	}
	m.bytesOut = m.set.NewCounter("pyspeed_response_body_bytes_total")
	for _, f := range failures {
		m.failures[f] = m.set.NewCounter(fmt.Sprintf("pyspeed_failures_total{kind=%q}", f))
	}
	m.set.RegisterMetricsWriter(func(w io.Writer) {
		m.latency.write(w, "pyspeed_request_duration_seconds")
		m.queue.write(w, "pyspeed_queue_duration_seconds")
	})
	return m
}

// class names statuses by their first digit.
func class(digit int) string {
	if digit == 0 {
		return "none"
	}
	return fmt.Sprintf("%dxx", digit)
}

// Gauge adds a value that is read when the metrics are.
func (m *Metrics) Gauge(name string, read func() float64) { m.set.NewGauge(name, read) }

// Writer adds a function that writes further series.
func (m *Metrics) Writer(write func(io.Writer)) { m.set.RegisterMetricsWriter(write) }

// Ended counts an exchange that ended at now. Called by its connection's owner.
func (m *Metrics) Ended(x *exchange.Exchange, now time.Duration) {
	m.classes[min(x.Status/100, 5)].Inc()
	if x.BytesOut > 0 {
		m.bytesOut.AddInt64(x.BytesOut)
	}
	m.latency.observe(now - x.Accepted)
	if x.Dispatched != 0 {
		m.queue.observe(x.Dispatched - x.Accepted)
	}
}

// Requests is how many have ended, by the class of their status: "2xx", or "none" where the client left first.
func (m *Metrics) Requests() map[string]uint64 {
	all := map[string]uint64{}
	for i, c := range m.classes {
		all[class(i)] = c.Get()
	}
	return all
}

// Failed counts a request that ended without the application's answer.
func (m *Metrics) Failed(kind string) {
	if c := m.failures[kind]; c != nil {
		c.Inc()
	}
}

// Scaled counts a change of the number of workers; direction is up or down.
func (m *Metrics) Scaled(direction, reason string) {
	m.set.GetOrCreateCounter(fmt.Sprintf("pyspeed_scale_events_total{direction=%q,reason=%q}", direction, reason)).Inc()
}

// Write writes everything in Prometheus' text format.
func (m *Metrics) Write(w io.Writer) {
	m.set.WritePrometheus(w)
	vm.WriteProcessMetrics(w)
}
