package static

import (
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
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
	site   *Site
	key    string // under which it is kept
	name   string // below the root
	varies string // what else of a request chose it; "": nothing
	shape  *shape // of its folder
	since  uint64 // shape's version that the entry is of

	modified time.Time // whole seconds
	variants [codings]atomic.Pointer[variant]
	beside   bool         // the variants beside the file, if there may be any, were looked for
	asked    atomic.Int32 // how often a client would have taken a variant that is not there yet
	tooLarge bool         // for variants made here

	admitting atomic.Bool  // its body is being read
	checking  atomic.Bool  // its files are looked at
	checked   atomic.Int64 // when they last were, by the gateway's clock
	old       atomic.Bool  // they are others now
}

// variant is one representation of a file.
type variant struct {
	coding coding
	path   string // below the root; "": made here, and in body
	was    info   // its own file
	size   int64
	etag   string
	fields []exchange.Field // of 200, without Content-Length
	body   []byte           // nil: it is on the disk
}

// small is the largest file that is read into memory when it is asked for the first time, in bytes: it is answered from
// there. A larger one is when it is asked for again, so that a pass over many files does not fill memory with what nobody wants.
const small = 16 << 10

// leastKernel is the smallest file that is left to the kernel's memory, in bytes, unless it is one to be encoded: it is sent from
// there at least as quickly as from ours.
const leastKernel = 1 << 20

// question is what is asked for of a file.
type question struct {
	name   string
	beside bool          // the client would take an encoding that lies beside it
	varies string        // what else of the request chose the name
	known  *entry        // what was known under the request's path, maybe of another file; nil: nothing
	now    time.Duration // by the gateway's clock
}

// find makes an entry of a regular file; nil without an error: there is none of that name. f is open if the entry's body is on the
// disk only. folder: it is a folder.
func (s *Site) find(q *question) (e *entry, f *file, folder bool, err error) {
	full := path.Join(s.Root, path.Dir(q.name))
	shape, since := s.set.folders.known(full)
	f, err = s.openFile(q.name)
	switch {
	case absent(err):
		return nil, nil, false, nil
	case err != nil:
		return nil, nil, false, fmt.Errorf("cannot open %s: %w", q.name, err)
	case !f.regular: // a device, a FIFO, a socket
		f.close()
		return nil, nil, f.folder, nil
	}
	if shape == nil {
		// The folder is there, so it can be watched; and the file is looked at again, as it may have changed just before.
		shape, since = s.set.folders.watch(full)
		f.close()
		if f, err = s.openFile(q.name); err != nil {
			return nil, nil, false, nil
		}
		if !f.regular {
			f.close()
			return nil, nil, false, nil
		}
	}
	if e, err = s.describe(q, f); err != nil {
		f.close()
		return nil, nil, false, err
	}
	e.shape, e.since = shape, since
	if e.variants[identity].Load().body != nil {
		f.close()
		f = nil
	}
	return e, f, false, nil
}

// describe makes an entry of a file.
func (s *Site) describe(q *question, f *file) (*entry, error) {
	e := &entry{site: s, name: q.name, varies: q.varies, modified: f.modified.Truncate(time.Second), beside: q.beside || !s.Precompressed}
	e.checked.Store(int64(q.now))
	kind := s.contentType(q.name)
	known := q.known
	if known != nil && (known.site != s || known.name != q.name || known.varies != q.varies) {
		known = nil
	}
	v, err := e.describe(identity, q.name, kind, f, &f.info, known)
	if err != nil {
		return nil, err
	}
	if s.Precompressed && q.beside {
		for c := gzipped; c < codings; c++ {
			if side, err := s.openFile(q.name + sidecars[c]); err == nil {
				if side.regular {
					if made, err := e.describe(c, q.name+sidecars[c], kind, side, &f.info, known); err == nil {
						e.variants[c].Store(made)
					}
				}
				side.close()
			}
		}
	}
	e.tooLarge = v.size > min(s.set.largest, mostEncoded) || !s.Compress || !shrinks(kind)
	e.variants[identity].Store(v)
	if known != nil && v == known.variants[identity].Load() {
		// What was made of the file's body is still made of it.
		for c := gzipped; c < codings; c++ {
			if made := known.variants[c].Load(); made != nil && made.path == "" && e.variants[c].Load() == nil {
				e.variants[c].Store(made)
			}
		}
	}
	return e, nil
}

