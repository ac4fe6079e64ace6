package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// File is the place of one log. One goroutine calls Write, then Close.
type File struct {
	stream *os.File // what "-" stands for
	owner  Owner

	mu   sync.Mutex
	path string
	next *os.File // takes over at the next Write; nil: file stays
	file *os.File // closed by the goroutine that calls Write alone

	torn bool // the last write ended inside a line
}

// Owner is whom files belong to that are made here; the zero Owner is whoever makes them.
type Owner struct {
	Set      bool
	UID, GID int
}

// Open opens a file to append to it; "-" is stream, which is never opened or closed here. A file
// that is not there is made, with mode 0640, for owner.
func Open(path string, stream *os.File, owner Owner) (*File, error) {
	f := &File{stream: stream, owner: owner, path: path}
	file, err := f.open(path)
	if err != nil {
		return nil, err
	}
	f.file = file
	return f, nil
}

func (f *File) open(path string) (*os.File, error) {
	if path == "-" {
		return f.stream, nil
	}
	const flags = os.O_APPEND | os.O_WRONLY | syscall.O_NOCTTY
	file, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = f.create(path, flags)
	}
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (f *File) create(path string, flags int) (*os.File, error) {
	// Exclusively: only what was made here may be given away, and not what somebody's link points to.
	file, err := os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) { // made meanwhile, or a link to nowhere
		return os.OpenFile(path, flags|os.O_CREATE, 0o640)
	}
	if err == nil && f.owner.Set {
		if err = file.Chown(f.owner.UID, f.owner.GID); err != nil {
			_ = file.Close()
			return nil, err
		}
	}
	return file, err
}

// Path is the file's name; "-" for a stream.
func (f *File) Path() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path
}

// Reopen opens the file anew by its name. On an error all stays as it was.
func (f *File) Reopen() error { return f.Move(f.Path()) }

// Move goes on in another file. On an error all stays as it was.
func (f *File) Move(path string) error {
	file, err := f.open(path)
	if err != nil {
		return fmt.Errorf("%w; lines go to the old file", err)
	}
	f.mu.Lock()
	unused := f.next
	f.path, f.next = path, file
	f.mu.Unlock()
	f.close(unused)
	return nil
}

func (f *File) close(file *os.File) {
	if file != nil && file != f.stream {
		_ = file.Close() // what could be written was
	}
}

// current is the file to write to.
func (f *File) current() *os.File {
	f.mu.Lock()
	file, old := f.file, (*os.File)(nil)
	if f.next != nil {
		old, f.file, f.next = file, f.next, nil
		file = f.file
	}
	f.mu.Unlock()
	if old != nil && old != file {
		f.torn = false
		f.close(old)
	}
	return file
}

// Write appends whole lines; none at all just lets go of an old file. When the disk takes only some bytes of them, as one that is full does, what follows later
// begins a line of its own.
func (f *File) Write(p []byte) (int, error) {
	file := f.current()
	if len(p) == 0 {
		return 0, nil
	}
	if f.torn {
		if _, err := file.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := file.Write(p)
	f.torn = n > 0 && p[n-1] != '\n'
	return n, err
}

// Close closes the file, unless it is a stream.
func (f *File) Close() { f.close(f.current()) }
