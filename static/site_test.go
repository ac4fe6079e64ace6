package static

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFiles(t *testing.T) {
	s := newSite(t, map[string]string{"a.css": "body{}", "b/c.html": "<p>", "app.3f9a1c2b.js": "1", "big.bin": text(300_000)}, func(s *Settings) {
		s.CacheControl = "max-age=60"
		s.Fields = append(s.Fields, field("X-Content-Type-Options", "nosniff"))
	})
	f := func(path, body, kind, cache string) {
		t.Helper()
		for _, from := range []string{"disk", "memory"} {
			e := s.get(path)
			if e.status != 200 || string(e.body) != body || e.field("content-type") != kind || e.field("cache-control") != cache {
				t.Errorf("%s from %s: %d %v %.30q", path, from, e.status, e.fields, e.body)
			}
			if e.field("content-length") != fmt.Sprint(len(body)) || e.field("etag") == "" || e.field("last-modified") == "" || e.field("x-content-type-options") != "nosniff" || e.field("accept-ranges") != "bytes" {
				t.Errorf("%s from %s: %v", path, from, e.fields)
			}
			s.kept(path)
			h := start(s.r, false, "HEAD", path).wait(t)
			if h.status != 200 || len(h.body) != 0 || strings.Join(h.fields, "\n") != strings.Join(e.fields, "\n") {
				t.Errorf("HEAD %s: %d %v", path, h.status, h.fields)
			}
		}
	}
	f("/static/a.css", "body{}", "text/css; charset=utf-8", "max-age=60")
	f("/static/b/c.html", "<p>", "text/html; charset=utf-8", "max-age=60")
	f("/static/app.3f9a1c2b.js", "1", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable")
	f("/static/big.bin", text(300_000), "application/octet-stream", "max-age=60")
}

func TestMissing(t *testing.T) {
	s := newSite(t, map[string]string{"a.css": "1", "dir/x": "1"}, nil)
	for _, p := range []string{"/static/b.css", "/static/a.css/x", "/static/dir", "/static/dir/", "/static/", "/static/..", "/static/" + strings.Repeat("x/", 3000) + "x"} {
		if e := s.get(p); e.status != 404 {
			t.Errorf("%.40s: %d", p, e.status)
		}
	}
	if e := s.get("/static/%00"); e.status != 400 {
		t.Errorf("NUL: %d", e.status)
	}
	if e := start(s.r, false, "POST", "/static/a.css").wait(t); e.status != 405 || e.field("allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", e.status, e.fields)
	}
}

func TestPass(t *testing.T) {
	s := newSite(t, map[string]string{"a.css": "1"}, func(s *Settings) { s.Pass = true })
	for _, p := range []string{"/static/b.css", "/static/../x", "/static/dir/"} {
		if e := s.get(p); e.status != 200 || string(e.body) != "the application" {
			t.Errorf("%s: %d %q", p, e.status, e.body)
		}
	}
	if e := start(s.r, false, "POST", "/static/a.css").wait(t); string(e.body) != "the application" {
		t.Errorf("POST: %d", e.status)
	}
	if e := s.get("/static/a.css"); string(e.body) != "1" {
		t.Errorf("%q", e.body)
	}
}

func TestFolders(t *testing.T) {
	s := newSite(t, map[string]string{"index.html": "root", "docs/index.html": "docs", "none/x.txt": "1", "none/<b>.txt": "1", "none/.secret": "1"}, nil)
	if e := s.get("/static/"); string(e.body) != "root" {
		t.Errorf("%d %q", e.status, e.body)
	}
	if e := s.get("/static/docs"); e.status != 301 || e.field("location") != "/static/docs/" {
		t.Errorf("%d %v", e.status, e.fields)
	}
	if e := s.get("/static/docs/"); string(e.body) != "docs" {
		t.Errorf("%d %q", e.status, e.body)
	}
	if e := s.get("/static/none/"); e.status != 404 {
		t.Errorf("%d", e.status)
	}
	s = newSite(t, map[string]string{"sub/x.txt": "1", "<b>.txt": "1", ".secret": "1", "x.py": "1"}, func(s *Settings) { s.Listing = true })
	e := s.get("/static/")
	if e.status != 200 || !strings.Contains(string(e.body), `<a href="./sub/">sub/</a>`) || !strings.Contains(string(e.body), `<a href="./%3Cb%3E.txt">&lt;b&gt;.txt</a>`) {
		t.Errorf("%d %s", e.status, e.body)
	}
	for _, hidden := range []string{"secret", "x.py", `"../"`} {
		if strings.Contains(string(e.body), hidden) {
			t.Errorf("the page has %s", hidden)
		}
	}
}