// describe makes a variant of an open file. original is the file that it is a variant of; known may have it.
func (e *entry) describe(c coding, name, kind string, f *file, original *info, known *entry) (*variant, error) {
	// As nginx's: time and length, both of the file itself, so that gateways which serve copies agree. A coding is a
	// representation of its own (RFC 9110 §8.8.3), and may be made anew of the same file.
	tag := append(make([]byte, 0, 48), '"')
	tag = strconv.AppendInt(tag, original.modified.UnixNano(), 16)
	tag = append(tag, '-')
	tag = strconv.AppendInt(tag, original.size, 16)
	if c != identity {
		tag = append(append(tag, '-'), codingNames[c]...)
		tag = append(tag, '-')
		tag = strconv.AppendInt(tag, f.size, 16)
	}
	tag = append(tag, '"')
	if known != nil {
		if v := known.variants[c].Load(); v != nil && v.path == name && v.etag == string(tag) && f.surely(&v.was) {
			return v, nil
		}
	}
	v := &variant{coding: c, path: name, was: f.info, size: f.size, etag: string(tag)}
	if v.size <= min(small, e.site.set.largest) {
		var err error
		if v.body, err = f.whole(); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	v.fields = e.fields(v, kind)
	return v, nil
}

// open opens the file of a variant that is on the disk; nil: it is no longer what it was.
func (e *entry) open(v *variant) *file {
	f, err := e.site.openFile(v.path)
	if err != nil {
		return nil
	}
	if !f.is(&v.was) {
		f.close()
		return nil
	}
	return f
}

// admit keeps the body of a variant that is asked for again, if it is not too large; nil: it is sent from the disk. f is its file.
func (e *entry) admit(v *variant, f *file) *variant {
	if v.size > e.site.set.largest || v.size >= leastKernel && (e.tooLarge || v.coding != identity) || !e.admitting.CompareAndSwap(false, true) {
		return nil // one request reads it for all that come after
	}
	defer e.admitting.Store(false)
	if now := e.variants[v.coding].Load(); now.body != nil {
		return now // since it was picked
	}
	body, err := f.whole()
	if err != nil {
		return nil
	}
	kept := *v
	kept.body = body
	e.variants[v.coding].Store(&kept)
	e.site.set.keep(e.key, e) // the memory that it holds has changed
	return &kept
}

// trust is how long an entry is believed in without a look at its files: no event tells of changes by another host, behind
// a symbolic link, or of a folder above.
const trust = 2 * time.Second

// recheck has the files looked at if that was long ago. It does not wait: this request is answered with what is kept.
func (e *entry) recheck(now time.Duration) {
	if now-time.Duration(e.checked.Load()) < trust || !e.checking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer e.checking.Store(false)
		for c := range e.variants {
			if v := e.variants[c].Load(); v != nil && v.path != "" {
				f := e.open(v)
				if f == nil {
					e.old.Store(true)
					return
				}
				f.close()
			}
		}
		e.checked.Store(int64(now))
	}()
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
	varies := e.varies
	if s.Precompressed || s.Compress && shrinks(kind) {
		if varies != "" {
			varies += ", "
		}
		varies += "Accept-Encoding"
	}
	if varies != "" {
		list = append(list, field("Vary", varies))
	}
	if c := s.cacheControl(e.name); c != "" {
		list = append(list, field("Cache-Control", c))
	}
	for _, f := range s.Fields {
		// What the operator says wins.
		replaced := false
		for i := range list {
			if strings.EqualFold(string(list[i].Name), string(f.Name)) {
				if exchange.EqualFold(f.Name, "vary") { // but a cache must know what we choose by
					f.Value = append(append(append([]byte{}, list[i].Value...), ", "...), f.Value...)
				}
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

// fresh is whether nothing in the file's folder has changed since the entry was made, as far as is known.
func (e *entry) fresh() bool { return e.shape.fresh(e.since) && !e.old.Load() }

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

func field(name, value string) exchange.Field {
	return exchange.Field{Name: []byte(name), Value: []byte(value)}
}

func contentRange(s span, size int64) string {
	return "bytes " + strconv.FormatInt(s.start, 10) + "-" + strconv.FormatInt(s.start+s.n-1, 10) + "/" + strconv.FormatInt(size, 10)
}
