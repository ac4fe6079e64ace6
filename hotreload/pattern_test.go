package hotreload

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMatchName(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"a.py", "a.py", true},
		{"a.py", "b.py", false},
		{"*.py", "a.py", true},
		{"*.py", ".py", true},
		{"*.py", "a.pyc", false},
		{"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false},
		{"*", "", true},
		{"**", "any", true},
		{"?", "", false},
		{"?.py", "a.py", true},
		{"[a-c]?", "b1", true},
		{"[!a-c]", "b", false},
		{"[^a-c]", "d", true},
		{"[]x]", "]", true},
		{"[a-]", "-", true},
		{"[[:digit:]x]*", "7up", true},
		{"[[:digit:]x]*", "up", false},
		{"[a", "[a", false},
		{`\*`, "*", true},
		{`\*`, "x", false},
		{`a\`, `a\`, false},
		{`[\]]`, "]", true},
		{"*[0-9]*", "ab1cd", true},
	} {
		if got := matchName(c.glob, c.name); got != c.want {
			t.Errorf("matchName(%q, %q) = %v", c.glob, c.name, got)
		}
	}
}

func TestIncludeAndExclude(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"*.ini", "a.ini", true},
		{"*.ini", "config/deep/a.ini", true},
		{"config/**", "config/a", true},
		{"config/**", "config/deep/a", true},
		{"config/**", "other/config/a", false},
		{"**/config/**", "other/config/a", true},
		{"config/*", "config/a", true},
		{"config/*", "config/deep/a", true}, // it names the folder deep
		{"config/*.ini", "config/deep/a.ini", false},
		{"config", "config/deep/a", true},
		{"config/", "x/config/a", true},
		{"config/", "config", false}, // a file of that name
		{"/config", "x/config", false},
		{"./config/a", "config/a", true},
		{"/root/config/a", "config/a", true},
		{"a?c", "abc", true},
	} {
		if got := parsePatterns([]string{c.pattern}, "/root").covers(strings.Split(c.path, "/"), false); got != c.want {
			t.Errorf("%q covers %q: %v", c.pattern, c.path, got)
		}
	}
	for _, c := range []struct {
		pattern, folder string
		want            bool
	}{
		{".config/app.ini", ".config", true},
		{".config/app.ini", "other", false},
		{".config/**", ".config/deep/er", true},
		{"/.config", ".config", true},
		{"/.config", ".config/deep", true},
		{"*.ini", ".config", false},
		{"**/app.ini", ".config", false},
		{"a/**/b.ini", "a/x/y", true},
	} {
		if got := parsePatterns([]string{c.pattern}, "/root").leadTo(strings.Split(c.folder, "/")); got != c.want {
			t.Errorf("%q leads to %q: %v", c.pattern, c.folder, got)
		}
	}
}

// ignored walks down to the path as a Watcher does: what is in an ignored folder is not asked for.
func ignored(top, path string) bool {
	names := strings.Split(path, "/")
	var f *ignoreFile
	dir := top
	for i := range names {
		f = f.read(filepath.Join(dir, ".gitignore"), i)
		dir = filepath.Join(dir, names[i])
		info, err := os.Lstat(dir)
		if f.ignores(names[:i+1], err == nil && info.IsDir()) {
			return true
		}
	}
	return false
}

func git(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command("git", arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@example.com", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", arguments, err, out)
	}
	return string(out)
}

// asGit compares with what Git itself says of every path.
func asGit(t *testing.T, top string, paths []string) {
	t.Helper()
	cmd := exec.Command("git", "check-ignore", "--no-index", "-z", "--stdin")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, _ := cmd.Output() // exit status 1: none is ignored
	want := map[string]bool{}
	for path := range strings.SplitSeq(string(out), "\x00") {
		want[path] = true
	}
	for _, path := range paths {
		if got := ignored(top, path); got != want[path] {
			t.Errorf("%s: ignored %v, Git says %v", path, got, want[path])
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGitignore(t *testing.T) {
	needGit(t)
	for name, c := range map[string]struct {
		files string // of .gitignore: PATH then lines, then an empty line
		paths string
	}{
		"names":          {".gitignore\n*.pyc\nbuild\n", "a.pyc b/a.pyc a.py build build.py x/build"},
		"folders only":   {".gitignore\nbuild/\n", "build/a x/build/a y/build"},
		"anchored":       {".gitignore\n/build\ndocs/out\n", "build/a x/build docs/out x/docs/out"},
		"negation":       {".gitignore\n*.log\n!keep.log\n", "a.log keep.log x/keep.log"},
		"negation order": {".gitignore\n!keep.log\n*.log\n", "a.log keep.log"},
		"inside ignored": {".gitignore\nout/\n!out/keep\n", "out/keep out/a"},
		"content only":   {".gitignore\nout/*\n!out/keep\n", "out/keep out/a out/deep/b"},
		"two stars":      {".gitignore\n**/gen/**\na/**/z\n", "gen/a x/gen/b a/z a/b/z a/b/c/z b/z"},
		"all but":        {".gitignore\n/*\n!/src\n", "src/a b/c d"},
		"nested":         {".gitignore\n*.txt\n\nsub/.gitignore\n!*.txt\n/only\n", "a.txt sub/a.txt sub/only sub/x/only only"},
		"comments":       {".gitignore\n# a\n\\#b\n\\!c\n", "a #b !c"},
		"blanks":         {".gitignore\na  \nb\\ \nc d\n", "a 'a  ' b 'b ' 'c d'"},
		"line ends":      {".gitignore\na\r\nb\r\n", "a b"},
		"sets":           {".gitignore\n[ab]*.py\n[!x].c\n*.[oa]\n", "a1.py c1.py y.c x.c l.o l.a l.d"},
		"byte order":     {".gitignore\n\ufeffa\nb\n", "a b"},
		"slash alone":    {".gitignore\n/\n**\n", "a b/c"},
		"escapes":        {".gitignore\na\\*b\nx\\?\n", "a*b aXb x? xy"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			git(t, top, "init", "-q")
			for part := range strings.SplitSeq(c.files, "\n\n") {
				path, lines, _ := strings.Cut(part, "\n")
				write(t, filepath.Join(top, path), lines+"\n")
			}
			var paths []string
			for _, path := range fields(c.paths) {
				if _, err := os.Lstat(filepath.Join(top, path)); err != nil {
					write(t, filepath.Join(top, path), "")
				}
				paths = append(paths, path)
			}
			asGit(t, top, paths)
		})
	}
}

// fields splits at blanks, except inside of quotes.
func fields(s string) []string {
	var list []string
	for i, part := range strings.Split(s, "'") {
		if quoted := i%2 == 1; quoted {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

// TestGitignoreAtRandom makes up files and lines, and asks Git about each.
func TestGitignoreAtRandom(t *testing.T) {
	needGit(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	name := func() string { return pick("a", "b", "ab", "abc", "a.py", "b.log", "x") }
	part := func() string {
		return pick("a", "b", "*", "a*", "*b", "?", "[ab]", "[!a]*", "**", "*.py", "ab", "x", "*a*c")
	}
	top := t.TempDir()
	git(t, top, "init", "-q")
	var paths []string
	for range 60 {
		path := name()
		for range random.IntN(4) {
			path += "/" + name()
		}
		if os.MkdirAll(filepath.Join(top, filepath.Dir(path)), 0o755) == nil {
			if f, err := os.OpenFile(filepath.Join(top, path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err == nil {
				f.Close()
				paths = append(paths, path)
			}
		}
	}
	for range 60 {
		for _, where := range []string{".gitignore", "a/.gitignore", "ab/x/.gitignore"} {
			file := filepath.Join(top, where)
			if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
				continue
			}
			var lines []string
			for range random.IntN(5) {
				line := pick("", "", "!") + pick("", "", "/") + part()
				for range random.IntN(3) {
					line += "/" + part()
				}
				lines = append(lines, line+pick("", "", "/"))
			}
			write(t, file, strings.Join(lines, "\n")+"\n")
		}
		asGit(t, top, paths)
		if t.Failed() {
			var all []string
			for _, where := range []string{".gitignore", "a/.gitignore", "ab/x/.gitignore"} {
				content, _ := os.ReadFile(filepath.Join(top, where))
				all = append(all, fmt.Sprintf("%s:\n%s", where, content))
			}
			t.Fatalf("seed %d:\n%s", seed, strings.Join(all, "\n"))
		}
	}
}

func needGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
}
