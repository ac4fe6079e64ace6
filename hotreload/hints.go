package hotreload

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// eventBuffer is how many events may wait while the Watcher looks at files; more wait in the kernel.
const eventBuffer = 1024

// watch asks for events of a folder, however often; it is given without links.
func (w *Watcher) watch(dir string) {
	w.watched[dir]++
	if w.watched[dir] > 1 || w.source == nil {
		return
	}
	err := w.source.Add(dir)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		w.fallBack("no more folders can be watched for events; raise fs.inotify.max_user_watches, or have fewer watched (reload.directories, reload.exclude)", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		w.fallBack("no more descriptors for watching; raise the limit of open files, or have fewer folders watched", err)
	}
	// Any other error is of a folder that is gone again, or that may not be read.
}

// unwatch takes one watch back.
func (w *Watcher) unwatch(dir string) {
	if w.watched[dir]--; w.watched[dir] > 0 {
		return
	}
	delete(w.watched, dir)
	if w.source != nil {
		_ = w.source.Remove(dir) // mostly the kernel has done so already
	}
}

// source is what fsnotify.Watcher is used for, besides its channels.
type source interface {
	Add(folder string) error
	Remove(folder string) error
	Close() error
}

// openSource begins with events, if they are to be had.
func (w *Watcher) openSource() {
	events, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		w.fallBack("there can be no events; raise fs.inotify.max_user_instances (and the limit of open files)", err)
		return
	}
	w.source, w.events, w.errors = events, events.Events, events.Errors
}

// wantPolling looks at the files from time to time, unless that was ruled out.
func (w *Watcher) wantPolling(why string) {
	if w.settings.Poll == PollOff || w.polling {
		return
	}
	w.log.Info("reload: looking at the files from time to time, as " + why)
	w.poll()
}

func (w *Watcher) fallBack(why string, err error) {
	w.log.Warn("reload: looking at the files from time to time: "+why, "cause", err)
	w.poll()
}

func (w *Watcher) poll() {
	w.polling = true
	if w.source != nil {
		_ = w.source.Close() // nothing of it is used any more
		w.source, w.events, w.errors = nil, nil, nil
	}
}

// event handles one of fsnotify's.
func (w *Watcher) event(e fsnotify.Event) {
	const moved = fsnotify.Create | fsnotify.Remove | fsnotify.Rename
	if e.Op&(moved|fsnotify.Write) == 0 {
		return // a mode or a time: nobody's work
	}
	w.hint(filepath.Dir(e.Name), filepath.Base(e.Name), e.Op&moved != 0)
}

func (w *Watcher) tooMany() {
	if !w.full {
		w.full = true
		w.log.Warn(fmt.Sprintf("reload: only %d folders are watched; name fewer in reload.directories, or some in reload.exclude", mostFolders))
	}
}
