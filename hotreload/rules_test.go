package hotreload

import (
	"strings"
	"testing"
)

func TestKinds(t *testing.T) {
	plain := &rules{}
	chosen := &rules{
		include: parsePatterns([]string{"*.ini", "config/**", ".settings/*.env"}, "/root"),
		exclude: parsePatterns([]string{"tests/", "*_pb2.py", "/local.ini"}, "/root"),
	}
	for _, c := range []struct {
		rules *rules
		path  string
		want  Kind
	}{
		{plain, "app.py", Workers},
		{plain, "shop/deep/views.py", Workers},
		{plain, "shop/fast.cpython-311-x86_64-linux-gnu.so", Workers},
		{plain, "locale/de/LC_MESSAGES/django.mo", Workers},
		{plain, "app.pyi", Nothing},
		{plain, "app.pyx", Nothing},
		{plain, "app.pyc", Nothing},
		{plain, "templates/front.html", Browser},
		{plain, "templates/mail.txt", Browser},
		{plain, "notes.txt", Nothing},
		{plain, "shop/page.JINJA2", Browser},
		{plain, "static/site.css", Browser},
		{plain, "static/data.bin", Browser},
		{plain, "logo.svg", Browser},
		{plain, "README.md", Nothing},
		{plain, "db.sqlite3", Nothing},
		{plain, "static/db.sqlite3-journal", Nothing},
		{plain, ".env", Nothing},
		{plain, ".app.py", Nothing},
		// What editors leave behind while they save.
		{plain, "4913", Nothing},
		{plain, "app.py~", Nothing},
		{plain, ".app.py.swp", Nothing},
		{plain, ".app.py.swx", Nothing},
		{plain, ".#app.py", Nothing},
		{plain, "#app.py#", Nothing},
		{plain, ".goutputstream-X1Y2Z3", Nothing},
		{plain, "app.py___jb_tmp___", Nothing},
		{plain, "templates/front.html___jb_old___", Nothing},
		{plain, "templates/front.html~", Nothing},

		{chosen, "app.ini", Workers},
		{chosen, "deep/app.ini", Workers},
		{chosen, "config/deep/any", Workers},
		{chosen, "config/app.ini~", Nothing},
		{chosen, "config/.app.ini.swp", Nothing},
		{chosen, "local.ini", Nothing},
		{chosen, "deep/local.ini", Workers},
		{chosen, "shop/wire_pb2.py", Nothing},
		{chosen, "tests/test_app.py", Nothing},
		{chosen, "shop/tests/test_app.py", Nothing},
		{chosen, ".settings/a.env", Workers},
		{chosen, ".settings/a.txt", Nothing},
	} {
		names := strings.Split(c.path, "/")
		if got := c.rules.kind(names, names, nil); got != c.want {
			t.Errorf("%s is for %v, expected %v", c.path, got, c.want)
		}
	}
	for _, c := range []struct {
		rules *rules
		path  string
		want  bool
	}{
		{plain, "shop", true},
		{plain, "shop/deep", true},
		{plain, ".git", false},
		{plain, "shop/__pycache__", false},
		{plain, "node_modules", false},
		{plain, ".venv", false},
		{plain, ".mypy_cache", false},
		{plain, "shop.egg-info", false},
		{plain, "lib/site-packages", false},
		{chosen, "tests", false},
		{chosen, "shop/tests", false},
		{chosen, ".settings", true},
		{&rules{include: parsePatterns([]string{"**", ".git/*"}, "/root")}, ".git", false},
		{&rules{include: parsePatterns([]string{"*"}, "/root")}, ".cache", false},
	} {
		names := strings.Split(c.path, "/")
		if got := c.rules.enters(names, names, nil); got != c.want {
			t.Errorf("%s is watched: %v", c.path, got)
		}
	}
}

func TestKindsBesideGitignore(t *testing.T) {
	r := &rules{gitignore: true, include: parsePatterns([]string{"local.ini", "data/kept/*"}, "/repo/app")}
	// The watched folder is app in the repository.
	ignore := (*ignoreFile)(nil).with([]byte("*_gen.py\n/app/out/\nlocal.ini\ndata/\n"), 0).with([]byte("!good_gen.py\n"), 1)
	for path, want := range map[string]Kind{
		"a.py": Workers, "a_gen.py": Nothing, "good_gen.py": Workers, "local.ini": Workers, "data/kept/x": Workers,
	} {
		names := strings.Split(path, "/")
		if got := r.kind(names, append([]string{"app"}, names...), ignore); got != want {
			t.Errorf("%s is for %v, expected %v", path, got, want)
		}
	}
	for path, want := range map[string]bool{"out": false, "in": true, "data": true, "data/kept": true, "data/other": false} {
		names := strings.Split(path, "/")
		if path == "data/other" {
			continue // its parent is ignored, but watched for the sake of kept
		}
		if got := r.enters(names, append([]string{"app"}, names...), ignore); got != want {
			t.Errorf("%s is watched: %v", path, got)
		}
	}
}
