package hotreload

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long a test that fails may take.
const patience = 30 * time.Second

// rig is a Watcher that runs over a folder of real files.
type rig struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	noticed int
	calls   [][]string // "name kind" of every change, per call
	changed chan struct{}
}

// settingsOf are what most tests begin with.
func settingsOf(dir string) Settings {
	return Settings{Directories: []string{dir}, Gitignore: true, Delay: 30 * time.Millisecond}
}

// start runs a Watcher; poll makes it do without events.
func start(t *testing.T, s Settings, poll Poll) *rig {
	t.Helper()
	s.Poll = poll
	w := New(s)
	if want := poll == PollOn; w.Polling() != want {
		t.Fatalf("polling is %v", w.Polling())
	}
	r := &rig{t: t, changed: make(chan struct{}, 1000)}
	if len(s.Directories) > 0 {
		r.dir = s.Directories[0]
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, r)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// Noticed implements Handler.
func (r *rig) Noticed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noticed++
}

// Changed implements Handler.
func (r *rig) Changed(changes []Change) {
	var list []string
	for _, c := range changes {
		list = append(list, c.Name+" "+c.Kind.String())
	}
	r.mu.Lock()
	r.calls = append(r.calls, list)
	r.mu.Unlock()
	r.changed <- struct{}{}
}

// expect waits until all of these changes were told, since the last expect and in however many calls, and no others.
func (r *rig) expect(want ...string) {
	r.t.Helper()
	slices.Sort(want)
	var all []string
	over := time.After(patience)
	for {
		r.mu.Lock()
		all = slices.Concat(r.calls...)
		r.mu.Unlock()
		slices.Sort(all)
		all = slices.Compact(all)
		if slices.Equal(all, want) {
			break
		}
		select {
		case <-r.changed:
		case <-over:
			r.t.Fatalf("told %v, expected %v", all, want)
		}
	}
	r.mu.Lock()
	r.calls = nil
	r.mu.Unlock()
}

// settled makes a change that counts and waits for it: what is told with it or before was caused by what came before.
func (r *rig) settled(want ...string) {
	r.t.Helper()
	r.write("zz_settled.py", fmt.Sprint(time.Now().UnixNano()))
	r.expect(append(want, "zz_settled.py workers")...)
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, content string) {
	r.t.Helper()
	write(r.t, r.path(name), content)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// both runs a test with events and without.
func both(t *testing.T, test func(t *testing.T, poll Poll)) {
	t.Run("events", func(t *testing.T) { test(t, PollOff) })
	t.Run("polling", func(t *testing.T) { test(t, PollOn) })
}

func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		write(t, filepath.Join(dir, name), "# "+name+"\n")
	}
	return dir
}

func TestEditorsSaves(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		r := start(t, settingsOf(tree(t, "app.py", "shop/views.py", "templates/front.html", "static/site.css")), poll)

		r.write("app.py", "written in place")
		r.expect("app.py workers")

		// Rename over: PyCharm, GNOME, VS Code with some settings.
		r.write("shop/views.py___jb_tmp___", "renamed over")
		r.must(os.Rename(r.path("shop/views.py___jb_tmp___"), r.path("shop/views.py")))
		r.expect("shop/views.py workers")

		// Vim: looks whether it may write, moves the old one away, writes a new one.
		r.write("4913", "")
		r.must(os.Remove(r.path("4913")))
		r.must(os.Rename(r.path("app.py"), r.path("app.py~")))
		r.write("app.py", "by Vim")
		r.must(os.Remove(r.path("app.py~")))
		r.expect("app.py workers")

		// Emacs.
		r.must(os.Symlink("me@here.1:2", r.path(".#app.py")))
		r.write("#app.py#", "unsaved")
		r.write("app.py", "by Emacs")
		r.must(os.Remove(r.path("#app.py#")))
		r.must(os.Remove(r.path(".#app.py")))
		r.expect("app.py workers")

		// Truncated, then written, then written again.
		f, err := os.OpenFile(r.path("app.py"), os.O_WRONLY|os.O_TRUNC, 0)
		r.must(err)
		_, err = f.WriteString("first half, ")
		r.must(err)
		_, err = f.WriteString("second half")
		r.must(err)
		r.must(f.Close())
		r.write("app.py", "and once more")
		r.expect("app.py workers")

		r.write("templates/front.html", "<p>")
		r.write("static/site.css", "p {}")
		r.expect("templates/front.html browser", "static/site.css browser")
	})
}

