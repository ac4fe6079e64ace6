package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Address is a place to listen at.
type Address struct {
	// Network is "tcp", "unix" or "fd"; "" in the zero Address, which stands
	// for no listener.
	Network string
	// Address is host:port as net.Listen takes it, an absolute path, or the
	// number of an inherited descriptor.
	Address string
}

// unixPathMax is the longest path that fits sockaddr_un.sun_path with its
// final zero (108 bytes on Linux, unix(7); 104 elsewhere are checked by bind).
const unixPathMax = 107

const addressForms = `host:port, [ipv6]:port, unix:/path or fd:number`

// String gives the form that the configuration uses; "" for the zero Address.
func (a Address) String() string {
	if a.Network == "tcp" || a.Network == "" {
		return a.Address
	}
	return a.Network + ":" + a.Address
}

// FD is the descriptor of an "fd" address, else -1.
func (a Address) FD() int {
	if a.Network != "fd" {
		return -1
	}
	n, err := strconv.Atoi(a.Address)
	if err != nil {
		return -1
	}
	return n
}

// parseAddress reads one of the addressForms; a relative path is taken from
// base. The error says what is wrong without repeating s.
func parseAddress(s, base string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" || strings.ContainsRune(path, 0) {
			return Address{}, errors.New("a unix socket needs a path")
		}
		path = absolute(path, base)
		if len(path) > unixPathMax {
			return Address{}, fmt.Errorf("the absolute path has %d bytes and that of a unix socket may have %d", len(path), unixPathMax)
		}
		return Address{"unix", path}, nil
	}
	if number, ok := strings.CutPrefix(s, "fd:"); ok {
		n, err := strconv.Atoi(strings.TrimPrefix(number, "//")) // gunicorn writes fd://3
		if err != nil || n < 3 {
			return Address{}, errors.New("fd: takes the number of an inherited descriptor, 3 or more")
		}
		return Address{"fd", strconv.Itoa(n)}, nil
	}
	host, port, err := net.SplitHostPort(s)
	switch {
	case err != nil && strings.Count(s, ":") > 1:
		return Address{}, errors.New("an IPv6 address goes into brackets, as in [::1]:8000")
	case err != nil:
		return Address{}, errors.New("the port is missing")
	case strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }):
		return Address{}, errors.New("the host has characters that no host name has")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, errors.New("a port is a number from 0 to 65535 (0: any free one)")
	}
	if host == "" {
		return Address{}, fmt.Errorf("the host is missing; 0.0.0.0:%d listens on every IPv4 interface", n)
	}
	return Address{"tcp", net.JoinHostPort(host, strconv.FormatUint(n, 10))}, nil
}

// absolute joins a relative path to base.
func absolute(path, base string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}
