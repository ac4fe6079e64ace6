package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"pyspeed/internal/config"
	"pyspeed/internal/logfile"
)

// listen opens one address of the configuration.
func (g *Gateway) listen(a config.Address) (net.Listener, error) {
	access := socketAccess{mode: 0o666, owner: g.identity.Owner()}
	if mask := g.cfg.Server.Umask; mask >= 0 {
		access.mode &^= fs.FileMode(mask)
	}
	return listen(a, g.cfg.Server.Backlog, access)
}

// socketAccess is who may connect to a unix socket. Without a server.umask the socket's folder decides alone: workers
// and proxies run as other users.
type socketAccess struct {
	mode  fs.FileMode
	owner logfile.Owner
}

func (s socketAccess) set(path string) error {
	err := os.Chmod(path, s.mode)
	if err == nil && s.owner.Set {
		err = os.Chown(path, s.owner.UID, s.owner.GID)
	}
	return err
}

func listen(a config.Address, backlog int, access socketAccess) (net.Listener, error) {
	if fd := a.FD(); fd >= 0 {
		f := os.NewFile(uintptr(fd), a.String())
		if f == nil {
			return nil, fmt.Errorf("cannot listen on %s: descriptor %d is not open", a, fd)
		}
		ln, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w; it must be a listening socket", a, err)
		}
		_ = f.Close() // FileListener has a copy
		return ln, nil
	}
	if a.Network == "unix" {
		if err := removeStale(a.Address); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen(a.Network, a.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w%s", a, cause(err), remedy(err))
	}
	if a.Network == "unix" {
		if err := access.set(a.Address); err != nil {
			return nil, fmt.Errorf("cannot set who may connect to %s: %w", a, err)
		}
	}
	if err := setBacklog(ln, backlog); err != nil {
		return nil, fmt.Errorf("cannot set the backlog of %s: %w", a, err)
	}
	return ln, nil
}

// removeStale removes the socket that a gateway which was killed left behind.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot listen on unix:%s: %w", path, err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("cannot listen on unix:%s: the file exists and is not a socket; remove it or choose another path", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("cannot listen on unix:%s: another server listens there; stop it or choose another path", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove the stale socket: %w", err)
	}
	return nil
}

// cause takes net's repetition of the address off an error.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; stop the server that listens there or choose another address with --bind"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need the capability NET_BIND_SERVICE, or choose another with --bind"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; no network interface has that address"
	}
	return ""
}

// setBacklog calls listen(2) again, which only changes the queue's length.
func setBacklog(ln net.Listener, backlog int) error {
	raw, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := raw.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := rc.Control(func(fd uintptr) { listenErr = syscall.Listen(int(fd), backlog) }); err != nil {
		return err
	}
	return listenErr
}

// url is how a client would write the address.
func url(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	return "http://" + ln.Addr().String()
}