func TestNoWork(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		r := start(t, settingsOf(tree(t, "app.py", "front.html")), poll)
		r.write("app.py", "# app.py\n") // the same content
		r.must(os.Chmod(r.path("app.py"), 0o755))
		now := time.Now().Add(time.Minute)
		r.must(os.Chtimes(r.path("app.py"), now, now))
		r.write("app.py", "other")
		r.write("app.py", "# app.py\n")
		r.write("app.sqlite3", "x")
		r.write("server.log", "x")
		r.write("__pycache__/app.cpython-311.pyc", "x")
		r.write(".mypy_cache/x.py", "x")
		r.settled()
	})
}

func TestNewAndRemovedFolders(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		r := start(t, settingsOf(tree(t, "app.py")), poll)
		r.write("a/b/c/new.py", "at once with its folders")
		r.expect("a/b/c/new.py workers")
		r.write("a/b/c/new.py", "watched from then on")
		r.expect("a/b/c/new.py workers")
		r.write("a/other.py", "x")
		r.expect("a/other.py workers")

		r.must(os.Rename(r.path("a/b"), r.path("moved")))
		r.expect("a/b/c/new.py workers", "moved/c/new.py workers")
		r.write("moved/c/new.py", "watched by its new name")
		r.expect("moved/c/new.py workers")

		r.must(os.RemoveAll(r.path("moved")))
		r.expect("moved/c/new.py workers")
		r.write("moved/c/new.py", "back")
		r.expect("moved/c/new.py workers")

		// Another folder in its place, with the same names in it.
		r.must(os.Rename(r.path("moved"), r.path(".hidden")))
		r.write("moved/c/new.py", "another")
		r.expect("moved/c/new.py workers")
		r.write("moved/c/new.py", "and again")
		r.expect("moved/c/new.py workers")
	})
}

// TestFilledAtOnce makes many folders with files as fast as it goes: none may fall into the gap between a folder's
// creation and its watch.
func TestFilledAtOnce(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		r := start(t, settingsOf(tree(t, "app.py")), poll)
		var want []string
		for i := range 100 {
			name := fmt.Sprintf("p%d/q/r/m%d.py", i%10, i)
			r.write(name, "x")
			want = append(want, name+" workers")
		}
		r.expect(want...)
	})
}

func TestDeletedAndRestored(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		r := start(t, settingsOf(tree(t, "app.py", "mod.py")), poll)
		r.must(os.Remove(r.path("mod.py")))
		r.expect("mod.py workers")
		r.write("mod.py", "# mod.py\n")
		r.expect("mod.py workers")
		r.must(os.Rename(r.path("mod.py"), r.path("mod.bak")))
		r.must(os.Rename(r.path("mod.bak"), r.path("mod.py")))
		r.settled()
	})
}

