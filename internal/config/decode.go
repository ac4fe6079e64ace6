package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		return nil, fmt.Errorf("cannot read the configuration file %s: it has more than %s", oneLine(name), formatSize(fileSizeMax))
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file %s: %w", oneLine(name), cause(err))
	}
	return data, nil
}

// parseFile reads data, the content of the named file. In a pyproject.toml only
// [tool.pyspeed] counts (found is false when there is none), elsewhere all.
func parseFile(data []byte, name, dir string) (settings []setting, found bool, err error) {
	f := file{
		name: oneLine(name), base: filepath.Dir(absolute(name, dir)),
		options: map[string]*option{}, tables: map[string]bool{},
	}
	for _, o := range options() {
		f.options[o.key] = &o
		for table, _ := cutLast(o.key); table != ""; table, _ = cutLast(table) {
			f.tables[table] = true
		}
	}
	if err := f.decode(data); err != nil {
		return nil, false, err
	}
	var root toml.Key
	if filepath.Base(name) == projectFile {
		root = toml.Key{"tool", "pyspeed"}
		if !f.meta.IsDefined(root...) {
			return nil, false, nil
		}
	}
	read := map[string]bool{} // lists
	// Keys are in the order of the file, so the first mistake is reported.
	for _, key := range f.meta.Keys() {
		if len(key) < len(root) || !slices.Equal(key[:len(root)], root) {
			continue
		}
		if at := len(root); len(key) > at {
			if l := listOf(key[at]); l != nil {
				if !read[l.table] {
					read[l.table] = true
					if err := f.readList(l, key[:at+1]); err != nil {
						return nil, true, err
					}
				}
				continue
			}
		}
		if err := f.read(key, len(root)); err != nil {
			return nil, true, err
		}
	}
	return f.settings, true, nil
}

// file collects what one file says.
type file struct {
	name, base string
	text       string // without byte order mark, as the decoder counts
	meta       toml.MetaData
	top        map[string]toml.Primitive
	tree       map[string]any // the same, decoded
	options    map[string]*option
	tables     map[string]bool // every table that has options in or below it
	settings   []setting
}

// decode parses the whole file. The decoder's panics are about its own
// mistakes; none is known, and a file must not be able to show one.
func (f *file) decode(data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot read %s: it is not valid TOML", f.name)
		}
	}()
	f.text = strings.TrimPrefix(string(data), "\ufeff")
	f.meta, err = toml.Decode(f.text, &f.top)
	var parseError toml.ParseError
	switch {
	case errors.As(err, &parseError):
		return fmt.Errorf("%s:%d: %s", f.name, max(1, parseError.Position.Line), oneLine(parseError.Message))
	case err != nil:
		return fmt.Errorf("cannot read %s: %s", f.name, oneLine(err.Error()))
	}
	f.tree = make(map[string]any, len(f.top))
	for name, p := range f.top {
		var v any
		if err := f.meta.PrimitiveDecode(p, &v); err != nil {
			return fmt.Errorf("cannot read %s: %s", f.name, oneLine(err.Error()))
		}
		f.tree[name] = v
	}
	return nil
}

// oneLine escapes what would break the line of an error.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// value returns what the file has for a key.
func (f *file) value(key toml.Key) any {
	var v any = f.tree
	for _, name := range key {
		table, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = table[name]
	}
	return v
}

// refuse makes the decoder report a position: it has one for every value, and
// gives it away only with the error of a value that refuses to be decoded.
type refuse struct{}

var errRefused = errors.New("refused")

func (refuse) UnmarshalTOML(any) error { return errRefused }

// line is the line on which the value of a key begins, 1 when not known.
func (f *file) line(key toml.Key) int {
	table := f.top
	for i, name := range key {
		p, ok := table[name]
		if !ok {
			break // it is in an array of tables
		}
		var parseError toml.ParseError
		if i == len(key)-1 && errors.As(f.meta.PrimitiveDecode(p, new(refuse)), &parseError) && parseError.Position.Line > 0 {
			// Position.Line is where the value ends.
			return 1 + strings.Count(f.text[:min(parseError.Position.Start, len(f.text))], "\n")
		}
		table = nil
		if err := f.meta.PrimitiveDecode(p, &table); err != nil {
			break
		}
	}
	return 1
}

// read takes one key of the file; the first skip parts of it are not ours.
func (f *file) read(key toml.Key, skip int) error {
	for n := skip; n <= len(key); n++ {
		prefix := key[:n]
		name := keyName(prefix[skip:])
		isWhole := n == len(key)
		if o := f.options[name]; o != nil {
			// A longer key makes a table of the option, which is refused.
			return f.add(o, f.value(prefix), f.line(key))
		}
		table, isTable := f.value(prefix).(map[string]any)
		switch {
		case isTable && (!isWhole || f.tables[name] || n == skip || len(table) > 0):
			// What is in an unknown table is nearer to what was meant than its
			// name, and follows.
		case f.tables[name] || n == skip:
			if n == skip {
				name = keyName(prefix)
			}
			return fmt.Errorf("%s (%s:%d): expected a table, got %s", name, f.name, f.line(key), describe(f.value(prefix)))
		case isTable:
			return fmt.Errorf("unknown table %s (%s:%d)%s", name, f.name, f.line(key), didYouMean(name, f.tableNames()))
		default:
			known := keys()
			for _, l := range lists() {
				known = append(known, l.table)
			}
			return fmt.Errorf("unknown key %s (%s:%d)%s", name, f.name, f.line(key), didYouMean(name, known))
		}
	}
	return nil
}

func (f *file) add(o *option, raw any, line int) error {
	s := setting{
		option: o, raw: raw, base: f.base,
		origin: Origin{Kind: "file", Name: f.name, Line: line},
		label:  fmt.Sprintf("%s (%s:%d)", o.key, f.name, line),
	}
	f.settings = append(f.settings, s)
	// Checked here too, so that a file's mistake shows even where a flag hides it.
	_, err := s.read()
	return err
}

func (f *file) tableNames() []string {
	var names []string
	for _, g := range groups() {
		names = append(names, g.table)
	}
	for _, l := range lists() {
		names = append(names, l.table)
	}
	return names
}

// keyName gives a key as TOML writes it, in bearable length.
func keyName(key toml.Key) string {
	s := oneLine(key.String())
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "..."
	}
	return s
}
