package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// otherEntry has, for every option of every list, a value that is not its default, as TOML.
func otherEntry() map[string]string {
	return map[string]string{
		"static.route": `"/a"`, "static.root": `"/tmp"`, "static.index": `["a.html", "b.html"]`, "static.fallback": `"x/app.html"`,
		"static.not_found": `"404.html"`, "static.listing": `true`, "static.pass": `true`, "static.headers": `{ B = "", A = "x\"y" }`,
		"static.cache_control": `"no-cache"`, "static.immutable": `false`, "static.precompressed": `false`, "static.compress": `false`,
		"static.hidden": `true`, "static.sources": `true`, "static.follow_symlinks": `true`, "static.charset": `""`,

		"cache_route.path": `"/a/*.x"`, "cache_route.off": `true`, "cache_route.ttl": `"1m"`, "cache_route.override": `true`,
		"cache_route.stale_while_revalidate": `"2s"`, "cache_route.stale_if_error": `3`, "cache_route.statuses": `[404]`,
		"cache_route.query_only": `["page"]`, "cache_route.query_ignore": `["utm_*"]`, "cache_route.headers": `["accept-language"]`,
		"cache_route.remove_cookies": `true`, "cache_route.remove_set_cookie": `true`,

		"upstream.route":              `"/a"`,
		"upstream.address":            `["unix:run/a b.sock", "[::1]:9000"]`,
		"upstream.root":               `"/srv/wÿw"`,
		"upstream.split":              `".php"`,
		"upstream.index":              `""`,
		"upstream.script":             `"/srv/www/index.php"`,
		"upstream.check_script":       `"off"`,
		"upstream.strip_prefix":       `true`,
		"upstream.params":             `{ B = "", A = "x\"y" }`,
		"upstream.connections":        `7`,
		"upstream.keep_alive":         `true`,
		"upstream.queue":              `0`,
		"upstream.queue_timeout":      `1`,
		"upstream.connect_timeout":    `"1500ms"`,
		"upstream.first_byte_timeout": `"1h"`,
		"upstream.read_timeout":       `0.5`,
		"upstream.max_fails":          `0`,
		"upstream.fail_timeout":       `"1m"`,
		"upstream.health":             `"/ping"`,
		"upstream.health_interval":    `"1s"`,

		"rate_limit.name": `"a-B.3_"`, "rate_limit.path": `["/", "/x"]`, "rate_limit.methods": `["POST"]`, "rate_limit.key": `"header:x-key"`,
		"rate_limit.rate": `"7/90s"`, "rate_limit.burst": `3`, "rate_limit.allow": `["::1", "10.0.0.0/8"]`, "rate_limit.ipv6_prefix": `128`,
		"rate_limit.log_only": `true`, "rate_limit.shared": `true`, "rate_limit.headers": `false`, "rate_limit.keys": `256`,
	}
}

// neededBy has, for every list, the lines that an entry cannot do without.
func neededBy() map[string]string {
	return map[string]string{
		"static":      "route = \"/\"\nroot = \"/\"\n",
		"cache_route": "path = \"/\"\nttl = \"1h\"\n",
		"upstream":    "route = \"/\"\naddress = \"a:1\"\nroot = \"/r\"\n",
		"rate_limit":  "rate = \"1/d\"\n",
	}
}

// TestLists: the records of every list are whole, and each value is read, printed and read again.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	load := func(content string) (*Config, *Sources) {
		t.Helper()
		writeFile(t, dir, "lists.toml", content)
		return mustLoad(t, []string{"-c", "lists.toml"}, []string{"PYSPEED_REDIS_URL=redis://localhost"}, dir) // for what is shared
	}
	for _, l := range lists() {
		var c Config
		fields := map[any]bool{}
		needed := "[[" + l.table + "]]\n" + neededBy()[l.table]
		before, _ := load(needed)
		var all strings.Builder
		for _, o := range l.options(0) {
			l.options(0)[0].field(&c) // the entry is there before pointers into it are taken
			if fields[o.field(&c)] {
				t.Errorf("%s.%s: another option has the same field", l.table, o.key)
			}
			fields[o.field(&c)] = true
			v, err := o.kind.read(text(o.value), "/base")
			if err != nil {
				t.Errorf("%s.%s: its default is not valid: %v", l.table, o.key, err)
				continue
			}
			if got, want := reflect.TypeOf(v), reflect.TypeOf(o.field(&c)).Elem(); got != want {
				t.Errorf("%s.%s: the kind makes a %v and the field is a %v", l.table, o.key, got, want)
			}
			if o.help == "" || strings.HasSuffix(o.help, ".") || len(o.flags)+len(o.variables) > 0 {
				t.Errorf("%s.%s: bad help, or a flag that nobody reads", l.table, o.key)
			}
			value, ok := otherEntry()[l.table+"."+o.key]
			if !ok {
				t.Errorf("%s.%s: no value in otherEntry", l.table, o.key)
			}
			line := o.key + " = " + value + "\n"
			all.WriteString(line)
			alone := line
			for _, n := range strings.SplitAfter(strings.TrimPrefix(needed, "[["+l.table+"]]\n"), "\n") {
				if !strings.HasPrefix(n, o.key+" ") {
					alone += n
				}
			}
			got, s := load("[[" + l.table + "]]\n" + alone)
			if reflect.DeepEqual(got, before) {
				t.Errorf("%s changes nothing", line)
			}
			if origin := s.Origin(l.entryKey(0, o.key)).String(); origin != "lists.toml:2" {
				t.Errorf("%s.%s comes from %q", l.table, o.key, origin)
			}
		}
		if want := l.entryType().NumField(); len(fields) != want {
			t.Errorf("%d options for %d fields", len(fields), want)
		}
		got, s := load("[[" + l.table + "]]\n" + all.String() + "[[" + l.table + "]]\n" + strings.Replace(neededBy()[l.table], `"/"`, `"/b"`, 1))
		there := t.TempDir()
		writeFile(t, there, "printed.toml", printed(t, got, s))
		if again, _ := mustLoad(t, []string{"-c", filepath.Join(there, "printed.toml")}, nil, there); !reflect.DeepEqual(got, again) {
			t.Errorf("%+v became %+v", got, again)
		}
	}
}

