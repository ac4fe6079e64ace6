package cache

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/maypok86/otter/v2"
)

// mostVariants is how many answers are kept of one URI, which an unsafe request removes at once. How many there are is for
// clients to say, where answers differ by a field of theirs.
const mostVariants = 1000

// memory keeps entries within a number of bytes; what is asked for least goes first. Safe for concurrent use.
type memory struct {
	cache *otter.Cache[string, *entry]

	mu   sync.Mutex
	uris map[string]map[*entry]struct{}
	tags map[string]map[*entry]struct{}
}

func newMemory(size int64) (*memory, error) {
	m := &memory{uris: map[string]map[*entry]struct{}{}, tags: map[string]map[*entry]struct{}{}}
	cache, err := otter.New(&otter.Options[string, *entry]{
		MaximumWeight: uint64(size), Weigher: func(_ string, e *entry) uint32 { return e.weight() },
		OnAtomicDeletion: func(event otter.DeletionEvent[string, *entry]) { m.forget(event.Value) },
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the cache: %w", err)
	}
	m.cache = cache
	return m, nil
}

// find returns what is kept under a key, which is only compared; nil: nothing. It allocates nothing.
func (m *memory) find(key []byte) *entry {
	if e, ok := m.cache.GetIfPresent(unsafe.String(unsafe.SliceData(key), len(key))); ok && !e.gone.Load() {
		return e
	}
	return nil
}

// set keeps an entry. The memory may refuse it, when all else is asked for more.
func (m *memory) set(e *entry) {
	var beyond *entry
	if !e.mark {
		m.mu.Lock()
		if of := m.uris[e.uri]; len(of) >= mostVariants {
			for beyond = range of {
				if beyond.names == nil {
					break
				}
			}
		}
		note(m.uris, e.uri, e)
		for _, t := range e.tags {
			note(m.tags, t, e)
		}
		m.mu.Unlock()
	}
	m.cache.Set(e.key, e)
	if beyond != nil {
		m.remove(beyond)
	}
}

func note(index map[string]map[*entry]struct{}, name string, e *entry) {
	if index[name] == nil {
		index[name] = map[*entry]struct{}{}
	}
	index[name][e] = struct{}{}
}

// forget takes an entry out of the index. Called by the cache, with a lock of its own held.
func (m *memory) forget(e *entry) {
	if e.mark {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	unnote(m.uris, e.uri, e)
	for _, t := range e.tags {
		unnote(m.tags, t, e)
	}
}

func unnote(index map[string]map[*entry]struct{}, name string, e *entry) {
	if delete(index[name], e); len(index[name]) == 0 {
		delete(index, name)
	}
}

// drop removes what what selects, and returns how many answers these were.
func (m *memory) drop(what *Purge) int {
	var list []*entry
	m.mu.Lock()
	take := func(of map[*entry]struct{}) {
		for e := range of {
			list = append(list, e)
		}
	}
	switch {
	case what.uri != "":
		take(m.uris[what.uri])
	case what.Tag != "":
		take(m.tags[what.Tag])
	default:
		for uri, of := range m.uris {
			if what.selects(uri) {
				take(of)
			}
		}
	}
	m.mu.Unlock()
	n := 0
	for _, e := range list {
		e.gone.Store(true)
		if e.names == nil {
			n++
		}
		m.remove(e)
	}
	return n
}

// remove removes an entry, but not one that has taken its place.
func (m *memory) remove(e *entry) {
	m.cache.ComputeIfPresent(e.key, func(old *entry) (*entry, otter.ComputeOp) {
		if old == e {
			return nil, otter.InvalidateOp
		}
		return old, otter.CancelOp
	})
}

// counts are how many answers there are, and how many bytes they take.
func (m *memory) counts() (answers int, bytes uint64) {
	return m.cache.EstimatedSize(), m.cache.WeightedSize()
}

// Purge selects answers: by one of its fields.
type Purge struct {
	// URL is that of an answer; one that begins with a slash is of any host. The query counts. Prefix is what URLs begin with.
	URL, Prefix string
	Tag         string
	All         bool

	uri string // exactly this one
}

// normal is a URL, or its beginning, as keys have it.
func normal(s string) string {
	host, path := "", s
	if scheme, rest, found := strings.Cut(s, "://"); found {
		at := strings.IndexByte(rest, '/')
		if at < 0 {
			at = len(rest)
		}
		host, path = strings.ToLower(scheme)+"://"+strings.ToLower(rest[:at]), rest[at:]
		if port := map[string]string{"http": ":80", "https": ":443"}[strings.ToLower(scheme)]; port != "" {
			host = strings.TrimSuffix(host, port)
		}
	}
	path, query, found := strings.Cut(path, "?")
	s = host + string(appendPath(nil, []byte(path)))
	if found {
		s += "?" + query
	}
	return s
}

// selects is whether an answer's URI is meant. Not for tags.
func (p *Purge) selects(uri string) bool {
	switch {
	case p.All:
		return true
	case p.uri != "":
		return uri == p.uri
	case p.URL != "":
		return local(p.URL, uri) == schemeless(p.URL)
	case p.Prefix != "":
		return strings.HasPrefix(local(p.Prefix, uri), schemeless(p.Prefix))
	}
	return false
}

// schemeless is a URI without its scheme: what a site has for https is what it has for http, when what ends TLS is in front.
func schemeless(uri string) string {
	if _, rest, found := strings.Cut(uri, "://"); found {
		return rest
	}
	return uri
}

// local is a URI without scheme, and without host where what it is compared with has none.
func local(like, uri string) string {
	rest := schemeless(uri)
	if !strings.HasPrefix(like, "/") {
		return rest
	}
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		return rest[at:]
	}
	return ""
}
