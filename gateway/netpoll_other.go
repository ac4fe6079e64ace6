//go:build !linux

package gateway

import (
	"errors"
	"log/slog"
	"net"

	"pyspeed/gateway/http1"
)

func newNetpoll(net.Listener, *http1.Config, *http1.Registry, *slog.Logger) (edge, error) {
	return nil, errors.New(`cannot use netpoll on this system; set server.edge to "auto" or "conn"`)
}
