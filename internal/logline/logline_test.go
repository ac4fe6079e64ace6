package logline

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} `)

func TestText(t *testing.T) {
	f := func(want, message string, attrs ...any) {
		t.Helper()
		var out bytes.Buffer
		New(&out, "text", "info").Info(message, attrs...)
		got := out.String()
		if !stamp.MatchString(got) {
			t.Errorf("no time in front of %q", got)
		}
		if got := stamp.ReplaceAllString(got, ""); got != "INFO "+want+"\n" {
			t.Errorf("got  %q\nwant %q", got, "INFO "+want+"\n")
		}
	}
	f("ready", "ready")
	f("ready worker=2 pid=17", "ready", "worker", "2", "pid", 17)
	f(`failed cause="no such file"`, "failed", "cause", errors.New("no such file"))
	f(`a b=""`, "a", "b", "")
	f(`a b="c=d"`, "a", "b", "c=d")
	f(`a b="say \"hi\""`, "a", "b", `say "hi"`)
	f(`a b="\n2026-01-01 00:00:00.000 INFO forged"`, "a", "b", "\n2026-01-01 00:00:00.000 INFO forged")
	f(`a b="\x1b[31m"`, "a", "b", "\x1b[31m")
	f(`a b="\xff"`, "a", "b", "\xff")
	f(`a b=é`, "a", "b", "é")
	f(`a took=1.235s`, "a", "took", 1234567*time.Microsecond)
	f("one\\ntwo\\r\\x00\\x1b[0m\\u2028\tthree", "one\ntwo\r\x00\x1b[0m\u2028\tthree")
	f("é 😀", "é 😀")
}

func TestLevels(t *testing.T) {
	f := func(level string, want ...string) {
		t.Helper()
		for _, format := range []string{"text", "json"} {
			var out bytes.Buffer
			l := New(&out, format, level)
			l.Debug("d")
			l.Info("i")
			l.Warn("w")
			l.Error("e")
			if n := strings.Count(out.String(), "\n"); n != len(want) {
				t.Errorf("%s, %s: %d lines, want %d", format, level, n, len(want))
			}
			if format == "json" {
				continue
			}
			for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
				if got := stamp.ReplaceAllString(line, ""); got != want[i] {
					t.Errorf("%s: line %q, want %q", level, got, want[i])
				}
			}
		}
	}
	f("debug", "DEBUG d", "INFO i", "WARNING w", "ERROR e")
	f("info", "INFO i", "WARNING w", "ERROR e")
	f("warning", "WARNING w", "ERROR e")
	f("error", "ERROR e")
}

func TestAttributesOfALogger(t *testing.T) {
	var out bytes.Buffer
	base := New(&out, "text", "info")
	l := base.With("worker", "1").WithGroup("app").With("name", "a shop")
	l.Info("x", "n", 1)
	base.Info("y")
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{`INFO x worker=1 app.name="a shop" app.n=1`, "INFO y"} {
		if got := stamp.ReplaceAllString(lines[i], ""); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	New(&out, "json", "info").Warn("one\ntwo\x1b", "worker", "2", "cause", errors.New(`say "no"`))
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %q", n, out.String())
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"level": "WARN", "msg": "one\ntwo\x1b", "worker": "2", "cause": `say "no"`} {
		if got[key] != want {
			t.Errorf("%s is %#v, want %#v", key, got[key], want)
		}
	}
}

// writes counts calls: a line that takes two could be torn by another process on the same terminal.
type writes struct {
	mu    sync.Mutex
	lines [][]byte
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, bytes.Clone(p))
	return len(p), nil
}

func TestOneWritePerLine(t *testing.T) {
	out := &writes{}
	l := New(out, "text", "info")
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 100 {
				l.Info(strings.Repeat("x", 1000), "a", "b c")
			}
		})
	}
	running.Wait()
	if len(out.lines) != 800 {
		t.Errorf("%d writes for 800 lines", len(out.lines))
	}
	for _, line := range out.lines {
		if bytes.Count(line, []byte("\n")) != 1 || !bytes.HasSuffix(line, []byte("x a=\"b c\"\n")) {
			t.Fatalf("not one line: %q", line)
		}
	}
}
