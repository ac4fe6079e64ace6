package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindPython(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"venv/bin/python", "project/.venv/bin/python", "here/.venv/bin/python", "bin/python3", "bin/pypy", "other/python3"} {
		writeFile(t, dir, name, "")
	}
	writeFile(t, dir, "broken/.venv/pyvenv.cfg", "")
	writeFile(t, dir, "plain/python3", "")
	if err := os.Chmod(filepath.Join(dir, "plain/python3"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "empty/x", "")
	// A virtual environment's interpreter is a link, and must stay one.
	if err := os.MkdirAll(filepath.Join(dir, "linked/.venv/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "bin/python3"), filepath.Join(dir, "linked/.venv/bin/python")); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	f := func(name, python string, env []string, dirs []string, want, wantErr string) {
		t.Helper()
		got, err := FindPython(python, env, dirs...)
		if wantErr != "" {
			if err == nil || err.Error() != wantErr {
				t.Errorf("%s: got %q, error %v, want %s", name, got, err, wantErr)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, error %v, want %q", name, got, err, want)
		}
	}
	path := "PATH=relative:" + in("plain") + ":" + in("bin") + ":" + in("other")
	both := []string{in("project"), in("here")}
	f("VIRTUAL_ENV first", "auto", []string{path, "VIRTUAL_ENV=" + in("venv")}, both, in("venv/bin/python"), "")
	f(".venv beside the file", "auto", []string{path}, both, in("project/.venv/bin/python"), "")
	f(".venv here", "auto", []string{path, "VIRTUAL_ENV="}, []string{in("empty"), in("here")}, in("here/.venv/bin/python"), "")
	f("a link", "auto", nil, []string{in("linked")}, in("linked/.venv/bin/python"), "")
	f("PATH, first that can run", "auto", []string{path}, []string{in("empty")}, in("bin/python3"), "")
	f("name", "pypy", []string{path}, both, in("bin/pypy"), "")
	f("path", in("other/python3"), []string{path}, both, in("other/python3"), "")

	f("nothing", "auto", nil, []string{in("empty"), in("plain")}, "",
		"cannot find a Python interpreter: VIRTUAL_ENV is not set, there is no .venv in "+in("empty")+" or "+in("plain")+
			", and no program python3 is in a folder of PATH; set app.python")
	f("broken VIRTUAL_ENV", "auto", []string{path, "VIRTUAL_ENV=" + in("empty")}, both, "",
		"cannot use the virtual environment of VIRTUAL_ENV: "+in("empty/bin/python")+": no such file or directory; activate another one, or set app.python")
	f("broken .venv", "auto", []string{path}, []string{in("broken")}, "",
		"cannot use the virtual environment "+in("broken/.venv")+": "+in("broken/.venv/bin/python")+": no such file or directory; make it anew, or set app.python")
	f("name that is not there", "python9", []string{path}, both, "", "no program python9 is in a folder of PATH")
	f("folder", in("venv"), nil, both, "", "cannot use "+in("venv")+" as app.python: it is a folder; the interpreter of a virtual environment is its bin/python")
	f("cannot run", in("plain/python3"), nil, both, "", "cannot use "+in("plain/python3")+" as app.python: it is not executable")
}

func TestPythonDirs(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "etc/a.toml", "")
	writeFile(t, dir, "src/x", "")
	f := func(args []string, want ...string) {
		t.Helper()
		c, s := mustLoad(t, args, nil, dir)
		got := s.PythonDirs(c)
		for i := range want {
			want[i] = filepath.Join(dir, want[i])
		}
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	f(nil, ".")
	f([]string{"-c", "etc/a.toml"}, "etc", ".")
	f([]string{"-c", "etc/a.toml", "--app-dir", "src"}, "etc", "src", ".")
}
