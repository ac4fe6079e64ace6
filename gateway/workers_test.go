package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pyspeed/supervisor"
)

// metric is whether the metrics have that line.
func (r *rig) metric(line string) bool {
	var b bytes.Buffer
	r.metrics.Write(&b)
	return strings.Contains("\n"+b.String(), "\n"+line)
}

func (r *rig) wantMetric(line string) {
	r.t.Helper()
	r.until(line, func() bool { return r.metric(line) })
}

func TestMetricsOfWorkers(t *testing.T) {
	r := start(t, "app:wsgi", "--max-requests", "2")
	for _, reason := range supervisor.Reasons() {
		r.wantMetric(fmt.Sprintf("pyspeed_worker_ends_total{reason=%q} 0\n", reason.Label()))
	}
	r.wantMetric("pyspeed_generation 1\n")
	r.wantMetric(`pyspeed_reloads_total{result="ok"} 0` + "\n")
	r.wantMetric(`pyspeed_worker_resident_bytes{worker="1"} `)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	r.wantMetric("pyspeed_generation 2\n")
	r.wantMetric(`pyspeed_reloads_total{result="ok"} 1` + "\n")
	r.wantMetric(`pyspeed_worker_ends_total{reason="reload"} 1` + "\n")
	<-r.ask("/pid")
	r.wantMetric(`pyspeed_worker_requests_total{worker="1.2"} 1` + "\n")
	<-r.ask("/pid")
	r.wantMetric(`pyspeed_worker_ends_total{reason="max_requests"} 1` + "\n")
	r.write("nonsense")
	if err := r.reload(); err == nil {
		t.Error("no error")
	}
	r.wantMetric(`pyspeed_reloads_total{result="failed"} 1` + "\n")
	r.wantMetric(`pyspeed_worker_ends_total{reason="failed_start"} 1` + "\n")
	r.wantMetric("pyspeed_generation 2\n")
}
