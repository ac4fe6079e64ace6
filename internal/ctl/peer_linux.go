package ctl

import (
	"net"

	"golang.org/x/sys/unix"
)

// peer is the user who connected; -1 where the system does not tell.
func peer(c *net.UnixConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	uid := -1
	if err := raw.Control(func(fd uintptr) {
		if who, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(who.Uid)
		}
	}); err != nil {
		return -1
	}
	return uid
}

// peersAreKnown is whether a user who is not told must be refused.
const peersAreKnown = true
