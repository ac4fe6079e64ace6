package static

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// until asks, each time a while later by the gateway's clock, until it gets that body.
func (s *site) until(now *time.Duration, path, want string) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		*now += trust
		e := startAt(s.r, *now, false, "GET", path).wait(s.t)
		if string(e.body) == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is still %q, want %q", path, e.body, want)
		}
		runtime.Gosched()
	}
}

// TestUnheardChanges: what no event tells of is found all the same: behind a link, and of a folder above.
func TestUnheardChanges(t *testing.T) {
	s := newSite(t, map[string]string{"data/a.js": "one", "dist/assets/b.js": "one", "new/assets/b.js": "two", "1/c.js": "one", "2/c.js": "two"}, nil)
	link := func(to, name string) {
		t.Helper()
		full := filepath.Join(s.root, name)
		if err := os.Symlink(to, full+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(full+".new", full); err != nil {
			t.Fatal(err)
		}
	}
	link("data/a.js", "a.js")
	link("1", "current")
	var now time.Duration
	for _, path := range []string{"/static/a.js", "/static/dist/assets/b.js", "/static/current/c.js"} {
		s.kept(path)
		s.until(&now, path, "one")
	}
	s.write("data/a.js", "two")
	s.until(&now, "/static/a.js", "two")
	for _, move := range [][2]string{{"dist", "gone"}, {"new", "dist"}} {
		if err := os.Rename(filepath.Join(s.root, move[0]), filepath.Join(s.root, move[1])); err != nil {
			t.Fatal(err)
		}
	}
	s.until(&now, "/static/dist/assets/b.js", "two")
	link("2", "current")
	s.until(&now, "/static/current/c.js", "two")
}

// TestNeighbours: a file that is written all the time costs its neighbours a look, and not what is in memory of them.
func TestNeighbours(t *testing.T) {
	s := newSite(t, map[string]string{"big.bin": text(5 * small), "log": "1"}, nil)
	s.admitted("/static/big.bin")
	before := s.set.kept([]byte("/static/big.bin")).variants[identity].Load()
	for _, content := range []string{"2", "3", "4"} {
		old := s.set.recall([]byte("/static/big.bin"))
		s.write("log", content)
		for deadline := time.Now().Add(30 * time.Second); old.fresh(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("the change is not heard of")
			}
		}
		if e := s.get("/static/big.bin"); string(e.body) != text(5*small) {
			t.Errorf("%d bytes", len(e.body))
		}
		s.kept("/static/big.bin")
	}
	if after := s.set.kept([]byte("/static/big.bin")).variants[identity].Load(); after != before {
		t.Error("it was read anew")
	}
}

// TestSameLength: a large file that is replaced by one of the same length never has the other's validators.
func TestSameLength(t *testing.T) {
	s := newSite(t, map[string]string{"big.bin": text(5 * small)}, nil)
	s.set.largest = 0 // it stays on the disk
	first := s.get("/static/big.bin")
	s.kept("/static/big.bin")
	s.write("new", strings.Repeat("x", 5*small))
	later := time.Now().Add(time.Second) // clocks of file systems may stand for some milliseconds
	if err := os.Chtimes(filepath.Join(s.root, "new"), later, later); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.root, "new"), filepath.Join(s.root, "big.bin")); err != nil {
		t.Fatal(err)
	}
	if second := s.get("/static/big.bin"); second.field("etag") == first.field("etag") || second.body[0] != 'x' {
		t.Errorf("%v %.10q", second.fields, second.body)
	}
}

// TestSlowReaders: those of a file that is small enough for memory hold none of their own.
func TestSlowReaders(t *testing.T) {
	const size = 3 << 20
	s := newSite(t, map[string]string{"big.bin": text(size)}, nil)
	var readers []*edge
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		readers = append(readers, start(s.r, true, "GET", "/static/big.bin"))
	}
	for _, e := range readers {
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			e.mu.Lock()
			n := e.held
			e.mu.Unlock()
			if n+piece > ahead { // its sender waits
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the answer does not begin")
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	// What the readers' edges were given, in memory that doubles as it grows, the pieces that are being read, and one body. A
	// body for each would be twice that.
	if n := int(after.HeapAlloc) - int(before.HeapAlloc); n > len(readers)*3*ahead+2*size {
		t.Errorf("%d readers hold %d KiB", len(readers), n>>10)
	}
	for _, e := range readers {
		e.x.Source.Cancelled()
		e.wait(t)
	}
}

// TestPages: what stands for many paths is kept once, with its encodings.
func TestPages(t *testing.T) {
	s := newSite(t, map[string]string{"app.html": text(3 * small), "404.html": text(2 * small)}, func(s *Settings) { s.Fallback, s.NotFound = "app.html", "404.html" })
	coded := map[string]bool{}
	for deadline := time.Now().Add(30 * time.Second); len(coded) < 2; {
		for _, path := range []string{"/static/a", "/static/b/c"} {
			e := s.get(path, "Accept: text/html", "Accept-Encoding: gzip")
			if e.status != 200 || e.field("vary") != "Accept, Accept-Encoding" {
				t.Fatalf("%s: %d %v", path, e.status, e.fields)
			}
			if e.field("content-encoding") == "gzip" {
				coded[path] = true
			} else if string(e.body) != text(3*small) {
				t.Fatalf("%s: %d bytes", path, len(e.body))
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("it is never encoded")
		}
	}
	for range 3 {
		if e := s.get("/static/x.js", "Accept: */*"); e.status != 404 || string(e.body) != text(2*small) {
			t.Errorf("%d, %d bytes", e.status, len(e.body))
		}
	}
	s.write("app.html", "new")
	var now time.Duration
	for deadline := time.Now().Add(30 * time.Second); ; now += trust {
		if e := startAt(s.r, now, false, "GET", "/static/a", "Accept: text/html").wait(t); string(e.body) == "new" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the old page is still served")
		}
	}
}
