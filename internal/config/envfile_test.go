package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestEnvFile(t *testing.T) {
	f := func(name, content string, want ...string) {
		t.Helper()
		got, err := parseEnv(content, "x.env")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, error %v, want %q", name, got, err, want)
		}
	}
	f("nothing", "")
	f("comments and blank lines", "# one\n\n  # two\n\t\n")
	f("plain", "A=1\nB_2=two words \n", "A=1", "B_2=two words")
	f("no newline at the end", "A=1", "A=1")
	f("windows", "\ufeffA=1\r\nB=\"x\"\r\n", "A=1", "B=x")
	f("blanks around", "  A =  1 \t\n", "A=1")
	f("export", "export A=1\nexport\tB=2\nexportC=3\nexport=4\n", "A=1", "B=2", "exportC=3", "export=4")
	f("empty", "A=\nB=''\nC=\"\"\nD= # none\n", "A=", "B=", "C=", "D=")
	f("comment after a value", "A=1 # one\nB=a#b\nC=#d\nD=x\t#y\n", "A=1", "B=a#b", "C=", "D=x")
	f("comment after a quote", "A='x' # one\nB=\"y\"#two\n", "A=x", "B=y")
	f("single quotes", `A='a\n"b" $c #d'`, `A=a\n"b" $c #d`)
	f("double quotes", `A="a\n\t\r\"\\\$HOME \x #d"`, "A=a\n\t\r\"\\$HOME \\x #d")
	f("no expansion", "A=$HOME\nB=\"${HOME}\"\n", "A=$HOME", "B=${HOME}")
	f("several lines", "A=\"one\ntwo\"\nB='x\n# no comment\n'\nC=3", "A=one\ntwo", "B=x\n# no comment\n", "C=3")
	f("quotes inside", `A=it's "so"`, `A=it's "so"`)
	f("equals signs", "URL=postgres://u:p@h/db?a=b&c==\n", "URL=postgres://u:p@h/db?a=b&c==")
	f("repeated", "A=1\nA=2\n", "A=1", "A=2")
	f("not ASCII", "A=übel 漢\n", "A=übel 漢")
}

func TestEnvFileFails(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		got, err := parseEnv(content, "x.env")
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %q, error %v, want %s", content, got, err, want)
		}
	}
	f("A=1\nB\n", `x.env:2: expected NAME=VALUE, got "B"`)
	f("export A", `x.env:1: expected NAME=VALUE, got "export A"`)
	f("A=\"1\n2\"\n\n1B=2", `x.env:4: expected the name of a variable (letters, digits, _) before =, got "1B"`)
	f("=1", `x.env:1: expected the name of a variable (letters, digits, _) before =, got ""`)
	f("A B=1", `x.env:1: expected the name of a variable (letters, digits, _) before =, got "A B"`)
	f("A=1\nB=\"2\nC=3\n", `x.env:2: the quote " is never closed`)
	f("A='", `x.env:1: the quote ' is never closed`)
	f("A='1' 2", `x.env:1: expected the end of the line after the closing quote, got "2"`)
	f("A=1\nB=\x00", `x.env:2: a zero byte cannot be in an environment`)
}

func TestReadEnvFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, ".env", "A=1\n")
	got, err := ReadEnvFile(filepath.Join(dir, ".env"))
	if err != nil || !reflect.DeepEqual(got, []string{"A=1"}) {
		t.Errorf("got %q, error %v", got, err)
	}
	if _, err := ReadEnvFile(filepath.Join(dir, "none")); err == nil || !strings.HasSuffix(err.Error(), "none: no such file or directory") {
		t.Errorf("error %v", err)
	}
}

func TestMergeEnv(t *testing.T) {
	env := []string{"A=1", "B="}
	got := MergeEnv(env, []string{"A=2", "C=3", "B=4", "C=5", "D=6"})
	if want := []string{"A=1", "B=", "C=5", "D=6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !reflect.DeepEqual(env, []string{"A=1", "B="}) {
		t.Errorf("the environment was changed: %q", env)
	}
}
