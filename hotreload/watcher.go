package hotreload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Poll says when files are looked at from time to time instead of waiting for events.
type Poll uint8

const (
	PollAuto Poll = iota // where a file system has no events, or there can be no more
	PollOn
	PollOff // only where there can be no more events
)

// Settings say what to watch.
type Settings struct {
	// Directories are watched with all below them; absolute.
	Directories []string
	// Files are watched wherever they are, and whatever Exclude and .gitignore say; absolute.
	Files map[string]Kind
	// Skip are files that do not count, such as the gateway's own log; absolute.
	Skip []string
	// Include are patterns of files that ask for other Workers, Exclude of files and folders that do not count. As in a
	// .gitignore, from each of Directories on.
	Include, Exclude []string
	Gitignore        bool // what .gitignore names does not count
	// Delay is how long it has to be quiet after a change.
	Delay time.Duration
	Poll  Poll
	Log   *slog.Logger // nil: none
}

// Handler is told of changes, on Run's goroutine; it must not block.
type Handler interface {
	// Noticed is called as soon as a file is seen that may ask for other workers. Changed follows, once for any number
	// of these calls.
	Noticed()
	// Changed is called when it is quiet, with what is different from the last call on. There may be nothing: all is as
	// it was then.
	Changed(changes []Change)
}

// Change is one file that is different, new or gone.
type Change struct {
	Path string // absolute, by the name it is watched by
	Name string // from its directory on, for people
	Kind Kind
}

const (
	// mostDelay is how long changes that keep coming put off a call of Changed.
	mostDelay = time.Second
	// mostCheckout is how long a Git that is at work puts it off.
	mostCheckout = 30 * time.Second
	// staleLock is the age of a lock that its Git has left behind.
	staleLock = 10 * time.Minute
	// hashAfter is how long after the begin the files are read: the workers start first.
	hashAfter = time.Second
	// missingEvery is how often a root that is not there is looked for.
	missingEvery = time.Second
)

// Watcher watches files. See doc.go for who touches what.
type Watcher struct {
	settings Settings
	log      *slog.Logger
	handler  Handler

	roots   []*root
	folders map[string]*folder // by real path
	byID    map[identity]*folder
	places  map[string]*place // by path
	points  map[point][]*place
	watched map[string]int // how often, by real path
	skip    map[string]bool
	source  source // nil while polling
	events  chan fsnotify.Event
	errors  chan error
	polling bool
	full    bool // tooMany was called
	stale   bool // resync is wanted

	debounce debounce
	noted    map[string]noted // may have changed since the Handler was told
	base     map[string]entry // by path
	adopting bool             // files are taken as they are
	seed     maphash.Seed
	unhashed []string
	nextPoll time.Time
	hashAt   time.Time
}

// New begins to watch: whatever changes from its return on will be told by Run.
func New(s Settings) *Watcher {
	w := newWatcher(s)
	if s.Poll == PollOn {
		w.poll()
	} else {
		w.openSource()
	}
	w.begin()
	return w
}

func newWatcher(s Settings) *Watcher {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{
		settings: s, log: s.Log,
		folders: map[string]*folder{}, byID: map[identity]*folder{},
		places: map[string]*place{}, points: map[point][]*place{}, watched: map[string]int{}, skip: map[string]bool{},
		debounce: debounce{delay: s.Delay, most: max(mostDelay, s.Delay)},
		noted:    map[string]noted{}, base: map[string]entry{}, seed: maphash.MakeSeed(),
		hashAt: time.Now().Add(hashAfter),
	}
	for _, path := range s.Skip {
		w.skip[path] = true
	}
	return w
}

