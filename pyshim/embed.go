// Package pyshim holds the Python half of PySpeed: the package `pyspeed` that
// workers run, embedded in the gateway's binary. The Python files in this folder are its source.
//
// In: nothing. Out: Archive, the zip that a worker's Python is started with. Any
// goroutine may call it.
package pyshim

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sync"
	"time"
)

// The patterns name files, not folders, so that neither tests nor
// caches get into the binary, while __init__.py does. pyspeed/fastcgi runs without a gateway
// only, from an installed package.
//
//go:embed __main__.py pyspeed/*.py pyspeed/accelerate/*.py
var source embed.FS

// Archive returns the shim as a zip file that Python can run. It is built once
// and must not be changed. Equal sources give equal bytes.
func Archive() ([]byte, error) { return build() }

// Version is that of the Python package inside the binary.
func Version() (string, error) {
	text, err := source.ReadFile("pyspeed/__init__.py")
	if err != nil {
		return "", fmt.Errorf("cannot read the shim: %w", err)
	}
	m := versionLine.FindSubmatch(text)
	if m == nil {
		return "", errors.New("cannot find __version__ in the shim")
	}
	return string(m[1]), nil
}

var versionLine = regexp.MustCompile(`(?m)^__version__ = "([^"]+)"$`)

var build = sync.OnceValues(func() ([]byte, error) { return pack(source) })

// pack stores the files of f, in the order of their names, uncompressed: the
// import system maps nothing, but it need not inflate either, and zlib may be
// missing from a small Python.
func pack(f fs.FS) ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	err := fs.WalkDir(f, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(f, name)
		if err != nil {
			return err
		}
		w, err := z.CreateHeader(&zip.FileHeader{
			Name: name, Method: zip.Store,
			// The oldest time a zip file can hold; also the time that Python
			// would compare with that of a cached .pyc, of which there is none.
			Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC),
		})
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot pack the shim: %w", err)
	}
	return buf.Bytes(), nil
}
