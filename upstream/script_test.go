package upstream

import (
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// decode is the decoding that the edge does, once.
func decode(raw string) []byte {
	var out []byte
	for i := 0; i < len(raw); i++ {
		if raw[i] == '%' && i+2 < len(raw) {
			const hex = "0123456789abcdef"
			hi, lo := strings.IndexByte(hex, raw[i+1]|0x20), strings.IndexByte(hex, raw[i+2]|0x20)
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, raw[i])
	}
	return out
}

// TestScripts: the table of paths, without a look at the file system.
func TestScripts(t *testing.T) {
	php := Files{Root: "/srv/www", Split: ".php", Index: "index.php", Check: CheckOff}
	ok := func(f Files, raw, name, file, info string) {
		t.Helper()
		s, status := f.resolve([]byte(raw), decode(raw))
		if status != 0 || s.name != name || s.file != file || s.info != info {
			t.Errorf("%q: got %d %+v, want %q %q %q", raw, status, s, name, file, info)
		}
	}
	refused := func(f Files, raw string, want int) {
		t.Helper()
		if s, status := f.resolve([]byte(raw), decode(raw)); status != want {
			t.Errorf("%q: got %d %+v, want %d", raw, status, s, want)
		}
	}
	ok(php, "/index.php", "/index.php", "/srv/www/index.php", "")
	ok(php, "/", "/index.php", "/srv/www/index.php", "")
	ok(php, "/a/b/", "/a/b/index.php", "/srv/www/a/b/index.php", "")
	ok(php, "/a/x.php/in/fo", "/a/x.php", "/srv/www/a/x.php", "/in/fo")
	ok(php, "/x.php/y.php", "/x.php", "/srv/www/x.php", "/y.php")
	ok(php, "/x.php/", "/x.php", "/srv/www/x.php", "/")
	ok(php, "/x.php//y", "/x.php", "/srv/www/x.php", "//y")
	ok(php, "/a%20b/%2ephp.php", "/a b/.php.php", "/srv/www/a b/.php.php", "")
	ok(php, "/caf%C3%A9.php", "/café.php", "/srv/www/café.php", "")
	ok(php, "/x.phpa/y.php", "/x.phpa/y.php", "/srv/www/x.phpa/y.php", "")
	ok(php, "/%2570.php", "/%70.php", "/srv/www/%70.php", "") // decoded once
	ok(Files{Root: "/", Split: ".php", Check: CheckOff}, "/x.php", "/x.php", "/x.php", "")

	for _, raw := range []string{
		"/x", "/a/x.txt", "/x.php5", "/x.ph", "/xphp", // name no script
		"/x.PHP", "/x.Php/y", "/upload/x.pHp/y.php", // other capitals
		"/x.php.", "/x.php%20", "/x.php.%20.", "/x.php./y.php", "/x.php::$DATA", "/x.php:y", // what a file system leaves off
		"/.php", "/a/.php/b", // a hidden file
		"/../x.php", "/a/../x.php", "/%2e%2e/x.php", "/a/./x.php", "/a/.%2e/x.php", "/x.php/../y", "/..%20/x.php", // out of the folder
		"/a%2Fx.php", "/a%2fx.php", "/x.php%2Fy", "/x.php/%2e%2e%2f", "/a%5Cx.php", "/x.php/%5c", // slashes that are none
		"//x.php", "/a//x.php", // empty segments in front
		"/x.\u212ahp", "/x.%E1%B5%96hp", "/x.p%C5%BFp", // letters that fold to others (CVE-2026-27590)
		"/%C8%BA%C8%BA%C8%BA%C8%BA.txt", "*", "x.php", "",
	} {
		refused(php, raw, 404)
	}
	for _, raw := range []string{"/x.php%0a", "/x.php/a%0Ab", "/a%0d.php", "/x%00.php", "/x.php/%00", "/x.php%00.jpg", "/%7f.php", "/%09x.php"} {
		refused(php, raw, 400) // %0a: CVE-2019-11043
	}

	none := Files{}
	ok(none, "/a//b/../c.php", "", "", "/a//b/../c.php")
	ok(none, "/%0a", "", "", "/\n")
	refused(none, "/%00", 400)
	fixed := Files{Script: "/srv/app.fcgi", Prefix: "/app"}
	ok(fixed, "/app/x.php", "/app", "/srv/app.fcgi", "/x.php")
	ok(fixed, "/app", "/app", "/srv/app.fcgi", "")

	front := php
	front.Script = "/srv/www/index.php"
	ok(front, "/blog/2026", "/index.php", "/srv/www/index.php", "")
	ok(front, "/blog/", "/index.php", "/srv/www/index.php", "")
	ok(front, "/a%2Fb//../c", "/index.php", "/srv/www/index.php", "")
	ok(front, "/admin.php/x", "/admin.php", "/srv/www/admin.php", "/x")
	refused(front, "/admin.PHP", 404)
	refused(front, "/a%2Fadmin.php", 404)
	refused(front, "/a%0ab", 400)
	front.Script = "/elsewhere/front.php"
	ok(front, "/blog", "", "/elsewhere/front.php", "")

	sub := php
	sub.Prefix = "/shop"
	ok(sub, "/shop/x.php/y", "/shop/x.php", "/srv/www/x.php", "/y")
	ok(sub, "/shop/", "/shop/index.php", "/srv/www/index.php", "")
	refused(sub, "/shop", 404)
}

// TestScriptsAreFiles: where the folder is here, only regular files in it are asked for.
func TestScriptsAreFiles(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "www")
	write := func(name string) {
		t.Helper()
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("secret.php")
	write("www/x.php")
	write("www/upload/photo.jpg")
	write("www/folder.php/y.txt")
	link("x.php", "inside.php")
	link("../secret.php", "outside.php")
	link(filepath.Join(dir, "secret.php"), "absolute.php")
	for _, check := range []Check{CheckAuto, CheckOn} {
		files := Files{Root: root, Split: ".php", Index: "index.php", Check: check}
		f := func(raw string, want int) {
			t.Helper()
			if s, status := files.resolve([]byte(raw), decode(raw)); status != want {
				t.Errorf("%s: got %d %+v, want %d", raw, status, s, want)
			}
		}
		f("/x.php", 0)
		f("/x.php/info", 0)
		f("/inside.php", 0)
		f("/upload/photo.jpg/x.php", 404)
		f("/upload/photo.jpg/.php", 404)
		f("/folder.php", 404)
		f("/folder.php/y.txt", 404)
		f("/missing.php", 404)
		f("/outside.php", 404)
		f("/absolute.php", 404)
		f("/", 404)
		files.Script = filepath.Join(root, "x.php")
		f("/", 0)
		f("/missing.php", 404)
	}
	elsewhere := Files{Root: filepath.Join(dir, "not-here"), Split: ".php"}
	if s, status := elsewhere.resolve([]byte("/a.jpg/x.php"), []byte("/a.jpg/x.php")); status != 0 {
		t.Errorf("a folder that is not here: %d %+v", status, s)
	}
	elsewhere.Check = CheckOn
	if s, status := elsewhere.resolve([]byte("/x.php"), []byte("/x.php")); status != 404 {
		t.Errorf("checked all the same: %d %+v", status, s)
	}
}

// FuzzScript: a script that is found lies inside the root, ends as it must, and name and info make up the path.
func FuzzScript(f *testing.F) {
	for _, s := range []string{"/x.php", "/a/x.php/info", "/..%2fx.php", "/x.PHP", "/x.php%00", "/%c8%ba.php/y", "/a.php./b.php:c", "/./"} {
		f.Add(s)
	}
	files := Files{Root: "/srv/www", Split: ".php", Index: "index.php", Check: CheckOff}
	f.Fuzz(func(t *testing.T, raw string) {
		decoded := decode(raw)
		s, status := files.resolve([]byte(raw), decoded)
		if status != 0 {
			if status != 400 && status != 404 {
				t.Errorf("status %d", status)
			}
			return
		}
		if !strings.HasPrefix(s.file, "/srv/www/") || path.Clean(s.file) != s.file || !strings.HasSuffix(s.file, ".php") {
			t.Errorf("%q: file %q", raw, s.file)
		}
		if strings.ContainsAny(s.file+s.info, "\x00\r\n\\") || s.file != "/srv/www"+s.name {
			t.Errorf("%q: %+v", raw, s)
		}
		if whole := s.name + s.info; whole != string(decoded) && whole != string(decoded)+"index.php" {
			t.Errorf("%q: name and info are %q", raw, whole)
		}
		if s.translated != "" && !strings.HasPrefix(path.Clean(s.translated)+"/", "/srv/www/") {
			t.Errorf("%q: PATH_TRANSLATED %q", raw, s.translated)
		}
		// No earlier segment is a script, in any reading.
		for segment := range strings.SplitSeq(strings.TrimPrefix(path.Dir(s.name), "/"), "/") {
			if strings.HasSuffix(strings.TrimRight(strings.ToLower(segment), " ."), ".php") {
				t.Errorf("%q: %q is in front of the script", raw, segment)
			}
		}
	})
}

// FuzzParams: what is encoded is what a responder decodes, wherever the stream is cut; a client sets nothing but
// HTTP_ parameters and the body's type.
func FuzzParams(f *testing.F) {
	f.Add("X-A", "b", "X-A", "c", "/p", uint64(1))
	f.Add("Content-Length", "5", "SCRIPT_NAME", "/evil", "/x%20y?z", uint64(2))
	f.Add("Proxy", "evil", "Cookie", strings.Repeat("c", 200), "", uint64(3))
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, target string, seed uint64) {
		x := &exchange.Exchange{Peer: &exchange.Peer{RemoteAddr: "192.0.2.1", RemotePort: "1", ServerName: "192.0.2.2", ServerPort: "80"}}
		x.Request = exchange.Request{
			Method: []byte("GET"), Target: []byte(target), Minor: 1,
			Fields: []exchange.Field{{Name: []byte(name1), Value: []byte(value1)}, {Name: []byte(name2), Value: []byte(value2)}},
		}
		p := parameters{software: "test", own: map[string]string{"OWN": "1", "HTTP_OWN": ""}}
		var w paramWriter
		p.write(&w, x, &script{name: target, info: value2}, -1)
		if w.err != nil {
			t.Fatal(w.err)
		}
		b := w.out
		var pairs fcgi.Pairs
		pairs.Limit = len(b)
		random := rand.New(rand.NewPCG(seed, 0))
		for rest := b; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			if err := pairs.Feed(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		got := map[string]string{}
		for {
			name, value, ok, err := pairs.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if _, twice := got[string(name)]; twice {
				t.Errorf("%q is there twice", name)
			}
			got[string(name)] = string(value)
		}
		ours := map[string]bool{
			"GATEWAY_INTERFACE": true, "SERVER_SOFTWARE": true, "SERVER_PROTOCOL": true, "SERVER_NAME": true, "SERVER_PORT": true, "SERVER_ADDR": true,
			"REMOTE_ADDR": true, "REMOTE_PORT": true, "REQUEST_SCHEME": true, "REQUEST_METHOD": true, "REQUEST_URI": true, "QUERY_STRING": true,
			"SCRIPT_NAME": true, "DOCUMENT_URI": true, "PATH_INFO": true, "REDIRECT_STATUS": true, "CONTENT_TYPE": true, "OWN": true,
		}
		for name := range got {
			if !ours[name] && !strings.HasPrefix(name, "HTTP_") {
				t.Errorf("a client set %q", name)
			}
		}
		if got["SCRIPT_NAME"] != target || got["PATH_INFO"] != value2 || got["OWN"] != "1" || got["GATEWAY_INTERFACE"] != "CGI/1.1" {
			t.Errorf("got %q", got)
		}
		for _, never := range []string{"HTTP_PROXY", "HTTP_OWN", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"} {
			if v, ok := got[never]; ok {
				t.Errorf("%s is %q", never, v)
			}
		}
	})
}
