package metrics

import (
	"fmt"

	vm "github.com/VictoriaMetrics/metrics"
)

// Counters adds a counter for each of the label's values, so that all are there from the start, and returns what counts one of
// them. That may be called from any goroutine, and does nothing for another value.
func (m *Metrics) Counters(name, label string, values ...string) (count func(value string)) {
	counters := make(map[string]*vm.Counter, len(values))
	for _, v := range values {
		counters[v] = m.set.NewCounter(fmt.Sprintf("%s{%s=%q}", name, label, v))
	}
	return func(value string) {
		if c := counters[value]; c != nil {
			c.Inc()
		}
	}
}
