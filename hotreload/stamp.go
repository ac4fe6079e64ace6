package hotreload

import (
	"hash/maphash"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// hashMost is the size up to which a file's content is compared, not only its size and times.
	hashMost = 1 << 20
	// freshFor is how long after a file's last change another one may leave it with the same size and time: clocks of
	// file systems are coarse, and that of another machine may be late.
	freshFor = 2 * time.Second
)

// stamp is how a file was when it was looked at.
type stamp struct {
	size   int64
	mtime  int64 // nanoseconds
	inode  uint64
	hash   uint64
	hashed bool
	fresh  bool // it had changed less than freshFor before
}

func newStamp(info fs.FileInfo, now time.Time) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano(), fresh: now.Sub(info.ModTime()) < freshFor}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = st.Ino
	}
	return s
}

// sameTimes is whether nothing says that the file was written between the two.
func (s *stamp) sameTimes(o *stamp) bool {
	return s.size == o.size && s.mtime == o.mtime && s.inode == o.inode
}

// identity tells folders apart, whatever their names.
type identity struct{ device, inode uint64 }

func identityOf(info fs.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	//nolint:unconvert // the type differs between systems
	return identity{uint64(st.Dev), st.Ino}
}

// file is one that counts.
type file struct {
	path string
	root *root // nil: it is named by itself
	kind Kind
	// whole stands for all that is in a root whose link leads elsewhere now.
	whole bool
}

// noted is a file that may be different, as it was when that was seen.
type noted struct {
	file
	seen stamp
}

// entry is a file as it was when the Handler was last told, or when the Watcher began.
type entry struct {
	file
	stamp
}

// stat looks at a file; false where there is none.
func (w *Watcher) stat(path string) (stamp, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return stamp{}, false
	}
	return newStamp(info, time.Now()), true
}

// hash adds the content to s, where it is short enough and can be read.
func (w *Watcher) hash(path string, s *stamp) {
	if s.size > hashMost {
		return
	}
	content, err := os.ReadFile(path)
	if err != nil || len(content) > hashMost {
		return
	}
	s.hash, s.hashed = maphash.Bytes(w.seed, content), true
}

// adopt takes a file for granted as it is.
func (w *Watcher) adopt(f file) {
	s, ok := w.stat(f.path)
	if !ok {
		delete(w.base, f.path)
		return
	}
	if s.fresh {
		w.hash(f.path, &s) // its times will not tell whether it changes again
	} else if f.kind != Browser {
		w.unhashed = append(w.unhashed, f.path)
	}
	w.base[f.path] = entry{f, s}
}

// hashSome reads some of the files that were adopted, so that one that is touched or written with the same
// content is known for unchanged.
func (w *Watcher) hashSome() {
	const atOnce = 64
	for range min(atOnce, len(w.unhashed)) {
		path := w.unhashed[len(w.unhashed)-1]
		w.unhashed = w.unhashed[:len(w.unhashed)-1]
		e, ok := w.base[path]
		if !ok || e.hashed {
			continue
		}
		now := e.stamp
		w.hash(path, &now)
		if after, ok := w.stat(path); ok && after.sameTimes(&e.stamp) {
			e.stamp = now
			w.base[path] = e
		}
	}
	if len(w.unhashed) == 0 {
		w.unhashed = nil
	}
}

// differs is whether the file is another one than at the last call of the Handler, and how it is now.
func (w *Watcher) differs(path string) (now stamp, exists, differs bool) {
	before, had := w.base[path]
	now, exists = w.stat(path)
	switch {
	case !had || !exists:
		return now, exists, had != exists
	case now.sameTimes(&before.stamp) && !(before.fresh && before.hashed):
		return now, true, false
	case now.size == before.size && before.hashed:
		if w.hash(path, &now); now.hash == before.hash && now.hashed {
			before.stamp = now
			w.base[path] = before
			return now, true, false
		}
	}
	return now, true, true
}

// check is a hint that the file may have changed.
func (w *Watcher) check(f file) {
	if n, noted := w.noted[f.path]; noted {
		// Only another change keeps it from coming to rest.
		if now, _ := w.stat(f.path); !now.sameTimes(&n.seen) {
			n.seen = now
			w.noted[f.path] = n
			w.debounce.note(time.Now())
		}
		return
	}
	if now, _, differs := w.differs(f.path); differs {
		w.note(f, now)
	}
}

// note remembers that a file differs.
func (w *Watcher) note(f file, seen stamp) {
	w.noted[f.path] = noted{f, seen}
	w.debounce.note(time.Now())
	if f.kind == Workers {
		w.handler.Noticed()
	}
}

// settle tells the Handler what differs, now that it is quiet.
func (w *Watcher) settle() {
	w.debounce.rest()
	var changes []Change
	for path, n := range w.noted {
		f := n.file
		delete(w.noted, path)
		if f.whole {
			changes = append(changes, w.change(f))
			continue
		}
		now, exists, differs := w.differs(path)
		if !differs {
			continue
		}
		changes = append(changes, w.change(f))
		if !exists {
			delete(w.base, path)
			continue
		}
		if (f.kind != Browser || now.fresh) && !now.hashed {
			w.hash(path, &now)
		}
		w.base[path] = entry{f, now}
	}
	sortChanges(changes)
	w.handler.Changed(changes)
}

// below calls do for every file that was known below a folder.
func (w *Watcher) below(folder string, do func(entry)) {
	prefix := strings.TrimSuffix(folder, "/") + "/"
	for path, e := range w.base {
		if strings.HasPrefix(path, prefix) {
			do(e)
		}
	}
}