func TestFallbackAndNotFound(t *testing.T) {
	s := newSite(t, map[string]string{"app.html": "app", "404.html": "nothing here", "a.js": "1"}, func(s *Settings) { s.Fallback, s.NotFound = "app.html", "404.html" })
	if e := s.get("/static/some/page", "Accept: text/html,*/*"); e.status != 200 || string(e.body) != "app" {
		t.Errorf("%d %q", e.status, e.body)
	}
	if e := s.get("/static/b.js", "Accept: */*"); e.status != 404 || string(e.body) != "nothing here" || e.field("etag") != "" {
		t.Errorf("%d %q %v", e.status, e.body, e.fields)
	}
	if e := s.get("/static/a.js", "Accept: text/html"); string(e.body) != "1" {
		t.Errorf("%q", e.body)
	}
}

// TestLinks is row 59: what leads out of the root is not there, nor is what is no regular file.
func TestLinks(t *testing.T) {
	s := newSite(t, map[string]string{"a.txt": "inside", "sub/b.txt": "b"}, nil)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"in.txt": "a.txt", "out.txt": outside, "up.txt": "../../secret", "folder": filepath.Dir(outside), "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(s.root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(s.root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if e := s.get("/static/in.txt"); string(e.body) != "inside" {
		t.Errorf("a link within the root: %d", e.status)
	}
	for _, p := range []string{"out.txt", "up.txt", "folder/secret", "loop", "fifo"} {
		if e := s.get("/static/" + p); e.status != 404 || bytes.Contains(e.body, []byte("secret")) {
			t.Errorf("%s: %d %q", p, e.status, e.body)
		}
	}
	follow := newSite(t, nil, func(s *Settings) { s.FollowSymlinks = true })
	if err := os.Symlink(outside, filepath.Join(follow.root, "out.txt")); err != nil {
		t.Fatal(err)
	}
	if e := follow.get("/static/out.txt"); string(e.body) != "secret" {
		t.Errorf("follow_symlinks: %d", e.status)
	}
}

func TestConditions(t *testing.T) {
	s := newSite(t, map[string]string{"a.txt": text(1000)}, nil)
	first := s.get("/static/a.txt")
	etag, modified := first.field("etag"), first.field("last-modified")
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", modified)
	if err != nil {
		t.Fatal(err)
	}
	before, after := at.Add(-time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT"), at.Add(time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT")
	f := func(want int, lines ...string) {
		t.Helper()
		for range 2 { // from the disk, or from memory
			e := s.get("/static/a.txt", lines...)
			if e.status != want {
				t.Errorf("%v: %d, want %d", lines, e.status, want)
			}
			if want == 304 && (len(e.body) > 0 || e.field("etag") != etag || e.field("content-type") != "" || e.field("content-length") != "") {
				t.Errorf("%v: %v", lines, e.fields)
			}
			s.kept("/static/a.txt")
		}
	}
	f(304, "If-None-Match: "+etag)
	f(304, "If-None-Match: W/"+etag)
	f(304, "If-None-Match: \"x\", "+etag)
	f(304, "If-None-Match: *")
	f(200, "If-None-Match: \"x\"")
	f(200, "If-None-Match: nonsense")
	f(304, "If-Modified-Since: "+modified)
	f(304, "If-Modified-Since: "+after)
	f(200, "If-Modified-Since: "+before)
	f(200, "If-Modified-Since: yesterday")
	f(200, "If-None-Match: \"x\"", "If-Modified-Since: "+after) // RFC 9110 §13.1.3
	f(200, "If-Match: "+etag)
	f(200, "If-Match: *")
	f(412, "If-Match: \"x\"")
	f(412, "If-Match: W/"+etag) // a strong comparison
	f(412, "If-Unmodified-Since: "+before)
	f(200, "If-Unmodified-Since: "+modified)
	f(200, "If-Match: "+etag, "If-Unmodified-Since: "+before) // §13.1.4
	f(412, "If-Match: \"x\"", "If-None-Match: "+etag)
	f(206, "Range: bytes=0-9", "If-Range: "+etag)
	f(206, "Range: bytes=0-9", "If-Range: "+modified)
	f(200, "Range: bytes=0-9", "If-Range: W/"+etag)
	f(200, "Range: bytes=0-9", "If-Range: \"x\"")
	f(200, "Range: bytes=0-9", "If-Range: "+after)
	f(304, "Range: bytes=0-9", "If-None-Match: "+etag)
}

