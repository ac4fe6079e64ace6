package gateway

import (
	"fmt"
	"io"

	"pyspeed/supervisor"
)

// observe adds the metrics of the workers' life to those of the gateway, and has the supervisor keep them.
func (g *Gateway) observe(s *supervisor.Settings) {
	var labels []string
	for _, r := range supervisor.Reasons() {
		labels = append(labels, r.Label())
	}
	ended := g.metrics.Counters("pyspeed_worker_ends_total", "reason", labels...)
	reloaded := g.metrics.Counters("pyspeed_reloads_total", "result", "ok", "failed")
	s.Ended = func(r supervisor.Reason) {
		ended(r.Label())
		g.terminal.reclaim()
	}
	s.Debugging = func(w *supervisor.Worker, on bool) { g.terminal.standing(w.PID, on) }
	s.Reloaded = func(err error) {
		if err != nil {
			reloaded("failed")
		} else {
			reloaded("ok")
		}
	}
	g.metrics.Gauge("pyspeed_generation", func() float64 { return float64(g.supervisor.Generation()) })
	g.metrics.Writer(g.writeWorkers)
}

// writeWorkers writes what the system tells of each worker's process.
func (g *Gateway) writeWorkers(w io.Writer) {
	for _, st := range g.supervisor.Workers() {
		if st.RSS > 0 {
			fmt.Fprintf(w, "pyspeed_worker_resident_bytes{worker=%q} %d\n", st.ID, st.RSS)
		}
	}
}