func TestLinks(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		outside := tree(t, "lib/helper.py", "one/settings.py", "two/settings.py")
		dir := tree(t, "app.py", "real/m.py")
		for name, target := range map[string]string{
			"lib": filepath.Join(outside, "lib"), "again": "real", "circle": ".", "up": outside + "/..", "nowhere": "missing",
			"settings.py": filepath.Join(outside, "one/settings.py"),
		} {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		r := start(t, settingsOf(dir), poll)
		write(t, filepath.Join(outside, "lib/helper.py"), "x")
		r.expect("lib/helper.py workers")
		r.write("real/m.py", "x")
		r.expect("real/m.py workers")
		write(t, filepath.Join(outside, "one/settings.py"), "x")
		r.expect("settings.py workers")

		r.must(os.Symlink(filepath.Join(outside, "two/settings.py"), r.path("settings.tmp")))
		r.must(os.Rename(r.path("settings.tmp"), r.path("settings.py")))
		r.expect("settings.py workers")
		write(t, filepath.Join(outside, "two/settings.py"), "y")
		r.expect("settings.py workers")

		// A link to a folder that leads to another one.
		write(t, filepath.Join(outside, "lib2/helper.py"), "new")
		r.must(os.Remove(r.path("lib")))
		r.must(os.Symlink(filepath.Join(outside, "lib2"), r.path("lib")))
		r.expect("lib/helper.py workers")
		write(t, filepath.Join(outside, "lib2/helper.py"), "newer")
		r.expect("lib/helper.py workers")
	})
}

func TestRootThatIsALink(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		top := tree(t, "1/app.py", "2/app.py", "3/app.py")
		current := filepath.Join(top, "current")
		repoint := func(to string) {
			t.Helper()
			if err := os.Symlink(to, current+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(current+".new", current); err != nil {
				t.Fatal(err)
			}
		}
		repoint("1")
		r := start(t, settingsOf(current), poll)
		write(t, filepath.Join(top, "1/app.py"), "x")
		r.expect("app.py workers")
		write(t, filepath.Join(top, "2/app.py"), "x") // the same content elsewhere
		repoint("2")
		r.expect("current workers")
		write(t, filepath.Join(top, "1/app.py"), "not ours any more")
		write(t, filepath.Join(top, "2/app.py"), "y")
		r.expect("app.py workers")
		if err := os.Remove(current); err != nil {
			t.Fatal(err)
		}
		r.expect("app.py workers")
		repoint("3")
		r.expect("app.py workers")
		write(t, filepath.Join(top, "3/app.py"), "z")
		r.expect("app.py workers")
	})
}

func TestRootThatComesLater(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		top := t.TempDir()
		r := start(t, settingsOf(filepath.Join(top, "not/yet")), poll)
		r.write("app.py", "x")
		r.expect("app.py workers")
		if err := os.RemoveAll(filepath.Join(top, "not")); err != nil {
			t.Fatal(err)
		}
		r.expect("app.py workers")
		r.write("app.py", "y")
		r.expect("app.py workers")
	})
}

func TestSeveralRoots(t *testing.T) {
	dir := tree(t, "app.py", "inner/m.py", "inner/tests/t.py")
	other := tree(t, "x.py")
	s := settingsOf(dir)
	s.Directories = append(s.Directories, other, filepath.Join(dir, "inner"), dir)
	s.Exclude = []string{"/tests"}
	r := start(t, s, PollOff)
	r.write("inner/m.py", "x")
	write(t, filepath.Join(other, "x.py"), "x")
	r.expect("m.py workers", "x.py workers")
	r.write("inner/tests/t.py", "not watched: its own root excludes it")
	r.settled()
}

func TestSingleFiles(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		dir := tree(t, "app/app.py", "app/.gitignore", "pyspeed.toml", "..data1/shop.env", "..data2/shop.env")
		write(t, filepath.Join(dir, "app/.gitignore"), ".env\n*.toml\n")
		// As Kubernetes mounts a ConfigMap.
		for name, target := range map[string]string{"..data": "..data1", "shop.env": "..data/shop.env"} {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		s := settingsOf(filepath.Join(dir, "app"))
		s.Files = map[string]Kind{
			filepath.Join(dir, "pyspeed.toml"): Config, filepath.Join(dir, "shop.env"): Workers, filepath.Join(dir, "app/.env"): Workers,
		}
		r := start(t, s, poll)
		write(t, filepath.Join(dir, "pyspeed.toml"), "x")
		r.expect("pyspeed.toml config")
		write(t, filepath.Join(dir, "..data2/shop.env"), "A=2\n")
		r.must(os.Symlink("..data2", filepath.Join(dir, "..data.new")))
		r.must(os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")))
		r.expect("shop.env workers")
		r.write(".env", "A=1\n")
		r.expect(".env workers")
	})
}

