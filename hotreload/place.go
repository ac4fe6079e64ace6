package hotreload

import (
	"os"
	"path/filepath"
	"strings"
)

// place is a root, or a file that is named by itself or is a link: what its path means may change although nothing
// does in the folder that it is in.
type place struct {
	path   string
	file   file // where root is nil
	root   *root
	points []point // where something may happen to what the path means
}

// point is an entry of a folder, given without links.
type point struct{ dir, name string }

// mostLinks is as many as the kernel follows.
const mostLinks = 40

// trail lists the entries that a path leads over: each link, and where it ends, whether that is there or not.
func trail(path string) []point {
	var points []point
	dir := "/"
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	for links := 0; len(rest) > 0 && links <= mostLinks; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		here := filepath.Join(dir, name)
		target, err := os.Readlink(here)
		if err != nil {
			if len(rest) == 0 {
				return append(points, point{dir, name})
			}
			if _, err := os.Lstat(here); err != nil {
				return append(points, point{dir, name}) // it may come
			}
			dir = here
			continue
		}
		links++
		points = append(points, point{dir, name})
		if filepath.IsAbs(target) {
			dir = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return points
}

// follow watches all that the path of a file depends on.
func (w *Watcher) follow(f file) {
	p := w.places[f.path]
	if p == nil {
		p = &place{path: f.path, file: f}
		w.places[f.path] = p
	}
	w.trace(p)
}

// trace finds out anew what a place's path depends on.
func (w *Watcher) trace(p *place) {
	before := p.points
	p.points = trail(p.path)
	for _, at := range p.points { // the new ones first, lest a watch ends that is to go on
		w.points[at] = append(w.points[at], p)
		w.watch(at.dir)
	}
	for _, at := range before {
		w.points[at] = removeFirst(w.points[at], p)
		if len(w.points[at]) == 0 {
			delete(w.points, at)
		}
		w.unwatch(at.dir)
	}
}

func removeFirst(list []*place, p *place) []*place {
	for i := range list {
		if list[i] == p {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// revisit looks whether a place's path means something else now.
func (w *Watcher) revisit(p *place) {
	w.trace(p)
	if p.root == nil {
		w.check(p.file)
		return
	}
	r := p.root
	info, err := os.Stat(r.path)
	there := err == nil && info.IsDir()
	if there && r.top != nil && identityOf(info) == r.top.id {
		if real, err := filepath.EvalSymlinks(r.path); err == nil && real == r.top.real {
			return
		}
	}
	if r.top != nil {
		w.closeFolder(r.top)
		if there {
			w.note(file{path: r.path, root: r, kind: Workers, whole: true}, stamp{})
		}
	}
	w.openRoot(r)
	w.below(r.path, func(e entry) { w.check(e.file) })
}
