package hotreload

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mostFolders bounds what is watched: whoever has more is watching something by mistake.
const mostFolders = 20_000

// root is a folder that is watched with all below it.
type root struct {
	path  string // as it was named
	git   repository
	rules *rules
	top   *folder // nil while there is no such folder, or it is a double
	// double: the folder is watched as another root already, or below one.
	double bool
}

// missing is whether there is no such folder.
func (r *root) missing() bool { return r.top == nil && !r.double }

// folder is one that is watched.
type folder struct {
	root   *root
	parent *folder  // nil for the top
	path   string   // as it is reached from the root
	real   string   // without links, which is what is watched
	names  []string // from the root's
	git    []string // from the repository's
	id     identity
	linked bool
	ignore *ignoreFile
	dirs   map[string]*folder
	// For polling: when names were added or removed last, and what kind of file each of them is.
	mtime   time.Time
	kinds   map[string]Kind
	ignored stamp // the .gitignore
}

// openRoot begins to watch a root, if it is there.
func (w *Watcher) openRoot(r *root) {
	r.top, r.double = nil, false
	info, err := os.Stat(r.path)
	if err != nil || !info.IsDir() {
		return
	}
	real, err := filepath.EvalSymlinks(r.path)
	if err != nil {
		return
	}
	if w.byID[identityOf(info)] != nil {
		r.double = true
		return
	}
	r.git = findRepository(real)
	if name, without := withoutEvents(r.path); without {
		w.wantPolling(r.path + " is on a file system without events (" + name + ")")
	}
	f := &folder{
		root: r, path: r.path, real: real, git: r.git.names, id: identityOf(info), ignore: r.git.ignore,
		dirs: map[string]*folder{},
	}
	r.top = f
	w.open(f)
}

// open begins to watch a folder and all below it.
func (w *Watcher) open(f *folder) { w.openLinks(w.scan(f, nil)) }

// openLinks follows links to folders. They come last, so that a folder that is also there by itself goes by its own name.
func (w *Watcher) openLinks(links []link) {
	for len(links) > 0 {
		l := links[0]
		links = links[1:]
		if l.in.dirs[l.name] != nil || w.byID[l.in.id] != l.in {
			continue
		}
		info, err := os.Stat(filepath.Join(l.in.path, l.name))
		if err != nil {
			continue
		}
		if sub := w.child(l.in, l.name, info, true); sub != nil {
			links = w.scan(sub, links)
		}
	}
}

// link is a symbolic link to a folder.
type link struct {
	in   *folder
	name string
}

// scan watches f and the folders below it, and looks at their files. The links it finds are added to links.
func (w *Watcher) scan(f *folder, links []link) []link {
	w.byID[f.id] = f
	w.folders[f.real] = f
	// First, so that what is created from now on is either found below or makes an event.
	w.watch(f.real)
	return w.read(f, links)
}

// read looks at what is in f.
func (w *Watcher) read(f *folder, links []link) []link {
	if info, err := os.Stat(f.path); err == nil {
		f.mtime = info.ModTime()
	}
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return links // gone again, or not for our eyes
	}
	if f.parent != nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return isEnvironment(e.Name()) }) {
		w.closeFolder(f)
		return links
	}
	if gitignore := filepath.Join(f.path, ".gitignore"); f.root.rules.gitignore {
		f.ignored, _ = w.stat(gitignore)
		f.ignore = f.above().read(gitignore, len(f.git))
	}
	for _, e := range entries {
		mode := e.Type()
		linked := mode&fs.ModeSymlink != 0
		var info fs.FileInfo
		if linked {
			if info, err = os.Stat(filepath.Join(f.path, e.Name())); err != nil {
				continue
			}
			mode = info.Mode().Type()
		}
		switch {
		case mode.IsDir() && linked:
			links = append(links, link{f, e.Name()})
		case mode.IsDir():
			if info, err = e.Info(); err != nil {
				continue
			}
			if sub := w.child(f, e.Name(), info, false); sub != nil {
				links = w.scan(sub, links)
			}
		case mode.IsRegular():
			w.found(f, e.Name(), linked)
		}
	}
	return links
}

// isEnvironment is whether a folder with such an entry holds an installed Python, nobody's source.
func isEnvironment(name string) bool { return name == "pyvenv.cfg" || name == "conda-meta" }

// above is what the .gitignore files above f say.
func (f *folder) above() *ignoreFile {
	if f.parent == nil {
		return f.root.git.ignore
	}
	return f.parent.ignore
}

// child makes the folder of that name known, if it is to be watched; its content is for scan.
func (w *Watcher) child(f *folder, name string, info fs.FileInfo, linked bool) *folder {
	sub := &folder{
		root: f.root, parent: f, path: filepath.Join(f.path, name), real: filepath.Join(f.real, name),
		names: append(slices.Clip(f.names), name), git: append(slices.Clip(f.git), name),
		id: identityOf(info), linked: linked, dirs: map[string]*folder{},
	}
	if !f.root.rules.enters(sub.names, sub.git, f.ignore) || w.byID[sub.id] != nil {
		return nil // the latter: it is watched by another name, or the link leads in a circle
	}
	if len(w.byID) >= mostFolders {
		w.tooMany()
		return nil
	}
	if linked {
		real, err := filepath.EvalSymlinks(sub.path)
		if err != nil || strings.HasPrefix(f.root.top.real+"/", strings.TrimSuffix(real, "/")+"/") {
			return nil // it leads up and out, to all there is
		}
		sub.real = real
	}
	if sub.id.device != f.id.device {
		if name, without := withoutEvents(sub.path); without {
			w.wantPolling(sub.path + " is on a file system without events (" + name + ")")
		}
	}
	f.dirs[name] = sub
	return sub
}

