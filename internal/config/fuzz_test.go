package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// checkError fails for an error that is not one line of printable text.
func checkError(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not one printable line: %q", err)
	}
}

// FuzzFile: any bytes are a configuration, which what config prints gives again,
// or an error of one line.
func FuzzFile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		load := func(data []byte) (*Config, *Sources, error) {
			writeFile(t, dir, "fuzz.toml", string(data))
			return Load([]string{"config", "-c", "fuzz.toml"}, nil, dir)
		}
		c, s, err := load(data)
		if err != nil {
			checkError(t, err)
			return
		}
		text := printed(t, c, s)
		again, _, err := load([]byte(text))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%+v became %+v, error %v, from\n%s", c, again, err, text)
		}
	})
}

// FuzzArguments: any arguments, apart at line ends, are a configuration or an error of one line.
func FuzzArguments(f *testing.F) {
	f.Add("main:app\n-w\n4")
	f.Add("--set\nworkers.queue=3")
	f.Add("-b\n[::1]:80\n--\nx")
	f.Add("-b\n:\x00")
	f.Add("--ssl-\x01")
	f.Add("C\x7f")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line string) {
		if _, _, err := Load(strings.Split(line, "\n"), nil, dir); err != nil {
			checkError(t, err)
		}
	})
}

// FuzzEnvFile: any bytes are entries NAME=VALUE or an error of one line.
func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\nexport B='x'\nC=\"\\n\n\" # end\n")
	f.Fuzz(func(t *testing.T, content string) {
		entries, err := parseEnv(content, "x.env")
		if err != nil {
			checkError(t, err)
		}
		for _, entry := range entries {
			name, value, ok := strings.Cut(entry, "=")
			if !ok || !isVariableName(name) || strings.ContainsRune(value, 0) {
				t.Errorf("bad entry %q", entry)
			}
		}
	})
}
