package supervisor

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := printable([]byte(in)); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("plain text, ~!", "plain text, ~!")
	f("a\ttab", "a\ttab")
	f("größe 日本 🎉", "größe 日本 🎉")
	f("\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`)
	f("a\rb\nc\x00d\x7f", `a\x0db\x0ac\x00d\x7f`)
	f("\u009b31m", `\u009b31m`)                            // CSI as one C1 character
	f("\xff\xc3(", `\xff\xc3(`)                            // not UTF-8
	f("user\u202etxt.exe", `user\u202etxt.exe`)            // right-to-left override
	f("a\u2028b\u2029c\ufffd", `a\u2028b\u2029c`+"\ufffd") // line and paragraph separators
}

func FuzzPrintable(f *testing.F) {
	f.Add([]byte("\x1b[2J\xff\u202e\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := printable(in)
		if strings.ContainsAny(out, "\x1b\r\n\x00\u009b\u202e\u2028") {
			t.Errorf("printable(%q) = %q", in, out)
		}
		if again := printable([]byte(out)); again != out {
			t.Errorf("printable(%q) = %q", out, again)
		}
	})
}

func TestOutputLines(t *testing.T) {
	f := func(name string, writes []string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			leaks(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			log := newRecorder()
			o := newOutput(slog.New(log))
			o.add("stdout", r)
			for _, s := range writes {
				if _, err := w.WriteString(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			o.finish()
			var lines []string
			for _, s := range want {
				lines = append(lines, "INFO "+s+" stream=stdout")
			}
			if got := log.text(); got != strings.Join(lines, "\n") {
				t.Errorf("logged %q\nwant   %q", got, lines)
			}
		})
	}
	long := strings.Repeat("x", lineMost)
	f("nothing", nil)
	f("one line in parts", []string{"he", "llo", "\n"}, "hello")
	f("no end", []string{"a\nb"}, "a", "b")
	f("empty lines, CRLF", []string{"a\r\n\n\nb\n"}, "a", "", "", "b")
	f("as long as may be", []string{long[1:] + "\n"}, long[1:])
	f("too long", []string{long + "yz\n"}, long, "yz")
	f("cut in a character", []string{long[1:] + "€\n"}, long[1:], "€")
}

func TestWholeRunes(t *testing.T) {
	f := func(in string, want int) {
		t.Helper()
		if got := wholeRunes([]byte(in)); got != want {
			t.Errorf("wholeRunes(%q) = %d, want %d", in, got, want)
		}
	}
	f("", 0)
	f("abc", 3)
	f("ab\xe2", 2)
	f("ab\xe2\x82", 2)
	f("ab€", 5)
	f("ab\x82\x82\x82\x82\x82", 7) // never were characters
	f("\xf0\x9f\x8e", 3)           // nothing else would ever be sent
}

// FuzzOutput: all that was written arrives, whatever the cuts, as long as the log keeps up.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("a\nb\n"), uint16(3))
	f.Add(bytes.Repeat([]byte("€"), 9000), uint16(7000))
	f.Add([]byte("\r\xe7"), uint16(25))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		log := newRecorder()
		o := newOutput(slog.New(log))
		o.add("stdout", r)
		at := min(int(cut), len(in))
		for _, part := range [][]byte{in[:at], in[at:]} {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		o.finish()
		var got, want strings.Builder
		for _, line := range log.lines {
			got.WriteString(strings.TrimSuffix(strings.TrimPrefix(line, "INFO "), " stream=stdout"))
		}
		for line := range bytes.Lines(in) {
			want.WriteString(printable(bytes.TrimRight(line, "\r\n")))
		}
		if len(in) < lineMost && got.String() != want.String() {
			t.Errorf("logged %q, want %q", got.String(), want.String())
		}
	})
}