func TestGitignoreIsRespected(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		repository := tree(t, ".git/HEAD", "app/app.py", "app/gen/x.py", "app/sub/out/y.py")
		write(t, filepath.Join(repository, ".gitignore"), "*_local.py\n/app/gen/\n")
		write(t, filepath.Join(repository, "app/sub/.gitignore"), "out\n!kept_local.py\n")
		r := start(t, settingsOf(filepath.Join(repository, "app")), poll)
		r.write("a_local.py", "x")
		r.write("gen/x.py", "x")
		r.write("sub/out/y.py", "x")
		r.write("sub/b_local.py", "x")
		r.settled()
		r.write("sub/kept_local.py", "x")
		r.expect("sub/kept_local.py workers")

		// The lines change while we watch: what they name no longer is known from then on.
		r.write("sub/.gitignore", "zz*\n")
		r.settled()
		r.write("sub/out/y.py", "y")
		r.expect("sub/out/y.py workers")
		r.write("sub/zz.py", "x")
		r.settled()
	})
}

func TestIgnoredRoot(t *testing.T) {
	repository := tree(t, ".git/HEAD", "build/app.py")
	write(t, filepath.Join(repository, ".gitignore"), "build/\n")
	r := start(t, settingsOf(filepath.Join(repository, "build")), PollOff)
	r.write("app.py", "somebody wants it to be watched")
	r.expect("app.py workers")
}

func TestVirtualEnvironment(t *testing.T) {
	both(t, func(t *testing.T, poll Poll) {
		r := start(t, settingsOf(tree(t, "app.py", "old/pyvenv.cfg", "old/lib/x.py")), poll)
		r.write("old/lib/x.py", "x")
		// One that is made while we watch.
		r.must(os.MkdirAll(r.path("new/lib"), 0o755))
		r.write("new/pyvenv.cfg", "home = /usr\n")
		r.settled()
		r.write("new/lib/x.py", "x")
		r.settled()
	})
}

func TestSkip(t *testing.T) {
	dir := tree(t, "app.py", "static/server.log")
	s := settingsOf(dir)
	s.Skip = []string{filepath.Join(dir, "static/server.log")}
	r := start(t, s, PollOff)
	r.write("static/server.log", "x")
	r.settled()
}

func TestCheckout(t *testing.T) {
	needGit(t)
	both(t, func(t *testing.T, poll Poll) {
		dir := t.TempDir()
		git(t, dir, "init", "-q", "-b", "main")
		const files = 200
		fill := func(word string, from, to int) {
			for i := from; i < to; i++ {
				write(t, filepath.Join(dir, fmt.Sprintf("p%d/m%d.py", i%50, i)), word+"\n")
			}
		}
		fill("one", 0, files)
		git(t, dir, "add", "-A")
		git(t, dir, "commit", "-q", "-m", "one")
		git(t, dir, "checkout", "-q", "-b", "two")
		if err := os.RemoveAll(filepath.Join(dir, "p1")); err != nil {
			t.Fatal(err)
		}
		fill("two", 2*files, 3*files)
		fill("two", 10, files) // puts back some of p1
		git(t, dir, "add", "-A")
		git(t, dir, "commit", "-q", "-m", "two")
		r := start(t, settingsOf(dir), poll)
		for _, branch := range []string{"main", "two"} {
			git(t, dir, "checkout", "-q", branch)
			var want []string
			for i := range files {
				if i%50 == 1 && i < 10 || i >= 10 || i%50 == 1 {
					want = append(want, fmt.Sprintf("p%d/m%d.py workers", i%50, i))
				}
			}
			for i := 2 * files; i < 3*files; i++ {
				want = append(want, fmt.Sprintf("p%d/m%d.py workers", i%50, i))
			}
			slices.Sort(want)
			r.expect(slices.Compact(want)...)
		}
	})
}

