package static

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAdmission: the body of a larger file is in memory from its second request on, and one that has changed meanwhile is not
// taken for what it was.
func TestAdmission(t *testing.T) {
	s := newSite(t, map[string]string{"a.bin": text(3 * small), "b.bin": text(3 * small), "huge.bin": text(3 * small)}, nil)
	in := func(path string) bool {
		e := s.set.kept([]byte(path))
		return e != nil && e.variants[identity].Load().body != nil
	}
	if s.kept("/static/a.bin"); in("/static/a.bin") {
		t.Error("the first request reads it in")
	}
	if e := start(s.r, false, "HEAD", "/static/a.bin").wait(t); e.status != 200 || in("/static/a.bin") {
		t.Errorf("HEAD reads it in: %d", e.status)
	}
	if e := s.get("/static/a.bin"); string(e.body) != text(3*small) || !in("/static/a.bin") {
		t.Errorf("the second request does not read it in: %d bytes", len(e.body))
	}
	s.kept("/static/b.bin")
	e := s.set.kept([]byte("/static/b.bin"))
	s.write("b.bin", text(3 * small)[1:]+"!")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(s.root, "b.bin"), later, later); err != nil {
		t.Fatal(err)
	}
	if f := e.open(e.variants[identity].Load()); f != nil {
		t.Error("a file of another time is taken for the one that was described")
	}
	if e := s.get("/static/b.bin"); string(e.body) != text(3 * small)[1:]+"!" {
		t.Error("not what is on the disk")
	}
	s.set.largest = small
	s.kept("/static/huge.bin")
	for range 3 {
		if e := s.get("/static/huge.bin", "Range: bytes=5-14"); e.status != 206 || string(e.body) != text(3 * small)[5:15] || in("/static/huge.bin") {
			t.Errorf("%d %q", e.status, e.body)
		}
	}
}

// TestBesideLater: encodings beside a file are looked for when a client first takes one.
func TestBesideLater(t *testing.T) {
	s := newSite(t, map[string]string{"a.js": text(100), "a.js.br": "br", "l.js": text(3 * small), "l.js.gz": text(2 * small)}, nil)
	for _, accepts := range []string{"identity", "br;q=0", "x"} {
		if e := s.get("/static/a.js", "Accept-Encoding: "+accepts); string(e.body) != text(100) {
			t.Errorf("%s: %q", accepts, e.body)
		}
	}
	s.kept("/static/a.js")
	for range 3 {
		if e := s.get("/static/a.js", "Accept-Encoding: br"); string(e.body) != "br" {
			t.Errorf("%q", e.body)
		}
		if e := s.get("/static/a.js"); string(e.body) != text(100) {
			t.Errorf("%q", e.body)
		}
		if e := s.get("/static/l.js"); string(e.body) != text(3*small) {
			t.Errorf("%d bytes", len(e.body))
		}
		if e := s.get("/static/l.js", "Accept-Encoding: gzip"); string(e.body) != text(2*small) || e.field("content-encoding") != "gzip" {
			t.Errorf("%d bytes, %v", len(e.body), e.fields)
		}
	}
}

// TestReopenUnderLoad: no request is lost while the root is exchanged.
func TestReopenUnderLoad(t *testing.T) {
	s := newSite(t, map[string]string{"a.txt": "one"}, nil)
	s.set.cache = nil // each goes to the disk
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 2000 {
			if err := s.set.Reopen(); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		if e := s.get("/static/a.txt"); e.status != 200 || string(e.body) != "one" {
			t.Fatalf("%d %q", e.status, e.body)
		}
		select {
		case <-ended:
			return
		default:
		}
	}
}
