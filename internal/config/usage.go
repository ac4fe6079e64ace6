package config

import (
	"fmt"
	"strings"
)

const (
	usageWidth  = 100 // columns of the help text
	usageColumn = 34  // where the explanations begin
)

const usageHead = `Usage:
  pyspeed-gw [serve] [flags] [module:attribute]   serve the application
  pyspeed-gw check [flags] [module:attribute]     check the configuration and import the application
  pyspeed-gw config [flags] [module:attribute]    print the effective configuration, and its sources
  pyspeed-gw ctl [-c FILE] COMMAND                operate a running gateway; see ctl --help
  pyspeed-gw probe ADDRESS PATH                   ask a FastCGI responder; see probe --help

General:
`

const usageTail = `
SIZE is a number of bytes or has a unit, as in 64KiB or 10MB; TIME is a number of seconds or has a
unit, as in 500ms, 30s or 1m. A flag counts before a variable, a variable before the file, the file
before the default (in brackets). Every option is also a variable: workers.threads is
PYSPEED_WORKERS_THREADS. PORT sets the port (on 0.0.0.0) where no address is given, and
WEB_CONCURRENCY the workers.
`

// Usage is the help text: every flag, in groups, at most 100 columns wide.
func Usage() string {
	var b strings.Builder
	b.WriteString(usageHead)
	extras := func(title string) {
		for _, e := range extraFlags() {
			if e.title == title {
				usageEntry(&b, e.names, e.argument, e.help)
			}
		}
	}
	extras("")
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n%s (%s):\n", g.title, g.table)
		for _, o := range optionsOf(g) {
			if len(o.flags) == 0 {
				usageEntry(&b, []string{o.kind.argument()}, "", o.help)
				continue
			}
			help := o.help + o.flagHelp
			if o.value != "" && o.kind.argument() != "" {
				help += " [" + o.value + "]"
			}
			usageEntry(&b, o.flags, o.kind.argument(), help)
		}
		extras(g.title)
	}
	b.WriteString(usageTail)
	return b.String()
}

// usageEntry writes one flag with its aliases: short ones first, as usual.
func usageEntry(b *strings.Builder, flags []string, argument, help string) {
	var short, long []string
	for _, f := range flags {
		if strings.HasPrefix(f, "--") || !strings.HasPrefix(f, "-") {
			long = append(long, f)
		} else {
			short = append(short, f)
		}
	}
	names := "  " + strings.Join(append(short, long...), ", ")
	if argument != "" {
		names += " " + argument
	}
	lines := wrap(help, usageWidth-usageColumn)
	if len(names) > usageColumn-2 {
		fmt.Fprintln(b, names)
		names = ""
	}
	for _, line := range lines {
		fmt.Fprintf(b, "%-*s%s\n", usageColumn, names, line)
		names = ""
	}
}

// wrap breaks text at blanks into lines of at most width bytes, where words
// allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