func TestRanges(t *testing.T) {
	body := text(200_000)
	s := newSite(t, map[string]string{"a.txt": body}, nil)
	for range 2 {
		e := s.get("/static/a.txt", "Range: bytes=100-199", "Accept-Encoding: gzip")
		if e.status != 206 || string(e.body) != body[100:200] || e.field("content-range") != "bytes 100-199/200000" || e.field("content-length") != "100" {
			t.Errorf("%d %v", e.status, e.fields)
		}
		e = s.get("/static/a.txt", "Range: bytes=1000-180000")
		if e.status != 206 || string(e.body) != body[1000:180001] {
			t.Errorf("%d %v", e.status, e.fields)
		}
		e = s.get("/static/a.txt", "Range: bytes=200000-")
		if e.status != 416 || e.field("content-range") != "bytes */200000" || len(e.body) > 0 {
			t.Errorf("%d %v", e.status, e.fields)
		}
		e = s.get("/static/a.txt", "Range: bytes=0-9,50-59,-10")
		_, params, err := mime.ParseMediaType(e.field("content-type"))
		if err != nil || e.status != 206 || e.field("content-range") != "" || e.field("content-length") != fmt.Sprint(len(e.body)) {
			t.Fatalf("%d %v", e.status, e.fields)
		}
		r := multipart.NewReader(bytes.NewReader(e.body), params["boundary"])
		for _, want := range []struct{ where, body string }{
			{"bytes 0-9/200000", body[:10]}, {"bytes 50-59/200000", body[50:60]}, {"bytes 199990-199999/200000", body[199_990:]},
		} {
			p, err := r.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(p)
			if err != nil || string(got) != want.body || p.Header.Get("Content-Range") != want.where || p.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%v %q", p.Header, got)
			}
		}
		if _, err := r.NextPart(); err != io.EOF {
			t.Errorf("one part more: %v", err)
		}
		if e := start(s.r, false, "HEAD", "/static/a.txt", "Range: bytes=0-9").wait(t); e.status != 200 || e.field("content-length") != "200000" {
			t.Errorf("HEAD: %d %v", e.status, e.fields)
		}
		s.kept("/static/a.txt")
	}
}

func TestEncodings(t *testing.T) {
	s := newSite(t, map[string]string{"a.js": text(5000), "a.js.br": "br", "a.js.gz": "gz", "b.js": text(5000), "pic.png": text(5000)}, nil)
	f := func(path, accepts, coding, body string) {
		t.Helper()
		e := s.get(path, "Accept-Encoding: "+accepts)
		if e.status != 200 || e.field("content-encoding") != coding || body != "" && string(e.body) != body || e.field("vary") != "Accept-Encoding" {
			t.Errorf("%s %q: %d %v %.20q", path, accepts, e.status, e.fields, e.body)
		}
	}
	for range 2 {
		f("/static/a.js", "gzip, br", "gzip", "gz") // of two as short, the first
		f("/static/a.js", "br", "br", "br")
		f("/static/a.js", "gzip;q=0, br;q=0.1", "br", "br")
		f("/static/a.js", "identity", "", text(5000))
		f("/static/a.js", "", "", text(5000))
		s.kept("/static/a.js")
	}
	plain := s.get("/static/a.js")
	coded := s.get("/static/a.js", "Accept-Encoding: br")
	if plain.field("etag") == coded.field("etag") {
		t.Error("two representations have one ETag")
	}
	if e := s.get("/static/a.js", "Accept-Encoding: br", "If-None-Match: "+coded.field("etag")); e.status != 304 || e.field("content-encoding") != "" {
		t.Errorf("%d %v", e.status, e.fields)
	}
	// A file that is asked for often is encoded once, in memory.
	deadline := time.Now().Add(30 * time.Second)
	for {
		e := s.get("/static/b.js", "Accept-Encoding: gzip")
		if e.field("content-encoding") == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(e.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != text(5000) {
				t.Errorf("another body: %v", err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is never encoded")
		}
	}
	for range 2 * hot {
		if e := s.get("/static/pic.png", "Accept-Encoding: gzip"); e.field("content-encoding") != "" {
			t.Error("a picture was encoded")
		}
	}
}

// TestChanges: what is in memory is what is on the disk, within moments.
func TestChanges(t *testing.T) {
	s := newSite(t, map[string]string{"a.txt": "one", "dir/b.txt": "one"}, nil)
	until := func(path, want string, status int) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for {
			e := s.get(path)
			if e.status == status && string(e.body) == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is %d %q, want %d %q", path, e.status, e.body, status, want)
			}
		}
	}
	s.kept("/static/a.txt")
	s.kept("/static/dir/b.txt")
	s.write("a.txt", "two") // truncated and written
	until("/static/a.txt", "two", 200)
	s.kept("/static/a.txt")
	s.write("new", "three")
	if err := os.Rename(filepath.Join(s.root, "new"), filepath.Join(s.root, "a.txt")); err != nil {
		t.Fatal(err)
	}
	until("/static/a.txt", "three", 200)
	s.kept("/static/a.txt")
	if err := os.Remove(filepath.Join(s.root, "a.txt")); err != nil {
		t.Fatal(err)
	}
	until("/static/a.txt", "404 Not Found\n", 404)
	// The folder goes, and another one comes in its place.
	if err := os.Rename(filepath.Join(s.root, "dir"), filepath.Join(s.root, "gone")); err != nil {
		t.Fatal(err)
	}
	until("/static/dir/b.txt", "404 Not Found\n", 404)
	s.write("dir/b.txt", "two")
	until("/static/dir/b.txt", "two", 200)
	s.kept("/static/dir/b.txt")
	s.write("dir/b.txt", "three")
	until("/static/dir/b.txt", "three", 200)
}

