package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// go test ./internal/config -run Golden -update writes the .golden files anew.
var update = flag.Bool("update", false, "write the golden files")

// TestGolden loads every testdata/*.toml with -c. The .golden file beside it has
// the part of the effective configuration that is no default, or the error.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no input files: %v", err)
	}
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".toml"), func(t *testing.T) {
			var got string
			c, s, err := Load([]string{"config", "-c", name}, nil, here)
			if err != nil {
				got = "error: " + err.Error() + "\n"
			} else {
				got = notDefault(t, c, s)
			}
			got = strings.ReplaceAll(got, here, "$DIR")
			golden := strings.TrimSuffix(file, ".toml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.HasPrefix(got, "error:") && strings.Count(got, "\n") != 1 {
				t.Errorf("the error has more than one line")
			}
		})
	}
}

func notDefault(t *testing.T, c *Config, s *Sources) string {
	t.Helper()
	var b, kept strings.Builder
	if err := Print(&b, c, s); err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(b.String()) {
		switch {
		case strings.HasPrefix(line, "["):
			section = line
		case strings.Contains(line, " = ") && !strings.Contains(line, "# default"):
			kept.WriteString(section)
			section = ""
			value, origin, _ := strings.Cut(line, "  # ") // the columns depend on the length of $DIR
			kept.WriteString(strings.TrimRight(value, " ") + "  # " + origin)
		}
	}
	return kept.String()
}
