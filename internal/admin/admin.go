package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// Server is the admin listener's.
type Server struct{ http http.Server }

// New makes a server. ready says whether requests can be answered now, and if not, why;
// write writes the metrics.
func New(ready func() (bool, string), write func(io.Writer)) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "live") })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if ok, why := ready(); !ok {
			text(w, http.StatusServiceUnavailable, why)
			return
		}
		text(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		write(w)
	})
	return &Server{http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, s+"\n") // a prober that left needs no answer
}

// Serve answers until Close; it blocks.
func (s *Server) Serve(ln net.Listener) { _ = s.http.Serve(ln) } // always an error: that of Close

// Close ends the server, after the requests under way or with ctx.
func (s *Server) Close(ctx context.Context) { _ = s.http.Shutdown(ctx) }
