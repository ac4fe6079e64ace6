package static

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNames are the rows 58, 60 and 61 of the table of bad inputs, and what is served.
func TestNames(t *testing.T) {
	f := func(path, want string, what verdict) {
		t.Helper()
		decoded, _ := unescape(path)
		got, v := name(decoded, []byte(path), false)
		if got != want || v != what {
			t.Errorf("%q: got %q, %d, want %q, %d", path, got, v, want, what)
		}
	}
	f("/a.css", "a.css", isFile)
	f("/a/b%20c.css", "a/b c.css", isFile)
	f("/", ".", isFolder)
	f("", ".", isFolder)
	f("/a/", "a", isFolder)
	f("/.well-known/x", ".well-known/x", isFile)
	f("/caf\u00e9.txt", "caf\u00e9.txt", isFile)
	f("/%252e%252e/x", "%2e%2e/x", isFile) // decoded once: an odd name
	f("/console.js", "console.js", isFile)
	f("/com10", "com10", isFile)
	// 58
	for _, p := range []string{
		"/..", "/../x", "/a/../x", "/%2e%2e/x", "/..%2fx", "/a%2fb", "/a%5cb", `/a\b`, `/..\x`, "/..%5cx", "//x", "/a//b", "/./x", "/a/./b", "/a/..",
		"/C:/x", "/C:x", "/%5c%5chost/x", "/...", "/a /b", "/a./b", "/\x01", "/\x7f", "/" + strings.Repeat("x", 256),
	} {
		f(p, "", isNone)
	}
	f("/a%00.css", "", isBad)
	f("/%00", "", isBad)
	// 60
	for _, p := range []string{"/.git/config", "/.env", "/a/.htaccess", "/a/.well-known/x", "/settings.py~"} {
		f(p, "", isNone)
	}
	// 61
	for _, p := range []string{
		"/CON", "/con", "/aux.txt", "/sub/NUL", "/nul.tar.gz", "/COM1", "/lpt9.txt", "/com\u00b9", "/file.txt.", "/file.txt%20", "/file::$DATA", "/prn .txt",
		"/CONIN$", "/conout$.x",
	} {
		f(p, "", isNone)
	}
}

func TestSources(t *testing.T) {
	s := newSite(t, map[string]string{"settings.py": "SECRET", "a.js": "1"}, nil)
	if got := s.get("/static/settings.py"); got.status != 404 {
		t.Errorf("%d %s", got.status, got.body)
	}
	s.write("SETTINGS.PY", "SECRET") // as a file system would give it for settings.py that does not tell them apart
	if got := s.get("/static/SETTINGS.PY"); got.status != 404 {
		t.Errorf("%d %s", got.status, got.body)
	}
	s = newSite(t, map[string]string{"settings.py": "SECRET"}, func(s *Settings) { s.Sources = true })
	if got := s.get("/static/settings.py"); got.status != 200 {
		t.Errorf("%d", got.status)
	}
}

func TestHashed(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		if hashed(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	f("app.3f9a1c2b.js", true)
	f("css/base.5af66c1b1797.css", true)
	f("assets/index-BQx8a1Zf.js", true)
	f("main.8f14e45f.chunk.js", true)
	f("vendor.5af66c1b.min.css", true)
	f("app.js", false)
	f("jquery-3.7.1.min.js", false)
	f("photo-20240131.jpg", false)
	f("some-document.pdf", false)
	f("bootstrap.bundle.js", false)
	f("face-deadbeef.png", false) // a word
	f("README", false)
}

// FuzzName: whatever the path, what is opened is inside the root, or nothing is.
func FuzzName(f *testing.F) {
	for _, s := range []string{"/a", "/../x", "/a/b/../../..", "/%2e%2e", "/.\x00", "//", "/a\\..\\b", "/C:", "/x/./y"} {
		f.Add([]byte(s))
	}
	outer := f.TempDir()
	inner := filepath.Join(outer, "root")
	if err := os.Mkdir(inner, 0o755); err != nil {
		f.Fatal(err)
	}
	root, err := os.OpenRoot(inner)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		n, what := name(path, path, true)
		if what != isFile && what != isFolder {
			return
		}
		if !filepath.IsLocal(n) || filepath.Clean(n) != n || strings.ContainsAny(n, "\\\x00:") {
			t.Fatalf("%q names %q", path, n)
		}
		if full := filepath.Join(inner, n); full != inner && !strings.HasPrefix(full, inner+"/") {
			t.Fatalf("%q leads to %s", path, full)
		}
		// os.Root agrees that it may be asked for it: nothing is there, and that is all.
		if _, err := root.Stat(n); err != nil && !os.IsNotExist(err) && !strings.Contains(err.Error(), "too long") {
			t.Fatalf("%q: %v", path, err)
		}
	})
}
