package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// list is an array of tables of the file, [[table]]: any number of entries that all have the
// same options. Neither flags nor variables set them.
type list struct {
	table, title string
	help, more   string
	applies      Applies
	// options are the records of one entry, whose keys are without the table. The field of a record makes
	// the entry in the Config if it is not there.
	options func(entry int) []option
	length  func(*Config) int
	// check looks at one whole entry; label names the place of one of its options.
	check func(m *merge, entry int, label func(leaf string) string) error
	// take has the entries of one configuration taken over by another, where a change applies while the server runs; else nil.
	take func(to, from *Config)
	// sample has values for the sample file, as TOML, where they are not the defaults.
	sample map[string]string
}

// lists are in the order in which they are shown.
func lists() []*list { return []*list{statics(), cacheRoutes(), upstreams(), rateLimits()} }

// listOf finds a list by its table; nil: there is none.
func listOf(table string) *list {
	for _, l := range lists() {
		if l.table == table {
			return l
		}
	}
	return nil
}

// entryKey is under which key the sources know an option of an entry.
func (l *list) entryKey(entry int, leaf string) string {
	return fmt.Sprintf("%s[%d].%s", l.table, entry, leaf)
}

// keys lists the options' keys, with the table.
func (l *list) keys() []string {
	records := l.options(0)
	all := make([]string, 0, len(records))
	for _, o := range records {
		all = append(all, l.table+"."+o.key)
	}
	return all
}

// readList takes all entries of a list, which has that key in the file.
func (f *file) readList(l *list, key toml.Key) error {
	var entries []map[string]any
	switch v := f.value(key).(type) {
	case []map[string]any:
		entries = v
	case []any: // written as an array of inline tables
		for _, e := range v {
			table, ok := e.(map[string]any)
			if !ok {
				return fmt.Errorf("%s (%s:%d): expected a table in the array, got %s", l.table, f.name, f.line(key), describe(e))
			}
			entries = append(entries, table)
		}
	default:
		return fmt.Errorf("%s (%s:%d): expected tables that each begin with [[%s]], got %s", l.table, f.name, f.line(key), keyName(key), describe(v))
	}
	lines := entryLines(f.text, key)
	for i, table := range entries {
		at := entryPlace{line: f.line(key)}
		if i < len(lines) {
			at = lines[i]
		}
		if err := f.readEntry(l, i, table, at); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) readEntry(l *list, entry int, table map[string]any, at entryPlace) error {
	records := l.options(entry)
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if n := at.of(a) - at.of(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if !slices.ContainsFunc(records, func(o option) bool { return o.key == name }) {
			full := l.table + "." + keyName(toml.Key{name})
			return fmt.Errorf("unknown key %s (%s:%d)%s", full, f.name, at.of(name), didYouMean(full, l.keys()))
		}
	}
	// Every option has a setting, so that the entry is whole whatever the file leaves out.
	for i := range records {
		o := records[i]
		name := o.key
		o.key = l.entryKey(entry, name)
		s := setting{option: &o, raw: text(o.value), base: f.base, origin: Origin{Kind: "default"}}
		line := at.line
		if raw, ok := table[name]; ok {
			line = at.of(name)
			s.raw, s.origin = raw, Origin{Kind: "file", Name: f.name, Line: line}
		}
		s.label = fmt.Sprintf("%s.%s (%s:%d)", l.table, name, f.name, line)
		f.settings = append(f.settings, s)
		if _, err := s.read(); err != nil {
			return err
		}
	}
	return nil
}

// checkLists checks the entries of all lists.
func (m *merge) checkLists() error {
	for _, l := range lists() {
		for i := range l.length(m.config) {
			label := func(leaf string) string { return m.last[l.entryKey(i, leaf)].label }
			if err := l.check(m, i, label); err != nil {
				return err
			}
		}
	}
	return nil
}

// entryPlace is where an entry of an array of tables is in its file, in lines from 1.
type entryPlace struct {
	line int            // of its header
	keys map[string]int // of the keys that begin a line of their own
}

func (p *entryPlace) of(key string) int {
	if n := p.keys[key]; n > 0 {
		return n
	}
	return p.line
}

// entryLines finds the entries of [[key]] in text, which is valid TOML: the decoder gives positions only for
// the last of several equal keys.
func entryLines(text string, key toml.Key) []entryPlace {
	var places []entryPlace
	inside := false
	var below toml.Key // the table under the entry that the statements belong to
	for s := range statements(text) {
		if header, isArray, ok := s.header(); ok {
			switch {
			case isArray && slices.Equal(header, key):
				places = append(places, entryPlace{line: s.line, keys: map[string]int{}})
				inside, below = true, nil
			case len(header) > len(key) && slices.Equal(header[:len(key)], key) && len(places) > 0:
				inside, below = true, header[len(key):]
				places[len(places)-1].note(below, s.line)
			default:
				inside = false
			}
			continue
		}
		if inside && len(below) == 0 {
			places[len(places)-1].note(s.key(), s.line)
		}
	}
	return places
}

func (p *entryPlace) note(key toml.Key, line int) {
	if len(key) > 0 && p.keys[key[0]] == 0 {
		p.keys[key[0]] = line
	}
}
