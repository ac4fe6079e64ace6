package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// envFileSizeMax bounds what is read as an environment file, in bytes.
const envFileSizeMax = 1 << 20

// ReadEnvFile reads the file of app.env_file. It returns entries as os.Environ
// does, in the file's order; a later one for the same name replaces an earlier.
func ReadEnvFile(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > envFileSizeMax {
		return nil, fmt.Errorf("cannot read %s: it has more than %s", path, formatSize(envFileSizeMax))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the environment file %s: %w", path, cause(err))
	}
	entries, err := parseEnv(string(data), path)
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// MergeEnv adds the entries of a file to those of an environment. A variable
// that env has already is kept as it is there.
func MergeEnv(env, file []string) []string {
	merged := slices.Clone(env)
	own := map[string]bool{}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		own[name] = true
	}
	at := map[string]int{}
	for _, entry := range file {
		name, _, _ := strings.Cut(entry, "=")
		if own[name] {
			continue
		}
		if i, ok := at[name]; ok {
			merged[i] = entry
			continue
		}
		at[name] = len(merged)
		merged = append(merged, entry)
	}
	return merged
}

// parseEnv reads KEY=VALUE lines:
//
//	# comment
//	NAME=value         # comment, after a blank
//	export NAME=value
//	NAME='no \escapes, and $nothing else either'
//	NAME="escapes: \n \r \t \" \\ \$"
//
// Quoted values may go over several lines. $NAME is left as it is.
func parseEnv(content, name string) ([]string, error) {
	r := envReader{name: name, line: 1, rest: strings.ReplaceAll(strings.TrimPrefix(content, "\ufeff"), "\r\n", "\n")}
	if i := strings.IndexByte(r.rest, 0); i >= 0 {
		r.line += strings.Count(r.rest[:i], "\n")
		return nil, r.errorf("a zero byte cannot be in an environment")
	}
	var entries []string
	for r.rest != "" {
		entry, err := r.entry()
		if err != nil {
			return nil, err
		}
		if entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// envReader stands at the beginning of a line.
type envReader struct {
	name string
	line int
	rest string
}

func (r *envReader) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", r.name, r.line, fmt.Sprintf(format, args...))
}

// entry reads one entry, or "" from a line that has none.
func (r *envReader) entry() (string, error) {
	const blanks = " \t"
	line, after, _ := strings.Cut(r.rest, "\n")
	trimmed := strings.Trim(line, blanks)
	if trimmed == "" || trimmed[0] == '#' {
		r.rest = after
		r.line++
		return "", nil
	}
	name, value, ok := strings.Cut(line, "=")
	name = strings.Trim(name, blanks)
	if word := strings.TrimPrefix(name, "export"); word != name && strings.Trim(word, blanks) != word {
		name = strings.Trim(word, blanks)
	}
	if !ok {
		return "", r.errorf("expected NAME=VALUE, got %s", quote(trimmed))
	}
	if !isVariableName(name) {
		return "", r.errorf("expected the name of a variable (letters, digits, _) before =, got %s", quote(name))
	}
	value = strings.TrimLeft(value, blanks)
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		r.rest = r.rest[len(line)-len(value):]
		value, err := r.quoted()
		return name + "=" + value, err
	}
	if value != "" && value[0] == '#' {
		value = ""
	}
	for i := 1; i < len(value); i++ {
		if value[i] == '#' && strings.IndexByte(blanks, value[i-1]) >= 0 {
			value = value[:i]
			break
		}
	}
	r.rest = after
	r.line++
	return name + "=" + strings.TrimRight(value, blanks), nil
}

// quoted reads a value that begins with a quote, and the end of its last line.
func (r *envReader) quoted() (string, error) {
	var value strings.Builder
	quoteMark := r.rest[0]
	i := 1
	for ; i < len(r.rest) && r.rest[i] != quoteMark; i++ {
		c := r.rest[i]
		if c == '\\' && quoteMark == '"' && i+1 < len(r.rest) {
			if to := strings.IndexByte(`nrt"\$`, r.rest[i+1]); to >= 0 {
				c = "\n\r\t\"\\$"[to]
				i++
			}
		}
		value.WriteByte(c)
	}
	if i == len(r.rest) {
		return "", r.errorf("the quote %c is never closed", quoteMark)
	}
	r.line += strings.Count(r.rest[:i], "\n")
	tail, after, _ := strings.Cut(r.rest[i+1:], "\n")
	if tail = strings.Trim(tail, " \t"); tail != "" && tail[0] != '#' {
		return "", r.errorf("expected the end of the line after the closing quote, got %s", quote(tail))
	}
	r.rest = after
	r.line++
	return value.String(), nil
}

func isVariableName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
