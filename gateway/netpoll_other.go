//go:build !linux

package gateway

import (
	"errors"
	"log/slog"
	"net"

	"pyspeed/fcgi"
	"pyspeed/gateway/http1"
)

// useNetpoll is whether the option server.edge means netpoll here.
func useNetpoll(edge string) bool { return edge == "netpoll" }

func newNetpoll(net.Listener, *http1.Shared, *http1.Registry, *slog.Logger) (edge, error) {
	return nil, errors.New(`cannot use netpoll on this system; set server.edge to "auto" or "conn"`)
}

func newLoop(string) (fcgi.Loop, error) { return fcgi.Goroutines{}, nil }
