package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"pyspeed/internal/logfile"
)

// pathMost is the longest path of a unix socket, with room for the zero that ends it (unix(7)).
const pathMost = 107

// Socket is a control socket that listens.
type Socket struct {
	*net.UnixListener
	path string
	file fs.FileInfo // what is ours of what the path may name
	uid  int         // who may connect, besides root
}

// Listen makes the socket, for its owner alone. One that a dead gateway left behind is replaced, one that is
// listened to is not.
func Listen(path string, owner logfile.Owner) (*Socket, error) {
	s, err := listen(path, owner)
	if err != nil {
		return nil, fmt.Errorf("cannot make the control socket %s: %w", path, err)
	}
	return s, nil
}

func listen(path string, owner logfile.Owner) (*Socket, error) {
	if len(path) > pathMost {
		return nil, fmt.Errorf("the path has %d bytes, and that of a unix socket may have %d; name a shorter one with --control", len(path), pathMost)
	}
	// Between the look at a stale socket and its replacement no other gateway may do the same.
	unlock := lock(filepath.Dir(path))
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// On Linux the mode goes to the file that bind makes, so that there is no moment with a wider one; elsewhere
			// Chmod below has to do.
			_ = syscall.Fchmod(int(fd), 0o600)
		})
	}}
	ln, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, err
	}
	s := &Socket{UnixListener: ln.(*net.UnixListener), path: path, uid: os.Geteuid()}
	s.SetUnlinkOnClose(false) // Close sees to it
	if err := s.give(owner); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// give makes the owner the one who may connect.
func (s *Socket) give(owner logfile.Owner) error {
	err := os.Chmod(s.path, 0o600)
	if err == nil && owner.Set {
		err = os.Chown(s.path, owner.UID, owner.GID)
		if owner.UID >= 0 {
			s.uid = owner.UID
		}
	}
	if err != nil {
		return err
	}
	s.file, err = os.Lstat(s.path)
	return err
}

// lock keeps other gateways from the folder's sockets; where a file system knows no locks, nothing does.
func lock(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	return func() { _ = f.Close() }
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("the file exists and is not a socket; name another path with --control")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return errors.New("another gateway listens there; name another path with --control")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // its queue may be full, or it is somebody else's
		return fmt.Errorf("it may be another gateway's: %w; name another path with --control", err)
	}
	return os.Remove(path)
}

// Close ends the listening, and removes the socket's file if that is still ours.
func (s *Socket) Close() {
	_ = s.UnixListener.Close()
	if now, err := os.Lstat(s.path); err == nil && s.file != nil && os.SameFile(now, s.file) {
		_ = os.Remove(s.path) // after a change of the user it may stay, and is replaced by the next gateway
	}
}
