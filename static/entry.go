package static

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"pyspeed/gateway/exchange"
)

// coding is how a representation of a file is encoded.
type coding uint8

const (
	identity coding = iota
	gzipped
	brotliCoding
	zstandard
	codings
)

var (
	codingNames = [codings]string{gzipped: "gzip", brotliCoding: "br", zstandard: "zstd"}
	// sidecars are the ends of names of files that hold another one encoded.
	sidecars = [codings]string{gzipped: ".gz", brotliCoding: ".br", zstandard: ".zst"}
)

// entry is one file as it was when it was looked at.
type entry struct {
	site  *Site
	key   string // under which it is kept
	name  string // below the root
	shape *shape // of its folder
	since uint64 // shape's version that the entry is of

	modified time.Time // whole seconds
	variants [codings]atomic.Pointer[variant]
	asked    atomic.Int32 // how often a client would have taken a variant that is not there yet
	tooLarge bool         // for variants made here
}

// variant is one representation of a file.
type variant struct {
	coding coding
	path   string // below the root; "": made here, and in body
	size   int64
	etag   string
	fields []exchange.Field // of 200, without Content-Length
	body   []byte           // nil: it is read from the disk
}

// openFile opens a regular file below the root, following links within it only. It never waits for the other
// end of a FIFO.
func (s *Site) openFile(name string) (*os.File, fs.FileInfo, error) {
	var f *os.File
	var err error
	if s.FollowSymlinks {
		f, err = os.OpenFile(path.Join(s.Root, name), os.O_RDONLY|nonblock, 0)
	} else {
		f, err = s.root.Load().OpenFile(name, os.O_RDONLY|nonblock, 0)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// find opens a regular file and makes an entry of it; nil without an error: there is none of that name. folder: it is a
// folder.
func (s *Site) find(name string) (e *entry, folder bool, err error) {
	full := path.Join(s.Root, path.Dir(name))
	shape, since := s.set.folders.known(full)
	f, info, err := s.openFile(name)
	switch {
	case absent(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("cannot open %s: %w", name, err)
	case info.IsDir():
		_ = f.Close()
		return nil, true, nil
	case !info.Mode().IsRegular(): // a device, a FIFO, a socket
		_ = f.Close()
		return nil, false, nil
	}
	if shape == nil {
		// The folder is there, so it can be watched; and the file is looked at again, as it may have changed just before.
		shape, since = s.set.folders.watch(full)
		_ = f.Close()
		if f, info, err = s.openFile(name); err != nil || !info.Mode().IsRegular() {
			if err == nil {
				_ = f.Close()
			}
			return nil, false, nil
		}
	}
	e, err = s.load(name, f, info)
	if err != nil {
		return nil, false, err
	}
	e.shape, e.since = shape, since
	return e, false, nil
}

// absent is whether an error means that there is no such file for anybody who asks: it is not there, a part of its path is
// a file, it leads out of the root, or its name is too long.
func absent(err error) bool {
	return err != nil && !exhausted(err)
}

// load looks a regular file up; f is open at its start and is closed here.
func (s *Site) load(name string, f *os.File, info fs.FileInfo) (*entry, error) {
	defer func() { _ = f.Close() }() // it was only read
	e := &entry{site: s, name: name, modified: info.ModTime().Truncate(time.Second)}
	kind := s.contentType(name)
	v, err := e.read(identity, name, kind, f, info, info)
	if err != nil {
		return nil, err
	}
	if s.Precompressed {
		for c := gzipped; c < codings; c++ {
			if beside, sideInfo, err := s.openFile(name + sidecars[c]); err == nil {
				if sideInfo.Mode().IsRegular() {
					if side, err := e.read(c, name+sidecars[c], kind, beside, sideInfo, info); err == nil {
						e.variants[c].Store(side)
					}
				}
				_ = beside.Close()
			}
		}
	}
	e.tooLarge = v.body == nil || !s.Compress || !shrinks(kind)
	e.variants[identity].Store(v)
	return e, nil
}

// read makes a variant of an open file. original is the info of the file that it is a variant of.
func (e *entry) read(c coding, name, kind string, f *os.File, info, original fs.FileInfo) (*variant, error) {
	v := &variant{coding: c, path: name, size: info.Size()}
	// As nginx's: time and length, both of the file itself, so that gateways which serve copies agree. A coding is a
	// representation of its own (RFC 9110 §8.8.3).
	v.etag = fmt.Sprintf("\"%x-%x", original.ModTime().UnixNano(), original.Size())
	if c != identity {
		v.etag += "-" + codingNames[c]
	}
	v.etag += "\""
	if v.size <= e.site.set.largest {
		v.body = make([]byte, v.size)
		if _, err := io.ReadFull(f, v.body); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	v.fields = e.fields(v, kind)
	return v, nil
}

// fields are those of a 200.
func (e *entry) fields(v *variant, kind string) []exchange.Field {
	s := e.site
	list := []exchange.Field{
		field("Content-Type", kind),
		field("Last-Modified", e.modified.UTC().Format(http.TimeFormat)),
		field("ETag", v.etag),
		field("Accept-Ranges", "bytes"),
	}
	if v.coding != identity {
		list[3] = field("Content-Encoding", codingNames[v.coding]) // ranges are those of the file itself
	}
	if s.Precompressed || s.Compress && shrinks(kind) {
		list = append(list, field("Vary", "Accept-Encoding"))
	}
	if c := s.cacheControl(e.name); c != "" {
		list = append(list, field("Cache-Control", c))
	}
	for _, f := range s.Fields {
		// What the operator says wins.
		replaced := false
		for i := range list {
			if strings.EqualFold(string(list[i].Name), string(f.Name)) {
				list[i], replaced = f, true
			}
		}
		if !replaced {
			list = append(list, f)
		}
	}
	return list
}

func (s *Site) cacheControl(name string) string {
	if s.Immutable && hashed(name) {
		return "public, max-age=31536000, immutable" // RFC 8246
	}
	return s.CacheControl
}

// fresh is whether nothing in the file's folder has changed since the entry was made.
func (e *entry) fresh() bool { return e.shape.fresh(e.since) }

// weight is the memory that an entry holds, in bytes.
func (e *entry) weight() uint32 {
	n := int64(512 + len(e.name))
	for c := range e.variants {
		if v := e.variants[c].Load(); v != nil {
			n += int64(len(v.body)) + 512
		}
	}
	return uint32(min(n, 1<<31))
}

// exhausted is whether an error is the machine's and will pass: the file may well be there.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EIO)
}

func field(name, value string) exchange.Field {
	return exchange.Field{Name: []byte(name), Value: []byte(value)}
}

func contentRange(s span, size int64) string {
	return "bytes " + strconv.FormatInt(s.start, 10) + "-" + strconv.FormatInt(s.start+s.n-1, 10) + "/" + strconv.FormatInt(size, 10)
}
