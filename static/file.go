package static

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"
)

// info is what is known of a file.
type info struct {
	device, inode   uint64 // both 0: the system does not say
	size            int64
	modified        time.Time
	regular, folder bool
}

// is whether a file seems to be that one, unchanged.
func (i *info) is(other *info) bool {
	return i.device == other.device && i.inode == other.inode && i.size == other.size && i.modified.Equal(other.modified) && i.regular
}

// surely is whether there can be no doubt: two releases may have files of one length and time.
func (i *info) surely(other *info) bool { return i.inode != 0 && i.is(other) }

// file is an open file, as it was when it was opened.
type file struct {
	handle
	info
	name string // below the root
}

// openFile opens what a name below the root stands for, following links within it only unless the site may follow all. It
// never waits for the other end of a FIFO.
func (s *Site) openFile(name string) (*file, error) {
	var h handle
	var err error
	if s.FollowSymlinks {
		h, err = openAnywhere(s.Root, name)
	} else {
		for {
			root := s.root.Load()
			h, err = root.open(name)
			if !errors.Is(err, fs.ErrClosed) || s.root.Load() == root {
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	f := &file{handle: h, name: name}
	if f.info, err = h.stat(); err != nil {
		h.close()
		return nil, err
	}
	return f, nil
}

// whole reads all of it; an error if it has become shorter.
func (f *file) whole() ([]byte, error) {
	b := make([]byte, f.size)
	for at := 0; at < len(b); {
		n, err := f.readAt(b[at:], int64(at))
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		at += n
	}
	return b, nil
}

// absent is whether an error means that there is no such file for anybody who asks: it is not there, a part of its path is
// a file, it leads out of the root, or its name is too long.
func absent(err error) bool {
	return err != nil && !exhausted(err)
}

// exhausted is whether an error is the machine's and will pass: the file may well be there.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EIO)
}
