package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pyspeed/internal/config"
	"pyspeed/supervisor"
)

// folderOf makes a folder with files that hold their folder's name.
func folderOf(t *testing.T, name string, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// staticAt is what a worker says that has found a folder.
func staticAt(route, folder string) supervisor.StaticFolders {
	return supervisor.StaticFolders{
		Asked: true, Routes: []string{route}, Folders: []string{folder}, Caching: []string{"no-cache"},
		Types: map[string]string{".css": "text/css; charset=utf-8", ".bin": "application/octet-stream"},
	}
}

func (r *rig) openSets() int {
	r.found.mu.Lock()
	defer r.found.mu.Unlock()
	return len(r.found.sets)
}

// TestFoundByAnotherWorker: what another worker says opens folders anew only where something about them has changed.
func TestFoundByAnotherWorker(t *testing.T) {
	r := start(t, "app:wsgi")
	f := staticAt("/static", folderOf(t, "one", "a.css"))
	for call := range int64(20) {
		f.Not = []string{fmt.Sprintf("/other: the route <object at 0x%x> comes before it", call)}
		r.openFound(call, f, 1)
	}
	first, _ := r.found.sites()
	if n := r.openSets(); n != 1 || first == nil {
		t.Fatalf("%d sets are open", n)
	}
	compressing := *r.cfg
	compressing.Compress.Enabled = true
	r.present.Store(&compressing)
	r.openFound(20, f, 2)
	if second, _ := r.found.sites(); second == first {
		t.Error("that files are encoded was not seen")
	}
	r.openFound(21, supervisor.StaticFolders{}, 3)
	if set, _ := r.found.sites(); set != nil {
		t.Error("it is off, and there is a set")
	}
	r.until("all are closed", func() bool { return r.openSets() == 0 })
}

// TestFoundLater: the worker that was to serve last decides, whichever goroutine comes first, and whichever generation it is of:
// after a reload that failed it is the one before.
func TestFoundLater(t *testing.T) {
	r := start(t, "app:wsgi")
	one, two := staticAt("/static", folderOf(t, "one", "a.css")), staticAt("/static", folderOf(t, "two", "a.css"))
	f := func(call int64, f supervisor.StaticFolders, generation int, want string) {
		t.Helper()
		r.openFound(call, f, generation)
		if a := <-r.ask("/static/a.css"); a.body != want {
			t.Errorf("%q, %v", a.body, a.err)
		}
	}
	f(1, one, 1, "one")
	f(3, two, 2, "two")
	f(2, one, 1, "two")
	f(4, one, 1, "one")
}

// TestFoundFoldersAreClosed: those of releases before, each once its last request has ended, and nobody misses an answer.
func TestFoundFoldersAreClosed(t *testing.T) {
	r := start(t, "app:wsgi")
	first := folderOf(t, "release", "a.css")
	const size = 32 << 20 // more than all buffers on the way hold
	large := filepath.Join(first, "large.bin")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, size); err != nil {
		t.Fatal(err)
	}
	r.openFound(1, staticAt("/static", first), 1)
	<-r.ask("/static/a.css")
	files, goroutines := openFiles(t), runtime.NumGoroutine()

	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET /static/large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	stop := r.load("/static/a.css")
	for n := range 20 {
		r.openFound(int64(2+n), staticAt("/static", folderOf(t, "release", "a.css")), 2+n)
		if a := <-r.ask("/static/a.css"); a.body != "release" {
			t.Errorf("%q, %v", a.body, a.err)
		}
	}
	stop()
	r.until("all but the present one and the one that is sent from are closed", func() bool { return r.openSets() == 2 })
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	r.until("that one is closed", func() bool { return r.openSets() == 1 })
	_ = c.Close() // the answer is whole
	r.until("as many descriptors and goroutines as before", func() bool {
		return openFiles(t) <= files && runtime.NumGoroutine() <= goroutines
	})
}

