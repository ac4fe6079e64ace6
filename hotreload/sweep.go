package hotreload

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// pollLeast and pollMost bound the time between two looks at everything, which is otherwise pollFactor times what a
	// look takes.
	pollLeast  = 200 * time.Millisecond
	pollMost   = 2 * time.Second
	pollFactor = 20
)

// sweep looks at everything, without events.
func (w *Watcher) sweep() {
	began := time.Now()
	for _, p := range slices.Collect(maps.Values(w.places)) {
		w.revisit(p)
	}
	for _, f := range slices.Collect(maps.Values(w.byID)) {
		w.sweepFolder(f)
	}
	for _, e := range slices.Collect(maps.Values(w.base)) {
		w.check(e.file)
	}
	if w.stale {
		w.resync()
	}
	took := time.Since(began)
	w.nextPoll = time.Now().Add(min(max(pollLeast, pollFactor*took), pollMost))
}

// sweepFolder finds what was added to a folder. What was known and is gone, the files tell.
func (w *Watcher) sweepFolder(f *folder) {
	if w.byID[f.id] != f {
		return // another one was found in its place meanwhile
	}
	info, err := os.Stat(f.path)
	if err != nil || identityOf(info) != f.id {
		if f.parent != nil {
			w.moved(f.parent, filepath.Base(f.path))
		}
		return
	}
	if f.root.rules.gitignore {
		if now, _ := w.stat(filepath.Join(f.path, ".gitignore")); !now.sameTimes(&f.ignored) {
			w.rescan(f)
			return
		}
	}
	// Names that came in the same tick of the clock as a look may have been missed by it.
	if info.ModTime().Equal(f.mtime) && time.Since(f.mtime) > freshFor {
		return
	}
	f.mtime = info.ModTime()
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		kind, known := f.kinds[name]
		switch {
		case f.dirs[name] != nil:
		case !e.Type().IsRegular():
			if !known || e.IsDir() {
				w.moved(f, name)
			}
		case !known:
			w.found(f, name, false)
		case kind != Nothing:
			// One that is back is new; any other is looked at anyway.
			if path := filepath.Join(f.path, name); w.base[path].path == "" && !w.skip[path] {
				w.check(file{path: path, root: f.root, kind: kind})
			}
		}
	}
}