func TestLostEvents(t *testing.T) {
	dir := tree(t, "app.py", "a/m.py", "b/m.py")
	w := newWatcher(settingsOf(dir))
	w.source = silent{}
	problems := make(chan error)
	w.errors = problems
	w.begin()
	r := &rig{t: t, dir: dir, changed: make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx, r) }()
	r.write("app.py", "x")
	r.write("c/new.py", "x")
	r.must(os.RemoveAll(r.path("a")))
	problems <- fmt.Errorf("made up: %w", os.ErrInvalid)
	r.expect("app.py workers", "c/new.py workers", "a/m.py workers")
	cancel()
	<-done
}

// failing is a source that has no room for more than one folder.
type failing struct {
	silent
	err   error
	added int
}

func (f *failing) Add(string) error {
	if f.added++; f.added > 2 {
		return f.err
	}
	return nil
}

func TestFallBackToPolling(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{os.NewSyscallError("inotify_add_watch", syscall.ENOSPC), "fs.inotify.max_user_watches"},
		{os.NewSyscallError("open", syscall.EMFILE), "limit of open files"},
	} {
		dir := tree(t, "app.py", "a/b/c/m.py")
		var log strings.Builder
		s := settingsOf(dir)
		s.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := newWatcher(s)
		w.source = &failing{err: c.err}
		w.begin()
		if !w.Polling() || !strings.Contains(log.String(), c.says) || !strings.Contains(log.String(), "level=WARN") {
			t.Fatalf("polling %v, log %s", w.Polling(), log.String())
		}
		r := &rig{t: t, dir: dir, changed: make(chan struct{}, 100)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx, r) }()
		r.write("a/b/c/m.py", "x")
		r.expect("a/b/c/m.py workers")
		r.write("d/new.py", "x")
		r.expect("d/new.py workers")
		cancel()
		<-done
	}
}

func TestFewWatches(t *testing.T) {
	dir := t.TempDir()
	for i := range 500 {
		write(t, filepath.Join(dir, fmt.Sprintf("shop/p%d/m%d.py", i%20, i)), "x")
		write(t, filepath.Join(dir, fmt.Sprintf("node_modules/p%d/m.js", i)), "x")
		write(t, filepath.Join(dir, fmt.Sprintf(".venv/lib/p%d/m.py", i)), "x")
		write(t, filepath.Join(dir, fmt.Sprintf("data/f%d.csv", i)), "x")
	}
	w := New(settingsOf(dir))
	defer w.Close()
	if got := w.Folders(); got != 23 { // the top, shop and its 20, data
		t.Errorf("%d folders are watched", got)
	}
	if len(w.base) != 500 {
		t.Errorf("%d files are remembered", len(w.base))
	}
}

// TestSameSizeSameTime writes as fast as it can, with no time at all to come to rest: clocks of file systems are
// coarse, so that two writes may look the same but for the content.
func TestSameSizeSameTime(t *testing.T) {
	s := settingsOf(tree(t, "app.py"))
	s.Delay = 0
	r := start(t, s, PollOff)
	for i := range 200 {
		before, err := os.Stat(r.path("app.py"))
		r.must(err)
		f, err := os.OpenFile(r.path("app.py"), os.O_WRONLY, 0)
		r.must(err)
		_, err = fmt.Fprintf(f, "n=%04d\n", i)
		r.must(err)
		r.must(f.Close())
		if i%2 == 1 { // not even the time tells
			r.must(os.Chtimes(r.path("app.py"), before.ModTime(), before.ModTime()))
		}
		r.expect("app.py workers")
	}
}
