package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs a server until the test's end and returns its URL.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Close(ctx)
		<-done
	})
	return "http://" + ln.Addr().String()
}

func TestServer(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	url := serve(t, New(
		func() (bool, string) { return ready.Load(), "no worker is ready" },
		func(w io.Writer) { _, _ = io.WriteString(w, "pyspeed_connections 3\n") },
	))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f := func(method, path string, status int, body string) http.Header {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != status || body != "" && string(got) != body {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, res.StatusCode, got, status, body)
		}
		return res.Header
	}
	f("GET", "/live", 200, "live\n")
	if h := f("GET", "/ready", 200, "ready\n"); h.Get("Cache-Control") != "no-store" {
		t.Error("/ready may be cached")
	}
	ready.Store(false)
	f("GET", "/ready", 503, "no worker is ready\n")
	f("GET", "/live", 200, "live\n")
	if h := f("GET", "/metrics", 200, "pyspeed_connections 3\n"); !strings.HasPrefix(h.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("/metrics is %q", h.Get("Content-Type"))
	}
	f("HEAD", "/live", 200, "")
	for _, path := range []string{"/", "/live/", "/metrics/x", "/debug/pprof/", "/Live"} {
		f("GET", path, 404, "")
	}
	for _, path := range []string{"/live", "/ready", "/metrics"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			if h := f(method, path, 405, ""); !strings.Contains(h.Get("Allow"), "GET") {
				t.Errorf("%s %s: Allow is %q", method, path, h.Get("Allow"))
			}
		}
	}
}
