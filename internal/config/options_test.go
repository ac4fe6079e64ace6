package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// other has, for every option, a value that is not its default, as for a flag.
// Paths are made to exist by the tests that load them.
func other() map[string]string {
	return map[string]string{
		"app.target":                   "shop.wsgi:application",
		"app.interface":                "asgi",
		"app.factory":                  "true",
		"app.directory":                "src",
		"app.python":                   "env/bin/python",
		"app.env_file":                 "my env, \"quoted\"",
		"app.root_path":                "/shop",
		"app.lifespan":                 "off",
		"app.static":                   "auto",
		"server.bind":                  "0.0.0.0:80,[::1]:8443,unix:run/a b.sock,fd:7",
		"server.edge":                  "conn",
		"server.buffer_body":           "0",
		"server.buffer_budget":         "5MB",
		"server.static_memory":         "0",
		"server.backlog":               "17",
		"server.pid":                   "server.pid",
		"server.limits.request_line":   "4094",
		"server.limits.header_bytes":   "1MiB",
		"server.limits.header_count":   "7",
		"server.limits.body":           "1TiB",
		"server.limits.connections":    "99",
		"server.timeouts.header":       "1500ms",
		"server.timeouts.body":         "0.25",
		"server.timeouts.idle":         "24h",
		"server.timeouts.write":        "1h30m",
		"server.timeouts.shutdown":     "90",
		"workers.count":                "3",
		"workers.threads":              "512",
		"workers.model":                "gevent",
		"workers.queue":                "1",
		"workers.queue_timeout":        "1ms",
		"workers.in_flight":            "65535",
		"workers.startup_timeout":      "5m",
		"workers.timeout":              "2m",
		"log.level":                    "debug",
		"log.access":                   "json",
		"log.access_file":              "access.log",
		"log.format":                   "json",
		"admin.bind":                   "127.0.0.1:9090",
		"app.import_timeout":           "3s",
		"app.lifespan_timeout":         "4s",
		"server.user":                  "www-data",
		"server.group":                 "33",
		"server.umask":                 "027",
		"server.timeouts.request_soft": "0",
		"server.timeouts.request":      "5s",
		"workers.idle_timeout":         "5s",
		"workers.max_memory":           "1GiB",
		"workers.max_requests":         "1000",
		"workers.max_requests_jitter":  "50",
		"workers.max_lifetime":         "1h",
		"workers.max_rss":              "512MiB",
		"workers.preload":              "true",
		"workers.overlap":              "1",
		"workers.warmup":               "/,/a?b=c",
		"compress.enabled":             "true",
		"compress.encodings":           "gzip",
		"compress.gzip_level":          "9",
		"compress.brotli_level":        "0",
		"compress.zstd_level":          "1",
		"compress.min_size":            "10",
		"compress.types":               "text/html",
		"compress.except":              "/admin,/x",
		"redis.url":                    "rediss://user@[::1]:6380/3",
		"redis.timeout":                "1s",
		"redis.prefix":                 "shop:",
		"cache.enabled":                "true",
		"cache.size":                   "1MiB",
		"cache.max_entry":              "1KiB",
		"cache.wait":                   "1s",
		"cache.heuristic":              "true",
		"cache.share_cookies":          "true",
		"cache.client_control":         "false",
		"cache.status":                 "false",
		"cache.strip_tags":             "false",
		"cache.purge_on_reload":        "true",
		"json.reencode":                "/api,/v2",
		"json.sort_keys":               "/",
		"json.validate_requests":       "/api",
		"json.except":                  "/api/raw",
		"json.max_size":                "64KiB",
		"json.engine":                  "encoding/json",
		"json.accelerate":              "true",
		"cache.shared":                 "true",
		"reload.enabled":               "true",
		"reload.directories":           "src,lib",
		"reload.include":               "*.ini",
		"reload.exclude":               "data/**",
		"reload.gitignore":             "false",
		"reload.delay":                 "1s",
		"reload.poll":                  "on",
		"reload.browser":               "false",
		"reload.on_error":              "keep",
		"log.file":                     "server.log",
		"admin.control":                "ctl.sock",
	}
}