// TestReopen: the root is a link to a release, and the link is changed.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for _, release := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, release), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, release, "a.txt"), []byte(release), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "current")
	point := func(release string) {
		t.Helper()
		if err := os.Symlink(release, current+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(current+".new", current); err != nil {
			t.Fatal(err)
		}
	}
	point("1")
	s := newSite(t, nil, func(s *Settings) { s.Root = current })
	s.kept("/static/a.txt")
	point("2")
	if err := s.set.Reopen(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if e := s.get("/static/a.txt"); string(e.body) != "2" {
			t.Errorf("%q", e.body)
		}
		s.kept("/static/a.txt")
	}
	point("3") // is not there
	if err := s.set.Reopen(); err == nil || !strings.Contains(err.Error(), current) {
		t.Errorf("%v", err)
	}
	if e := s.get("/static/a.txt"); string(e.body) != "2" {
		t.Errorf("%q", e.body)
	}
}

// TestSlowClient: a client that takes nothing costs a window, whether the file is on the disk or in memory.
func TestSlowClient(t *testing.T) {
	body := text(3 << 20)
	for _, memory := range []bool{false, true} {
		s := newSite(t, map[string]string{"big.bin": body, "big.txt": body}, nil)
		path := "/static/big.bin"
		if memory {
			path = "/static/big.txt" // which would be encoded
			s.admitted(path)
		} else {
			s.set.largest = 0
		}
		e := start(s.r, true, "GET", path)
		for {
			e.take(10_000)
			select {
			case <-e.ended:
				e.take(len(body))
				if string(e.body) != body || e.cut {
					t.Errorf("memory %v: %d bytes, cut %v", memory, len(e.body), e.cut)
				}
				if e.most > ahead {
					t.Errorf("memory %v: %d bytes waited for the client", memory, e.most)
				}
			default:
				time.Sleep(10 * time.Microsecond) // the sender's turn
				continue
			}
			break
		}
	}
}

func TestClientLeaves(t *testing.T) {
	s := newSite(t, map[string]string{"big.bin": text(3 << 20)}, nil)
	s.kept("/static/big.bin")
	e := start(s.r, true, "GET", "/static/big.bin")
	e.take(1)
	e.x.Source.Cancelled()
	if e.wait(t); !e.cut {
		t.Error("not cut")
	}
}

