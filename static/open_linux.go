package static

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle is the descriptor of an open file. An os.File would ask the kernel four times more for each: whether it can be polled,
// which a regular file cannot.
type handle int

// openFlags never wait for the other end of a FIFO.
const openFlags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// root is the folder of a site.
type root struct {
	*os.Root
	folder *os.File        // the same
	raw    syscall.RawConn // folder's
	walks  bool            // os.Root goes the way, segment by segment, where the kernel has no openat2
}

func openRoot(name string) (*root, error) {
	r, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	folder, err := r.Open(".")
	if err != nil {
		_ = r.Close() // nothing was written
		return nil, err
	}
	raw, err := folder.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, folder.Close(), r.Close())
	}
	made := &root{Root: r, folder: folder, raw: raw}
	h, err := made.openat(".")
	if err != nil {
		made.walks = true // before Linux 5.6, or a sandbox that does not know it
	} else {
		h.close()
	}
	return made, nil
}

func (r *root) close() {
	_ = r.folder.Close() // nothing was written
	_ = r.Close()
}

// open opens what is below the root, following links within it only.
func (r *root) open(name string) (handle, error) {
	if !r.walks {
		h, err := r.openat(name)
		if !errors.Is(err, unix.EAGAIN) { // something was renamed meanwhile
			return h, err
		}
	}
	f, err := r.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = f.Close() }() // its duplicate stays
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	return handle(fd), err
}

// openat is one system call for the whole way. RESOLVE_BENEATH refuses what os.Root does: absolute links, and dots that lead out.
func (r *root) openat(name string) (handle, error) {
	how := unix.OpenHow{Flags: openFlags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd := -1
	var err error
	// Control keeps the folder's descriptor from being closed, and its number from being another's, meanwhile.
	closed := r.raw.Control(func(folder uintptr) {
		for {
			if fd, err = unix.Openat2(int(folder), name, &how); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
	if closed != nil {
		return -1, os.ErrClosed // Reopen was quicker
	}
	return handle(fd), err
}

// openAnywhere opens a file of a folder whose links may lead out of it.
func openAnywhere(folder, name string) (handle, error) {
	for {
		fd, err := unix.Open(path.Join(folder, name), openFlags, 0)
		if !errors.Is(err, unix.EINTR) {
			return handle(fd), err
		}
	}
}

func (h handle) stat() (info, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(int(h), &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return info{}, fmt.Errorf("cannot look at an open file: %w", err)
		}
		kind := st.Mode & unix.S_IFMT
		return info{device: uint64(st.Dev), inode: st.Ino, size: st.Size, modified: time.Unix(st.Mtim.Unix()), regular: kind == unix.S_IFREG, folder: kind == unix.S_IFDIR}, nil //nolint:unconvert // of another size elsewhere
	}
}

// readAt reads what there is, at least a byte; io.EOF: there is nothing.
func (h handle) readAt(p []byte, at int64) (int, error) {
	for {
		n, err := unix.Pread(int(h), p, at)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (h handle) close() { _ = unix.Close(int(h)) } // it was only read
