package static

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/maypok86/otter/v2"

	"pyspeed/gateway/exchange"
)

// Settings of one site: a folder, and the paths that are its files.
type Settings struct {
	// Route is the path that the site's begin with, in whole segments, without a slash at its end: "" stands for "/".
	Route string
	Root  string   // absolute
	Index []string // files that stand for their folder, the first that is there
	// Fallback is the file for paths without one, where a page is asked for (single page applications); NotFound the
	// body of 404. Below the root; "": none.
	Fallback, NotFound string
	Listing            bool // folders without index are listed
	// Pass gives what has no file to the next responder.
	Pass           bool
	Fields         []exchange.Field // further fields of files, or others in place of ours
	CacheControl   string           // of files; "": none
	Immutable      bool             // files with a hash in their name may be kept for good
	Precompressed  bool             // .br, .zst and .gz beside a file are its encodings
	Compress       bool             // files in memory are encoded once, when they are asked for often
	Hidden         bool             // names that begin with a dot are served
	Sources        bool             // so are programs
	FollowSymlinks bool             // links may lead out of the root
	Charset        string           // of text; "": not said
	// Types are the Content-Types of files by their extension; with any, other files are none of the site's.
	Types map[string]string
}

// Site serves one folder.
type Site struct {
	Settings
	set   *Set
	root  atomic.Pointer[root]
	slots chan struct{} // of goroutines that use the disk; each site has its own, as one disk may hang
}

// Set is all sites of a gateway with the memory that they share. Safe for concurrent use.
type Set struct {
	sites   []*Site
	cache   *otter.Cache[string, *entry] // by the site's route and the path; nil: nothing is kept
	largest int64                        // file that is kept in memory
	folders *folders
	pipes   pipes
	log     *slog.Logger
	// encoding is held by who encodes a file: one at a time, as the processors are for others.
	encoding chan struct{}
}

// mostLooks is how many requests use a site's disk at once, each a thread of the system's; more wait for it, each on its own
// goroutine.
const mostLooks = 64

// Open makes a set of sites; memory is for the files that are kept, in bytes. Close it.
func Open(list []Settings, memory int64, log *slog.Logger) (*Set, error) {
	set := &Set{log: log, encoding: make(chan struct{}, 1), folders: newFolders(log), pipes: newPipes()}
	if memory > 0 {
		set.largest = max(memory/4, 1)
		cache, err := otter.New(&otter.Options[string, *entry]{
			MaximumWeight: uint64(memory), Weigher: func(key string, e *entry) uint32 { return e.weight() + uint32(len(key)) },
		})
		if err != nil {
			return nil, fmt.Errorf("cannot make the cache of static files: %w", err)
		}
		set.cache = cache
	}
	for _, settings := range list {
		s := &Site{Settings: settings, set: set, slots: make(chan struct{}, mostLooks)}
		set.sites = append(set.sites, s)
		if err := s.open(); err != nil {
			set.Close()
			return nil, err
		}
	}
	return set, nil
}

// open opens the root, in place of the one that was open.
func (s *Site) open() error {
	root, err := openRoot(s.Root)
	if err != nil {
		return fmt.Errorf("cannot serve %s: %w; set root to a folder that can be read", s.Root, err)
	}
	if old := s.root.Swap(root); old != nil {
		old.close()
	}
	return nil
}

// Reopen opens all roots anew, as one may be a symbolic link to a release. One that cannot be opened stays as it was; the
// error says which.
func (set *Set) Reopen() error {
	var failed []error
	for _, s := range set.sites {
		failed = append(failed, s.open())
	}
	set.folders.forget()
	return errors.Join(failed...)
}

// Retire forgets what is kept, of a set that gets no new requests.
func (set *Set) Retire() {
	if set.cache != nil {
		set.cache.InvalidateAll()
	}
}

// Close lets go of the folders and pipes. No request may be under way.
func (set *Set) Close() {
	set.folders.close()
	set.pipes.close()
	for _, s := range set.sites {
		if root := s.root.Load(); root != nil {
			root.close()
		}
	}
}

// Sites are the responders, in the order of the settings; next answers what a site passes on.
func (set *Set) Sites(next exchange.Responder) []exchange.Responder {
	list := make([]exchange.Responder, len(set.sites))
	for i, s := range set.sites {
		list[i] = responder{s, next}
	}
	return list
}

type responder struct {
	*Site
	next exchange.Responder
}

var allow = []exchange.Field{{Name: []byte("Allow"), Value: []byte("GET, HEAD")}}

// Respond implements exchange.Responder.
func (r responder) Respond(x *exchange.Exchange) {
	s := r.Site
	q := &x.Request
	if m := q.Method; string(m) != "GET" && string(m) != "HEAD" {
		if s.Pass {
			r.next.Respond(x)
			return
		}
		answer(x, 405, allow, "")
		return
	}
	var known *entry
	// What is kept had a name that is allowed, or it would not be kept.
	if len(q.RawPath) == len(q.Path) || !encodedSlash(q.RawPath) {
		if e := s.set.recall(q.Path); e != nil && e.site == s {
			if e.serves(q) {
				e.recheck(x.Accepted)
				if e.respond(x, e.pick(q)) {
					return
				}
			}
			known = e
		}
	}
	rest := q.Path[len(s.Route):]
	file, what := name(rest, q.RawPath, s.Hidden)
	if len(rest) == 0 && s.Route != "" {
		what = isFile // a folder that lacks its slash
	}
	if what == isFile && !s.Sources && source(file) || s.Types != nil && (what == isBad || s.Types[path.Ext(file)] == "") {
		what = isNone
	}
	if what == isBad {
		answer(x, 400, nil, "")
		return
	}
	if what == isNone && s.Pass {
		r.next.Respond(x)
		return
	}
	begin(r, x, file, what, known)
}

// recall finds what is known under a path, be it old; it allocates nothing.
func (set *Set) recall(p []byte) *entry {
	if set.cache == nil || len(p) == 0 {
		return nil
	}
	e, _ := set.cache.GetIfPresent(unsafe.String(&p[0], len(p))) // the key is only compared
	return e
}

// serves is whether an entry is all that has to be known for a request.
func (e *entry) serves(q *exchange.Request) bool { return e.fresh() && (e.beside || !encoded(q)) }

// keep keeps an entry under its path.
func (set *Set) keep(p string, e *entry) {
	if set.cache != nil && e.fresh() && e.shape.watched() {
		set.cache.Set(p, e)
	}
}

// location is where a folder's own path, with its slash, is: on this host, whatever the path begins with (RFC 9110
// §10.2.2; "//evil" would name another one).
func location(q *exchange.Request) string {
	to := "/" + strings.TrimLeft(string(q.RawPath), "/") + "/"
	if len(q.Query) > 0 {
		to += "?" + string(q.Query)
	}
	return to
}