func TestFileThatShrinks(t *testing.T) {
	s := newSite(t, map[string]string{"big.bin": text(3 << 20)}, nil)
	s.set.largest = 0
	e := start(s.r, true, "GET", "/static/big.bin")
	for { // until it has begun
		e.mu.Lock()
		n := len(e.body)
		e.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := os.Truncate(filepath.Join(s.root, "big.bin"), 1000); err != nil {
		t.Fatal(err)
	}
	for {
		e.take(1 << 20)
		select {
		case <-e.ended:
		default:
			time.Sleep(time.Millisecond)
			continue
		}
		break
	}
	if !e.cut {
		t.Error("what is missing looks complete")
	}
}

func TestAllocations(t *testing.T) {
	s := newSite(t, map[string]string{"a.css": text(1000)}, nil)
	s.kept("/static/a.css")
	x := &quiet{}
	x.Exchange.Request.Method, x.Exchange.Request.Path, x.Exchange.Request.RawPath = []byte("GET"), []byte("/static/a.css"), []byte("/static/a.css")
	x.Exchange.Writer = x
	if n := testing.AllocsPerRun(100, func() { s.r.Respond(&x.Exchange) }); n > 0 {
		t.Errorf("%v allocations for a file in memory", n)
	}
}

// quiet is an edge that keeps nothing.
type quiet struct{ edgeless }

func BenchmarkKept(b *testing.B) {
	s := newSite(b, map[string]string{"a.css": text(1000)}, nil)
	s.kept("/static/a.css")
	x := &quiet{}
	x.Exchange.Request.Method, x.Exchange.Request.Path, x.Exchange.Request.RawPath = []byte("GET"), []byte("/static/a.css"), []byte("/static/a.css")
	x.Exchange.Writer = x
	b.ReportAllocs()
	for b.Loop() {
		s.r.Respond(&x.Exchange)
	}
}

// TestTypes: a site with types has files of these only, with the types that it was given; the rest is passed on.
func TestTypes(t *testing.T) {
	s := newSite(t, map[string]string{"a.css": "1", "a.CSS": "1", "b.js": "1", "none": "1", "x.css/y": "1"}, func(s *Settings) {
		s.Types, s.Pass, s.Index = map[string]string{".css": "text/x-own"}, true, nil
	})
	for range 2 { // from the disk, then from memory
		if e := s.get("/static/a.css"); e.status != 200 || e.field("content-type") != "text/x-own" {
			t.Errorf("%d %v", e.status, e.fields)
		}
	}
	for _, path := range []string{"/static/a.CSS", "/static/b.js", "/static/none", "/static/x.css", "/static/x.css/y", "/static/missing.css", "/static/%00.css", "/static/", "/static"} {
		if e := s.get(path); e.field("content-type") != "text/x-app" {
			t.Errorf("%s: %d %v", path, e.status, e.fields)
		}
	}
}

// TestVary: what the operator adds does not hide what the answer is chosen by.
func TestVary(t *testing.T) {
	s := newSite(t, map[string]string{"a.js": "1"}, func(s *Settings) { s.Fields = append(s.Fields, field("Vary", "Origin")) })
	if e := s.get("/static/a.js"); e.field("vary") != "Accept-Encoding, Origin" {
		t.Errorf("%v", e.fields)
	}
}

// TestRouteWithoutSlash: relative links of the index need it.
func TestRouteWithoutSlash(t *testing.T) {
	s := newSite(t, map[string]string{"index.html": "1"}, nil)
	if e := s.get("/static"); e.status != 301 || e.field("location") != "/static/" {
		t.Errorf("%d %v", e.status, e.fields)
	}
	if e := s.get("/static/"); string(e.body) != "1" {
		t.Errorf("%d %q", e.status, e.body)
	}
	s = newSite(t, map[string]string{"a": "1"}, nil)
	if e := s.get("/static"); e.status != 404 {
		t.Errorf("%d", e.status)
	}
}

// TestEncodingsInTurn: one file is encoded at a time, whatever is asked for.
func TestEncodingsInTurn(t *testing.T) {
	s := newSite(t, map[string]string{"a.js": text(5000)}, nil)
	s.set.encoding <- struct{}{} // another one is
	for range 3 * hot {
		if e := s.get("/static/a.js", "Accept-Encoding: gzip"); e.field("content-encoding") != "" {
			t.Fatal("two are encoded at once")
		}
	}
	<-s.set.encoding
	for deadline := time.Now().Add(30 * time.Second); s.get("/static/a.js", "Accept-Encoding: gzip").field("content-encoding") == ""; {
		if time.Now().After(deadline) {
			t.Fatal("its turn never comes")
		}
	}
}
