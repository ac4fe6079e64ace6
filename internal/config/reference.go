package config

import (
	"fmt"
	"strings"
)

const referenceHead = `# Configuration

<!-- Made from the option records by "go run ./internal/config/gen"; change those, not this page. -->

A value is taken from the first of

1. a flag, or ` + "`--set KEY=VALUE`" + ` with the key of any option,
2. an environment variable: ` + "`PYSPEED_`" + ` and the key in capitals with ` + "`_`" + ` for each dot, as in ` + "`PYSPEED_WORKERS_THREADS`" + `; an empty
   variable counts as not set,
3. the file: the one that ` + "`-c FILE`" + ` names, else ` + "`pyspeed.toml`" + ` in the working directory, else the table ` + "`[tool.pyspeed]`" + ` of
   ` + "`pyproject.toml`" + ` there,
4. the default.

` + "`pyspeed-gw config`" + ` prints the effective configuration and where each value came from; ` + "`pyspeed-gw check`" + ` also imports the
application. A key that is not known is an error.

Paths in a file are relative to the file's folder; paths in flags and variables are relative to the working directory. A **size** is
a whole number of bytes or a text with a unit: ` + "`\"64KiB\"`, `\"10MB\"`" + `. A **time** is a number of seconds or a text with a unit: ` + "`\"500ms\"`, `\"30s\"`,\n`\"1m\"`, `\"1m30s\"`" + `. Words may be in capitals or not.
`

// referenceReload explains the lines about changes.
const referenceReload = `
## Changes while the server runs

SIGHUP, ` + "`pyspeed-gw ctl reload`" + ` and, with ` + "`--reload`" + `, a changed file have all of it read again: the same command line and environment, the
file, ` + "`app.env_file`" + `. A mistake in it changes nothing and is logged. Otherwise each option that has changed applies as its entry below says: *at once*,
*with the new workers* that the reload starts, or *at the next start of pyspeed-gw*, about which a warning names the option.
`

const referenceTail = `
## Flags that several options share

| flag | meaning |
|---|---|
`

const referenceEnd = `
Flags are written ` + "`--name value` or `--name=value`, short ones `-w 4`, `-w4` or `-w=4`" + `. When a flag is given twice the last one counts, but
addresses add up. A flag of gunicorn or uvicorn that has no counterpart is an error that names the alternative.
`

// Reference is the page docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString(referenceReload)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s: `[%s]`\n", g.title, g.table)
		for _, o := range optionsOf(g) {
			referenceEntry(&b, &o)
		}
	}
	for _, l := range lists() {
		fmt.Fprintf(&b, "\n## %s: `[[%s]]`\n\n%s. %s\nA change applies %s.\n", l.title, l.table, capital(l.help), l.more, l.applies)
		for _, o := range l.options(0) {
			referenceHelp(&b, &o)
		}
	}
	b.WriteString(referenceTail)
	for _, e := range extraFlags() {
		// A bar would end a table's cell, also in code.
		fmt.Fprintf(&b, "| %s | %s |\n", strings.ReplaceAll(codes(withArgument(e.names, e.argument)), "|", `\|`), e.help)
	}
	b.WriteString(referenceEnd)
	return b.String()
}

// referenceHelp is what the page says of every option.
func referenceHelp(b *strings.Builder, o *option) {
	_, leaf := cutLast(o.key)
	fmt.Fprintf(b, "\n### `%s`\n\n%s.\n", leaf, capital(o.help))
	if o.more != "" {
		fmt.Fprintf(b, "%s\n", o.more)
	}
	fmt.Fprintf(b, "\n- Value: %s. Default: `%s`\n", codeForms(o.kind.expects()), o.sample())
}

func referenceEntry(b *strings.Builder, o *option) {
	referenceHelp(b, o)
	if len(o.flags) > 0 {
		fmt.Fprintf(b, "- Flag: %s\n", codes(withArgument(o.flags, o.kind.argument())))
	} else {
		fmt.Fprintf(b, "- On the command line: `pyspeed-gw %s`\n", strings.ToLower(o.kind.argument()))
	}
	fmt.Fprintf(b, "- Environment: %s\n", codes(append([]string{o.variable()}, o.variables...)))
	fmt.Fprintf(b, "- A change applies %s\n", o.applies)
}

// withArgument puts the placeholder after the first flag.
func withArgument(flags []string, argument string) []string {
	list := append([]string(nil), flags...)
	if argument != "" {
		list[0] += " " + argument
	}
	return list
}

func codes(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = "`" + s + "`"
	}
	return strings.Join(quoted, ", ")
}

// codeForms marks the quoted words and the address forms of kind.expects.
func codeForms(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			b.WriteString("`\"" + part + "\"`")
		} else {
			b.WriteString(strings.ReplaceAll(part, addressForms, "`host:port`, `[ipv6]:port`, `unix:/path` or `fd:number`"))
		}
	}
	return b.String()
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// sample gives the default as TOML, as it would be written in a file: unlike
// Print with the unit and the relative path of its record.
func (o *option) sample() string {
	switch o.kind.(type) {
	case filePath, size, duration:
		return tomlString(o.value)
	}
	v, err := o.kind.read(text(o.value), "/")
	if err != nil {
		return tomlString(o.value) // no default is so; a test reads them all
	}
	return o.kind.write(v)
}

const sampleHead = `# A configuration of PySpeed: pyspeed-gw -c pyspeed.toml
#
# Every option is here with its default. Only the application must be named.
# What the options mean in full is in docs/configuration.md, made like this
# file by "go run ./internal/config/gen".
`

// Sample is the file pyspeed.toml.example.
func Sample() string {
	var b strings.Builder
	b.WriteString(sampleHead)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n[%s]\n", g.table)
		for _, o := range optionsOf(g) {
			_, leaf := cutLast(o.key)
			value, mark := o.sample(), "# "
			if o.key == keyTarget {
				value, mark = `"main:app"`, ""
			}
			fmt.Fprintf(&b, "%-38s # %s\n", mark+leaf+" = "+value, o.help)
		}
	}
	for _, l := range lists() {
		// Without a blank behind the mark: an entry is not one of the defaults that lines with one are.
		fmt.Fprintf(&b, "\n## %s. Any number of tables of this kind:\n#[[%s]]\n", capital(l.help), l.table)
		for _, o := range l.options(0) {
			value, ok := l.sample[o.key]
			if !ok {
				value = o.sample()
			}
			fmt.Fprintf(&b, "%-38s # %s\n", "#"+o.key+" = "+value, o.help)
		}
	}
	return b.String()
}