// found handles a file of that name in a watched folder, there or gone. Where its link leads may have to be watched too.
func (w *Watcher) found(f *folder, name string, linked bool) {
	kind := f.root.rules.kind(append(slices.Clip(f.names), name), append(slices.Clip(f.git), name), f.ignore)
	if w.polling {
		if f.kinds == nil {
			f.kinds = map[string]Kind{}
		}
		f.kinds[name] = kind
	}
	path := filepath.Join(f.path, name)
	if kind == Nothing || w.skip[path] {
		return
	}
	one := file{path: path, root: f.root, kind: kind}
	if linked || w.places[path] != nil {
		w.follow(one)
	}
	w.look(one)
}

// look adopts a file or checks it.
func (w *Watcher) look(f file) {
	if w.adopting {
		w.adopt(f)
	} else {
		w.check(f)
	}
}

// closeFolder stops to watch f and all below it.
func (w *Watcher) closeFolder(f *folder) {
	for _, sub := range f.dirs {
		w.closeFolder(sub)
	}
	if f.parent != nil && f.parent.dirs[filepath.Base(f.path)] == f {
		delete(f.parent.dirs, filepath.Base(f.path))
	}
	if f.root.top == f {
		f.root.top = nil
	}
	if w.byID[f.id] == f {
		delete(w.byID, f.id)
	}
	if w.folders[f.real] == f {
		delete(w.folders, f.real)
	}
	w.unwatch(f.real)
}

// leave is closeFolder for one that is gone, moved or to be looked at anew.
func (w *Watcher) leave(f *folder) {
	w.closeFolder(f)
	w.below(f.path, func(e entry) { w.check(e.file) })
}

// hint says that something happened to the entry of that name in a folder, given without links. moved: it was created,
// removed or renamed, and not only written.
func (w *Watcher) hint(dir, name string, moved bool) {
	for _, p := range slices.Clone(w.points[point{dir, name}]) {
		w.revisit(p)
	}
	f := w.folders[dir]
	switch {
	case f == nil:
	case name == ".gitignore" && f.root.rules.gitignore:
		w.rescan(f)
	case moved:
		w.moved(f, name)
	default:
		w.found(f, name, false)
	}
	if w.stale {
		w.resync()
	}
}

// moved looks at an entry that was created, removed or renamed.
func (w *Watcher) moved(f *folder, name string) {
	path := filepath.Join(f.path, name)
	info, err := os.Lstat(path)
	if err == nil && f.parent != nil && isEnvironment(name) {
		w.closeFolder(f)
		w.forget(f.path)
		return
	}
	if known := f.dirs[name]; known != nil {
		// Even one of the same name and identity may have been elsewhere meanwhile, and lost its watches.
		w.leave(known)
		w.stale = w.stale || known.linked // it may have been one of several names of a folder
	}
	linked := err == nil && info.Mode()&fs.ModeSymlink != 0
	if linked {
		info, err = os.Stat(path)
	}
	if err == nil && info.IsDir() {
		if sub := w.child(f, name, info, linked); sub != nil {
			w.open(sub)
		}
		return
	}
	if err == nil && !info.Mode().IsRegular() {
		return
	}
	w.found(f, name, linked)
}

// resync looks at everything anew, as some hints may be missing.
func (w *Watcher) resync() {
	w.stale = false
	for _, r := range w.roots {
		if r.top != nil {
			w.closeFolder(r.top)
		}
	}
	for _, r := range w.roots {
		w.openRoot(r)
	}
	for _, e := range maps.Clone(w.base) {
		w.check(e.file)
	}
}

// rescan reads f's .gitignore anew. What it now names is forgotten, what it names no longer is taken for granted.
func (w *Watcher) rescan(f *folder) {
	before := map[string]entry{}
	w.below(f.path, func(e entry) {
		before[e.path] = e
		delete(w.base, e.path)
	})
	for _, sub := range f.dirs {
		w.closeFolder(sub)
	}
	w.adopting = true
	w.openLinks(w.read(f, nil))
	w.adopting = false
	for path := range w.noted {
		if _, had := before[path]; had || !strings.HasPrefix(path, f.path+"/") {
			continue
		}
		if _, counts := w.base[path]; counts {
			delete(w.base, path) // it is new still
		} else {
			delete(w.noted, path)
		}
	}
	for path, e := range before {
		_, counts := w.base[path]
		if _, exists := w.stat(path); exists && !counts {
			delete(w.noted, path)
			continue
		}
		w.base[path] = e
		w.check(e.file)
	}
}

// forget drops what was known below a folder that does not count.
func (w *Watcher) forget(folder string) {
	w.below(folder, func(e entry) { delete(w.base, e.path) })
	for path := range w.noted {
		if strings.HasPrefix(path, folder+"/") {
			delete(w.noted, path)
		}
	}
}
