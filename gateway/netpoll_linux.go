package gateway

import (
	"log/slog"
	"net"

	"pyspeed/fcgi"
	"pyspeed/gateway/http1"
	"pyspeed/gateway/netpolledge"
)

// useNetpoll is whether the option server.edge means netpoll here.
func useNetpoll(edge string) bool { return edge != "conn" }

func newNetpoll(ln net.Listener, cfg *http1.Shared, registry *http1.Registry, log *slog.Logger) (edge, error) {
	return netpolledge.New(ln, cfg, registry, log)
}

// newLoop makes what drives the workers' sockets; it lives as long as the process.
func newLoop(edge string) (fcgi.Loop, error) {
	if !useNetpoll(edge) {
		return fcgi.Goroutines{}, nil
	}
	return netpolledge.NewLoop()
}
