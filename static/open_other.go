//go:build !linux

package static

import (
	"io"
	"os"
	"path"
)

// handle is an open file.
type handle struct{ f *os.File }

// root is the folder of a site.
type root struct{ *os.Root }

func openRoot(name string) (*root, error) {
	r, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &root{r}, nil
}

func (r *root) close() { _ = r.Close() } // nothing was written

// open opens what is below the root, following links within it only.
func (r *root) open(name string) (handle, error) {
	f, err := r.OpenFile(name, os.O_RDONLY|nonblock, 0)
	return handle{f}, err
}

// openAnywhere opens a file of a folder whose links may lead out of it.
func openAnywhere(folder, name string) (handle, error) {
	f, err := os.OpenFile(path.Join(folder, name), os.O_RDONLY|nonblock, 0)
	return handle{f}, err
}

func (h handle) stat() (info, error) {
	i, err := h.f.Stat()
	if err != nil {
		return info{}, err
	}
	return info{size: i.Size(), modified: i.ModTime(), regular: i.Mode().IsRegular(), folder: i.IsDir()}, nil
}

// readAt reads what there is, at least a byte; io.EOF: there is nothing.
func (h handle) readAt(p []byte, at int64) (int, error) {
	n, err := h.f.ReadAt(p, at)
	if n > 0 {
		return n, nil
	}
	if err == nil && len(p) > 0 {
		err = io.EOF
	}
	return 0, err
}

func (h handle) close() { _ = h.f.Close() } // it was only read
