//go:build !linux

package ctl

import "net"

// peer is the user who connected; -1 where the system does not tell. The socket's mode has to do.
func peer(*net.UnixConn) int { return -1 }

// peersAreKnown is whether a user who is not told must be refused.
const peersAreKnown = false
