package connedge_test

import (
	"log/slog"
	"net"

	"pyspeed/gateway/http1"
	"pyspeed/gateway/netpolledge"
)

func init() {
	edges["netpoll"] = func(ln net.Listener, cfg *http1.Shared, registry *http1.Registry, log *slog.Logger) (edge, error) {
		return netpolledge.New(ln, cfg, registry, log)
	}
}
