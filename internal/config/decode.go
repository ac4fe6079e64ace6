package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// fileSizeMax bounds what is read as a configuration file, in bytes.
const fileSizeMax = 1 << 20

const (
	ownFile     = "pyspeed.toml"
	projectFile = "pyproject.toml"
)

// readFile reads the settings of the named file; or, when name is "", of
// pyspeed.toml in dir, else of [tool.pyspeed] in pyproject.toml in dir, else
// none. It returns the name of the file that was read.
func readFile(name, dir string) (string, []setting, error) {
	if name != "" {
		data, err := load(name, dir)
		if err != nil {
			return "", nil, err
		}
		settings, found, err := parseFile(data, name, dir)
		if err == nil && !found {
			err = fmt.Errorf("cannot use %s: it has no table [tool.pyspeed]", name)
		}
		return name, settings, err
	}
	for _, name := range []string{ownFile, projectFile} {
		data, err := load(name, dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		if name == projectFile && !bytes.Contains(data, []byte("pyspeed")) {
			continue // it is not for us, so its mistakes are not ours to report
		}
		settings, found, err := parseFile(data, name, dir)
		if err != nil || found {
			return name, settings, err
		}
	}
	return "", nil, nil
}

func load(name, dir string) ([]byte, error) {
	full := absolute(name, dir)
	if info, err := os.Stat(full); err == nil && info.Size() > fileSizeMax {
		return nil, fmt.Errorf("cannot read %s: it has more than %s", name, formatSize(fileSizeMax))
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file %s: %w", name, cause(err))
	}
	return data, nil
}

// parseFile reads data, the content of the named file. In a pyproject.toml only
// [tool.pyspeed] counts (found is false when there is none), elsewhere all.
func parseFile(data []byte, name, dir string) (settings []setting, found bool, err error) {
	f := file{name: name, base: filepath.Dir(absolute(name, dir))}
	root, err := f.decode(data)
	if err != nil {
		return nil, false, err
	}
	if filepath.Base(name) == projectFile {
		for _, table := range []string{"tool", "pyspeed"} {
			p, ok := root[table]
			if !ok {
				return nil, false, nil
			}
			if root, ok = f.table(p); !ok {
				return nil, false, fmt.Errorf("%s (%s:%d): expected a table, got %s", table, name, f.line(p), describe(f.value(p)))
			}
		}
	}
	for i, o := range options() {
		if i == 0 {
			f.options, f.tables = map[string]*option{}, map[string]bool{}
		}
		f.options[o.key] = &o
		for table, _ := cutLast(o.key); table != ""; table, _ = cutLast(table) {
			f.tables[table] = true
		}
	}
	f.walk("", root, 1)
	sort.SliceStable(f.problems, func(i, j int) bool { return f.problems[i].line < f.problems[j].line })
	if len(f.problems) > 0 {
		return nil, true, f.problems[0].err
	}
	slices.SortStableFunc(f.settings, func(a, b setting) int { return a.origin.Line - b.origin.Line })
	return f.settings, true, nil
}

// file collects what one file says.
type file struct {
	name, base string
	text       string // without byte order mark, as the decoder counts
	meta       toml.MetaData
	options    map[string]*option
	tables     map[string]bool // every table that has options in or below it
	settings   []setting
	problems   []problem
}

type problem struct {
	line int
	err  error
}

// decode parses the whole file. The decoder's panics are about its own
// mistakes; none is known, and a file must not be able to show one.
func (f *file) decode(data []byte) (root map[string]toml.Primitive, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("cannot read %s: it is not valid TOML", f.name)
		}
	}()
	f.text = strings.TrimPrefix(string(data), "\ufeff")
	f.meta, err = toml.Decode(f.text, &root)
	if err == nil {
		return root, nil
	}
	var parseError toml.ParseError
	if errors.As(err, &parseError) {
		return nil, fmt.Errorf("%s:%d: %s", f.name, max(1, parseError.Position.Line), oneLine(parseError.Message))
	}
	return nil, fmt.Errorf("cannot read %s: %s", f.name, oneLine(err.Error()))
}

// oneLine escapes what would break the line of an error.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// table returns what is in a value that is a table.
func (f *file) table(p toml.Primitive) (map[string]toml.Primitive, bool) {
	if _, ok := f.value(p).(map[string]any); !ok {
		return nil, false
	}
	var inner map[string]toml.Primitive
	err := f.meta.PrimitiveDecode(p, &inner)
	return inner, err == nil
}

func (f *file) value(p toml.Primitive) any {
	var v any
	if err := f.meta.PrimitiveDecode(p, &v); err != nil {
		return nil // cannot happen: any value fits
	}
	return v
}

// refuse makes the decoder report a position: it has one for every value, and
// gives it away only with the error of a value that refuses to be decoded.
type refuse struct{}

var errRefused = errors.New("refused")

func (refuse) UnmarshalTOML(any) error { return errRefused }

// line is the line on which a value begins; for a table that is only implied
// by longer names, of the first value in it; 0 when not known.
func (f *file) line(p toml.Primitive) int {
	var parseError toml.ParseError
	if errors.As(f.meta.PrimitiveDecode(p, new(refuse)), &parseError) && parseError.Position.Line > 0 {
		// Position.Line is where the value ends.
		return 1 + strings.Count(f.text[:min(parseError.Position.Start, len(f.text))], "\n")
	}
	first := 0
	if inner, ok := f.table(p); ok {
		for _, v := range inner {
			if n := f.line(v); n > 0 && (first == 0 || n < first) {
				first = n
			}
		}
	}
	return first
}

// walk goes through one table; line is where it begins.
func (f *file) walk(prefix string, table map[string]toml.Primitive, line int) {
	for name, p := range table {
		key := prefix + bareKey(name)
		at := f.line(p)
		if at == 0 {
			at = line
		}
		if o := f.options[key]; o != nil {
			f.add(o, p, at)
			continue
		}
		inner, isTable := f.table(p)
		switch {
		case isTable && (f.tables[key] || len(inner) > 0):
			// The keys in an unknown table are what is reported: they are nearer
			// to what was meant.
			f.walk(key+".", inner, at)
		case f.tables[key]:
			f.report(at, fmt.Errorf("%s (%s:%d): expected a table, got %s", key, f.name, at, describe(f.value(p))))
		case isTable:
			f.report(at, fmt.Errorf("unknown table %s (%s:%d)%s", key, f.name, at, didYouMean(key, f.tableNames())))
		default:
			f.report(at, fmt.Errorf("unknown key %s (%s:%d)%s", key, f.name, at, didYouMean(key, keys())))
		}
	}
}

func (f *file) add(o *option, p toml.Primitive, line int) {
	s := setting{
		option: o, raw: f.value(p), base: f.base,
		origin: Origin{Kind: "file", Name: f.name, Line: line},
		label:  fmt.Sprintf("%s (%s:%d)", o.key, f.name, line),
	}
	// Checked here too, so that a file's mistake shows even where a flag hides it.
	if _, err := s.read(); err != nil {
		f.report(line, err)
		return
	}
	f.settings = append(f.settings, s)
}

func (f *file) report(line int, err error) { f.problems = append(f.problems, problem{line, err}) }

func (f *file) tableNames() []string {
	var names []string
	for _, g := range groups() {
		names = append(names, g.table)
	}
	return names
}

// bareKey gives one part of a key as TOML writes it.
func bareKey(name string) string {
	if s := (toml.Key{name}).String(); len(s) <= 80 && oneLine(s) == s {
		return s
	}
	return quote(name)
}