// place makes a folder with the files that other names.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"src/x", "env/bin/python", "my env, \"quoted\""} {
		writeFile(t, dir, name, "")
	}
	return dir
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// mustLoad loads for the command config, which needs no application.
func mustLoad(t *testing.T, args, env []string, dir string) (*Config, *Sources) {
	t.Helper()
	c, s, err := Load(append([]string{"config"}, args...), env, dir)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func printed(t *testing.T, c *Config, s *Sources) string {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, c, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRecords(t *testing.T) {
	var c Config
	groupNames := map[string]bool{}
	for _, g := range groups() {
		groupNames[g.table] = true
	}
	fields, names := map[any]bool{}, map[string]bool{}
	unique := func(what, name string) {
		if names[name] {
			t.Errorf("%s: %s is used twice", what, name)
		}
		names[name] = true
	}
	for _, e := range extraFlags() {
		for _, n := range e.names {
			unique("flag", n)
		}
	}
	for _, o := range options() {
		unique("key", o.key)
		unique("variable", o.variable())
		for _, n := range slices.Concat(o.flags, o.variables) {
			unique(o.key, n)
		}
		for _, n := range o.flags {
			if hint := unsupported(n); hint != "" {
				t.Errorf("%s: the flag %s is also listed as not supported", o.key, n)
			}
		}
		if p := o.field(&c); fields[p] {
			t.Errorf("%s: another option has the same field", o.key)
		} else {
			fields[p] = true
		}
		if table, _ := cutLast(o.key); !groupNames[table] {
			t.Errorf("%s: its table is in no group", o.key)
		}
		v, err := o.kind.read(text(o.value), "/base")
		if err != nil {
			t.Errorf("%s: its default is not valid: %v", o.key, err)
			continue
		}
		if got, want := reflect.TypeOf(v), reflect.TypeOf(o.field(&c)).Elem(); got != want {
			t.Errorf("%s: the kind makes a %v and the field is a %v", o.key, got, want)
		}
		if o.applies < AtOnce || o.applies > AtRestart {
			t.Errorf("%s: it does not say when a change applies", o.key)
		}
		if o.help == "" || strings.HasSuffix(o.help, ".") {
			t.Errorf("%s: the help text is empty or ends with a full stop", o.key)
		}
	}
	if want := leaves(reflect.TypeOf(c)); len(fields) != want {
		t.Errorf("%d options for %d fields of Config", len(fields), want)
	}
}

// leaves counts the settings in a Config.
func leaves(t reflect.Type) int {
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Address]() || t == reflect.TypeFor[Count]() {
		return 1
	}
	n := 0
	for i := range t.NumField() {
		if f := t.Field(i).Type; f.Kind() == reflect.Slice && f.Elem().Kind() == reflect.Struct && f.Elem() != reflect.TypeFor[Address]() {
			continue // a list; TestLists counts its fields
		}
		n += leaves(t.Field(i).Type)
	}
	return n
}

// TestRoundTrip sets each option alone, and all together, as --set, as its flag
// and as its variable; what config prints loads to the same.
func TestRoundTrip(t *testing.T) {
	dir := place(t)
	f := func(key string, args, env []string) {
		t.Helper()
		c, s := mustLoad(t, args, env, dir)
		if key != "" && s.Origin(key).Kind == "default" {
			t.Errorf("%s: not set by %q %q", key, args, env)
		}
		text := printed(t, c, s)
		// Elsewhere, so that paths that are still relative would change.
		there := t.TempDir()
		writeFile(t, there, "printed.toml", text)
		again, _ := mustLoad(t, []string{"-c", filepath.Join(there, "printed.toml")}, nil, there)
		if !reflect.DeepEqual(c, again) {
			t.Errorf("%s: %+v became %+v from\n%s", key, c, again, text)
		}
	}
	defaults, _ := mustLoad(t, nil, nil, dir)
	f("", nil, nil)
	var all []string
	for _, o := range options() {
		value, ok := other()[o.key]
		if !ok {
			t.Errorf("%s: no value in other", o.key)
			continue
		}
		c, _ := mustLoad(t, []string{"--set", o.key + "=" + value}, nil, dir)
		if reflect.DeepEqual(c, defaults) {
			t.Errorf("%s=%s changes nothing", o.key, value)
		}
		all = append(all, "--set", o.key+"="+value)
		f(o.key, []string{"--set", o.key + "=" + value}, nil)
		f(o.key, nil, []string{o.variable() + "=" + value})
		for _, name := range o.variables {
			f(o.key, nil, []string{name + "=" + value})
		}
		for _, flag := range o.flags {
			if o.kind.argument() == "" {
				f(o.key, []string{flag}, nil)
				f(o.key, []string{flag + "=" + value}, nil)
				continue
			}
			f(o.key, []string{flag, value}, nil)
			f(o.key, []string{flag + "=" + value}, nil)
		}
	}
	f("", all, nil)
}

func TestGeneratedFilesAreFresh(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is stale; run go run ./internal/config/gen", name)
		}
	}
	f("docs/configuration.md", Reference())
	f("pyspeed.toml.example", Sample())
}

// TestSample loads the sample file as it is, and with every line turned on.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	want, _ := mustLoad(t, []string{"main:app"}, nil, dir)
	f := func(content string) {
		t.Helper()
		writeFile(t, dir, "pyspeed.toml", content)
		got, s := mustLoad(t, nil, nil, dir)
		if s.File != "pyspeed.toml" {
			t.Errorf("read %q", s.File)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	f(Sample())
	_, body, _ := strings.Cut(Sample(), "[app]")
	f("[app]" + strings.ReplaceAll(body, "\n# ", "\n"))
}

func TestUsage(t *testing.T) {
	usage := Usage()
	for line := range strings.Lines(usage) {
		if len(line) > usageWidth+1 {
			t.Errorf("wider than %d columns: %s", usageWidth, line)
		}
	}
	for _, o := range options() {
		for _, flag := range o.flags {
			if !strings.Contains(usage, flag) {
				t.Errorf("%s is missing", flag)
			}
		}
	}
}
