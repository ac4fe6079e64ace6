package static

import (
	"errors"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// folders hears of changes in the folders that files are kept from. Where it cannot, nothing is kept.
type folders struct {
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil: none could be made
	done    chan struct{}

	mu     sync.Mutex
	shapes map[string]*shape // by absolute path
	told   bool              // that a folder cannot be watched
}

// mostFolders bounds the watches that one set takes of what the system has.
const mostFolders = 4096

// shape is what is known of a folder: a number that changes with it.
type shape struct {
	version atomic.Uint64 // odd: it is not watched
}

func (s *shape) fresh(since uint64) bool { return s.version.Load() == since }
func (s *shape) watched() bool           { return s.version.Load()&1 == 0 }

func newFolders(log *slog.Logger) *folders {
	f := &folders{log: log, shapes: map[string]*shape{}, done: make(chan struct{})}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("static files are not kept in memory, as changes cannot be heard of", "cause", err)
		close(f.done)
		return f
	}
	f.watcher = w
	go f.run()
	return f
}

// known is the shape of a folder that is watched already, and its version; nil: it is not.
func (f *folders) known(full string) (*shape, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.shapes[full]; s != nil {
		return s, s.version.Load()
	}
	return nil, 0
}

// watch is the shape of a folder that is there, and its version; what is looked at from now on is of it.
func (f *folders) watch(full string) (*shape, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.shapes[full]; s != nil {
		return s, s.version.Load()
	}
	fresh := &shape{}
	switch {
	case f.watcher == nil:
	case len(f.shapes) >= mostFolders:
		f.tell(full, errors.New("there are too many"))
	default:
		err := f.watcher.Add(full)
		if err == nil {
			f.shapes[full] = fresh
			return fresh, 0
		}
		f.tell(full, err)
	}
	fresh.version.Store(1)
	return fresh, 1
}

// tell says once that a folder cannot be watched. With mu held.
func (f *folders) tell(full string, cause error) {
	if !f.told {
		f.told = true
		f.log.Warn("static files of some folders are not kept in memory, as changes there cannot be heard of; see fs.inotify.max_user_watches",
			"folder", full, "cause", cause)
	}
}

func (f *folders) run() {
	defer close(f.done)
	for {
		select {
		case e, ok := <-f.watcher.Events:
			if !ok {
				return
			}
			f.changed(e)
		case err, ok := <-f.watcher.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				f.all() // nobody knows what has changed
			}
		}
	}
}

// changed makes entries of a folder old: any file in it may be the one, or the encoding of one, or an index that
// was not there before.
func (f *folders) changed(e fsnotify.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.shapes[path.Dir(e.Name)]; s != nil {
		s.version.Add(2)
	}
	if e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		// A folder above others may be another one now, of which these hear nothing.
		for full, s := range f.shapes {
			if len(full) > len(e.Name) && full[len(e.Name)] == '/' && strings.HasPrefix(full, e.Name) {
				s.version.Add(2)
			}
		}
	}
	if s := f.shapes[e.Name]; s != nil { // the folder itself
		s.version.Add(2)
		if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			// Its watch goes with it; what comes in its place is another folder.
			s.version.Add(1)
			delete(f.shapes, e.Name)
			_ = f.watcher.Remove(e.Name) // it may be gone already
		}
	}
}

func (f *folders) all() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.shapes {
		s.version.Add(2)
	}
}

// forget lets go of every folder: what was kept of them is old.
func (f *folders) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for full, s := range f.shapes {
		s.version.Add(3) // odd: no more is heard of it
		_ = f.watcher.Remove(full)
	}
	clear(f.shapes)
}

func (f *folders) close() {
	if f.watcher != nil {
		_ = f.watcher.Close() // nothing was written
	}
	<-f.done
}