// begin looks at everything for the first time.
func (w *Watcher) begin() {
	s := &w.settings
	w.adopting = true
	for _, dir := range s.Directories {
		dir = filepath.Clean(dir)
		w.roots = append(w.roots, &root{path: dir, rules: &rules{
			include: parsePatterns(s.Include, dir), exclude: parsePatterns(s.Exclude, dir), gitignore: s.Gitignore,
		}})
	}
	// One in another goes first, and so by its own name.
	slices.SortStableFunc(w.roots, func(a, b *root) int { return cmp.Compare(len(b.path), len(a.path)) })
	for _, r := range w.roots {
		p := &place{path: r.path, root: r}
		w.places[r.path] = p
		w.trace(p)
		w.openRoot(r)
	}
	for path, kind := range s.Files {
		f := file{path: filepath.Clean(path), kind: kind}
		w.follow(f)
		w.adopt(f)
	}
	w.adopting = false
	w.nextPoll = time.Now().Add(pollLeast)
}

// Folders is how many folders are watched, with those below. Before Run.
func (w *Watcher) Folders() int { return len(w.byID) }

// Polling is whether files are looked at from time to time. Before Run.
func (w *Watcher) Polling() bool { return w.polling }

// Missing are the directories that are not there. Before Run.
func (w *Watcher) Missing() []string {
	var paths []string
	for _, r := range w.roots {
		if r.missing() {
			paths = append(paths, r.path)
		}
	}
	return paths
}

// Close is for a Watcher that Run is not called of.
func (w *Watcher) Close() {
	if w.source != nil {
		_ = w.source.Close() // nothing of it is used any more
	}
}

// Run tells h of changes until ctx ends. It blocks.
func (w *Watcher) Run(ctx context.Context, h Handler) {
	w.handler = h
	defer w.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(w.wait(time.Now()))
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.events:
			if ok {
				w.event(e)
			}
		case err := <-w.errors:
			if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.log.Warn("reload: cannot read what changed", "cause", err)
			}
			w.resync()
		case <-timer.C:
			w.tick(time.Now())
		}
	}
}

// wait is how long there is nothing to do, unless there are events.
func (w *Watcher) wait(now time.Time) time.Duration {
	wait := time.Hour
	until := func(at time.Time) { wait = min(wait, at.Sub(now)) }
	if at, ok := w.debounce.due(); ok {
		until(at)
	}
	switch {
	case w.polling:
		until(w.nextPoll)
	case slices.ContainsFunc(w.roots, (*root).missing):
		until(now.Add(missingEvery))
	}
	if w.unhashed != nil {
		until(w.hashAt)
	}
	return max(wait, 0)
}

// tick does what is due.
func (w *Watcher) tick(now time.Time) {
	at, open := w.debounce.due()
	due := open && !now.Before(at)
	if w.polling && (due || !now.Before(w.nextPoll)) {
		w.sweep()
		// More may have changed than what began it.
		at, open = w.debounce.due()
		due = open && !time.Now().Before(at)
	}
	for _, r := range w.roots {
		if r.missing() {
			w.revisit(w.places[r.path])
		}
	}
	switch {
	case due && w.gitWorks(now) && w.debounce.putOff(now, mostCheckout):
	case due:
		w.settle()
	case w.unhashed != nil && !now.Before(w.hashAt):
		w.hashSome()
	}
}

// gitWorks is whether a Git is changing one of the watched trees, which then ends with a change of its index.
func (w *Watcher) gitWorks(now time.Time) bool {
	for _, r := range w.roots {
		if r.git.gitDir == "" {
			continue
		}
		if info, err := os.Stat(filepath.Join(r.git.gitDir, "index.lock")); err == nil && now.Sub(info.ModTime()) < staleLock {
			return true
		}
	}
	return false
}

// change describes a file for the Handler.
func (w *Watcher) change(f file) Change {
	name := filepath.Base(f.path)
	if f.root != nil && !f.whole {
		name = strings.TrimPrefix(strings.TrimPrefix(f.path, f.root.path), "/")
	}
	return Change{Path: f.path, Name: name, Kind: f.kind}
}

func sortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
}

func (k Kind) String() string {
	switch k {
	case Nothing:
		return "nothing"
	case Browser:
		return "browser"
	case Workers:
		return "workers"
	case Config:
		return "config"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}
