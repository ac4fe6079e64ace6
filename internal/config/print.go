package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"
)

// Print writes the configuration as TOML that Load reads back to the same
// Config, with a comment after each value that says where it came from.
func Print(w io.Writer, c *Config, s *Sources) error {
	var b bytes.Buffer
	if s.File != "" {
		fmt.Fprintf(&b, "# The file that was read: %s\n", oneLine(s.File))
	} else {
		fmt.Fprintf(&b, "# No file was read.\n")
	}
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n[%s]\n", g.table)
		var lines, comments []string
		width := 0
		for _, o := range optionsOf(g) {
			_, leaf := cutLast(o.key)
			line := leaf + " = " + o.kind.write(o.in(c))
			lines = append(lines, line)
			if n := utf8.RuneCountInString(line); n <= 60 {
				width = max(width, n)
			}
			comment := oneLine(s.Origin(o.key).String())
			if o.key == keyCount && c.Workers.Count == (Count{}) {
				_, most := c.Workers.Processes()
				comment += fmt.Sprintf("; %d here", most)
			}
			comments = append(comments, comment)
		}
		for i, line := range lines {
			fmt.Fprintf(&b, "%-*s  # %s\n", width, line, comments[i])
		}
	}
	for _, l := range lists() {
		for i := range l.length(c) {
			fmt.Fprintf(&b, "\n[[%s]]\n", l.table)
			for _, o := range l.options(i) {
				fmt.Fprintf(&b, "%-*s  # %s\n", listWidth, o.key+" = "+o.kind.write(o.in(c)), oneLine(s.Origin(l.entryKey(i, o.key)).String()))
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// listWidth is the column of the comments in entries of lists.
const listWidth = 36

// in returns the option's value in c.
func (o *option) in(c *Config) any {
	return reflect.ValueOf(o.field(c)).Elem().Interface()
}

// optionsOf lists the options of one table.
func optionsOf(g group) []option {
	var list []option
	for _, o := range options() {
		if table, _ := cutLast(o.key); table == g.table {
			list = append(list, o)
		}
	}
	return list
}