// entryType is the type of one entry in Config.
func (l *list) entryType() reflect.Type {
	var c Config
	for _, o := range l.options(0) {
		o.field(&c)
	}
	all := reflect.TypeOf(c)
	for i := range all.NumField() {
		if f := reflect.ValueOf(c).Field(i); f.Kind() == reflect.Slice && f.Len() == 1 {
			return f.Type().Elem()
		}
	}
	return reflect.TypeFor[struct{}]()
}

// TestSampleLists: the entries of the sample file are valid when their lines are turned on.
func TestSampleLists(t *testing.T) {
	dir := t.TempDir()
	_, rest, _ := strings.Cut(Sample(), "#[[")
	writeFile(t, dir, "pyspeed.toml", "[["+strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(rest, "\n## ", "\n!"), "\n#", "\n"), "\n!", "\n# "))
	writeFile(t, dir, "static/x", "")
	c, _ := mustLoad(t, nil, nil, dir)
	for _, l := range lists() {
		if l.length(c) != 1 {
			t.Errorf("%d entries of [[%s]]", l.length(c), l.table)
		}
	}
}

// TestListInProject: [[tool.pyspeed.upstream]] of pyproject.toml, whose own tables have the same names.
func TestListInProject(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "pyproject.toml", "[[upstream]]\nroute = 1\n[tool.pyspeed]\napp.target = \"a:b\"\n\n[[tool.pyspeed.upstream]]\nroute = \"/x\"\naddress = \"a:1\"\n")
	c, s := mustLoad(t, nil, nil, dir)
	if len(c.Upstreams) != 1 || c.Upstreams[0].Route != "/x" || s.Origin("upstream[0].address").Line != 8 {
		t.Errorf("%+v from %v", c.Upstreams, s.Origin("upstream[0].address"))
	}
}

// TestApplicationOrWholeSite: an application is needed unless an upstream takes every request.
func TestApplicationOrWholeSite(t *testing.T) {
	dir := t.TempDir()
	f := func(route string, needed bool) {
		t.Helper()
		writeFile(t, dir, "pyspeed.toml", "[[upstream]]\nroute = \""+route+"\"\naddress = \"a:1\"\n")
		_, _, err := Load(nil, nil, dir)
		if needed != (err != nil && strings.Contains(err.Error(), "no application is named")) {
			t.Errorf("%s: %v", route, err)
		}
	}
	f("/", false)
	f("/a", true)
}

func TestStatements(t *testing.T) {
	const file = "a = 1 # [\n\n[[x]]\nb = \"\"\"\n[[x]]\n\\\"\"\"\"\"\"\nc = [ # ]\n 'd[',\n\n]\n\"e\" = '''\n'''\n[ x . y ]\nf.g = 1\n[[ x ]]\nh = {}\n[z]\ni = 1"
	var got []string
	for s := range statements(file) {
		first, _, _ := strings.Cut(s.text, "\n")
		got = append(got, strings.Fields(first)[0])
	}
	if want := "a [[x]] b c \"e\" [ f.g [[ h [z] i"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	places := entryLines(file, []string{"x"})
	want := []entryPlace{{3, map[string]int{"b": 4, "c": 7, "e": 11, "y": 13}}, {15, map[string]int{"h": 16}}}
	if !reflect.DeepEqual(places, want) {
		t.Errorf("got %v, want %v", places, want)
	}
}