// TestFoundSetIsClosed: requests that come to a set that is closed, by sessions that went by it, are the application's.
func TestFoundSetIsClosed(t *testing.T) {
	r := start(t, "app:wsgi")
	r.openFound(1, staticAt("/static", folderOf(t, "one", "a.css")), 1)
	set, _ := r.found.sites()
	before := r.sessions.Load()
	r.openFound(2, supervisor.StaticFolders{}, 2)
	r.until("it is closed", func() bool { return set.uses.Load() == 0 && r.openSets() == 0 })
	r.sessions.Store(before)
	if a := <-r.ask("/static/a.css"); a.status != 200 || a.body == "one" {
		t.Errorf("%d %q, %v", a.status, a.body, a.err)
	}
}

// TestFoundAndPassedOn: a request that is for no file is counted no more once the application has it.
func TestFoundAndPassedOn(t *testing.T) {
	r := start(t, "app:wsgi")
	r.openFound(1, staticAt("", folderOf(t, "one", "a.css")), 1)
	set, _ := r.found.sites()
	slow := r.ask("/wait")
	r.until("begun", func() bool { return strings.Contains(r.events(), "begun") })
	if n := set.uses.Load(); n != 1 {
		t.Errorf("%d uses", n)
	}
	if a := <-r.ask("/missing.css"); a.status != 200 { // the application answers everything
		t.Errorf("%d, %v", a.status, a.err)
	}
	r.open()
	<-slow
	r.until("nobody uses it", func() bool { return set.uses.Load() == 1 })
}

// TestFoundAndConfigured: what the configuration has for a path comes first, and what it does not pass on never comes to the application's
// folders.
func TestFoundAndConfigured(t *testing.T) {
	dir := t.TempDir()
	public := folderOf(t, "public", "static/both.css", "shop/own.css")
	file := fmt.Sprintf("[[static]]\nroute = \"/\"\nroot = %q\npass = true\n[[static]]\nroute = \"/shop\"\nroot = %q\n", public, filepath.Join(public, "shop"))
	if err := os.WriteFile(filepath.Join(dir, "pyspeed.toml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	r := prepare(t, dir, "app:wsgi")
	r.run()
	r.url = r.log.wait(t, `listening on (http://\S+)`)
	f := staticAt("/static", folderOf(t, "found", "both.css", "found.css"))
	f.Routes, f.Folders, f.Caching = append(f.Routes, "/shop/assets"), append(f.Folders, folderOf(t, "found", "found.css")), append(f.Caching, "no-cache")
	r.openFound(1, f, 1)
	ask := func(path string, status int, body string) {
		t.Helper()
		if a := <-r.ask(path); a.status != status || body != "" && a.body != body {
			t.Errorf("%s: %d %q, %v", path, a.status, a.body, a.err)
		}
	}
	ask("/static/both.css", 200, "public")
	ask("/static/found.css", 200, "found")
	ask("/static/missing.css", 200, "")
	ask("/shop/own.css", 200, "public")
	ask("/shop/assets/found.css", 404, "")
	r.log.wait(t, `app.static: serves /static from \S+; /shop/assets: requests for it go to \[\[static\]\] /shop`)
}

// TestElsewhere: the entry with the longest route decides whether requests come to the application.
func TestElsewhere(t *testing.T) {
	g := &Gateway{cfg: &config.Config{
		Upstreams: []config.Upstream{{Route: "/php"}, {Route: "/blog/"}},
		Statics:   []config.Static{{Route: "/", Pass: true}, {Route: "/php/own", Pass: true}, {Route: "/php/own/files"}},
	}}
	f := func(path, want string) {
		t.Helper()
		if got := g.elsewhere(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	f("/static", "")
	f("/php", "[[upstream]] /php")
	f("/php/static", "[[upstream]] /php")
	f("/phpinfo", "")
	f("/blog/static", "[[upstream]] /blog/")
	f("/php/own", "")
	f("/php/own/static", "")
	f("/php/own/files", "[[static]] /php/own/files")
}
