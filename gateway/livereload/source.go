package livereload

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what is shown of a file.
const (
	before      = 5 // lines
	after       = 4
	longestFile = 4 << 20
	longestLine = 1000 // bytes
)

// sourceLine is a line of a file.
type sourceLine struct {
	number int
	text   string
}

// sources reads lines of the files that a traceback names, each file once.
type sources struct {
	directory string // in which relative names begin
	files     map[string][]string
}

// around returns the lines around the nth one of a file; none where there is no such file, or no such line.
func (s *sources) around(file string, n int) []sourceLine {
	lines := s.lines(file)
	if n < 1 || n > len(lines) {
		return nil
	}
	from, to := max(n-before, 1), min(n+after, len(lines))
	var list []sourceLine
	for i := from; i <= to; i++ {
		list = append(list, sourceLine{i, lines[i-1]})
	}
	return list
}

// path is where a file is that a traceback names; "" where it can be no file.
func (s *sources) path(file string) string {
	if file == "" || strings.HasPrefix(file, "<") {
		return ""
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.directory, file)
	}
	return filepath.Clean(file)
}

func (s *sources) lines(file string) []string {
	path := s.path(file)
	if path == "" {
		return nil
	}
	lines, known := s.files[path]
	if !known {
		var err error
		if lines, err = readLines(path); err != nil {
			lines = nil // the traceback has the line itself
		}
		if s.files == nil {
			s.files = map[string][]string{}
		}
		s.files[path] = lines
	}
	return lines
}

// readLines reads a text file. Only a regular one: a traceback may name anything, and a pipe would make
// the page wait.
func readLines(path string) ([]string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > longestFile {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	var lines []string
	for r := bufio.NewReader(io.LimitReader(f, longestFile)); ; {
		line, err := r.ReadString('\n')
		if line != "" {
			line = strings.TrimRight(line, "\r\n")
			if len(lines) == 0 {
				line = strings.TrimPrefix(line, "\ufeff")
			}
			if len(line) > longestLine {
				line = line[:longestLine]
			}
			lines = append(lines, strings.ToValidUTF8(line, "\ufffd"))
		}
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// mark is where in the failing line, as the file has it, Python marked something: in bytes, and behind its end
// where something is missing there. ok is false where it marked nothing; same is whether the file still has the line that failed.
func (f *frame) mark(line string) (from, to int, ok, same bool) {
	trimmed := strings.TrimLeft(line, " \t\f")
	same = len(f.text) == 0 || strings.TrimRight(trimmed, " \t\f") == strings.TrimRight(f.text[0], " \t\f")
	from, to, ok = f.marked()
	if !ok || !same {
		return 0, 0, false, same
	}
	indent := len(line) - len(trimmed)
	return indent + byteAt(trimmed, from), indent + byteAt(trimmed, to), true, true
}

// byteAt is the index of the nth character of s, or its length.
func byteAt(s string, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// own is whether a file is the application's, and not one that it or Python brought along.
func (s *sources) own(file string, folders []string) bool {
	path := s.path(file)
	if path == "" {
		return false
	}
	parts := strings.Split(filepath.ToSlash(path), "/")
	if slices.Contains(parts, "site-packages") || slices.Contains(parts, "dist-packages") {
		return false
	}
	return slices.ContainsFunc(folders, func(folder string) bool { return below(path, folder) && !inEnvironment(path, folder) })
}

// below is whether a path lies in a folder.
func below(path, folder string) bool {
	rest, err := filepath.Rel(folder, path)
	return err == nil && rest != ".." && !strings.HasPrefix(rest, ".."+string(filepath.Separator))
}

// inEnvironment is whether a path lies in a virtual environment that is within a folder.
func inEnvironment(path, folder string) bool {
	for dir := filepath.Dir(path); dir != folder && below(dir, folder); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "pyvenv.cfg")); err == nil {
			return true
		}
	}
	return false
}
