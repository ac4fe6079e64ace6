package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Upstream is one entry of [[upstream]]: a FastCGI responder that is not ours.
type Upstream struct {
	Route     string    // "/", or a path without a slash at its end
	Addresses []Address // at least one; tcp or unix
	// Root, Script, Index and Split say which file a path names; "" for none. Paths
	// are the responder's.
	Root, Script, Index, Split string
	CheckScript                string // auto, on, off
	StripPrefix                bool
	Params                     map[string]string // not nil
	Connections                int               // to each address
	KeepAlive                  bool
	Queue                      int // requests that may wait for a connection
	QueueTimeout               time.Duration
	ConnectTimeout             time.Duration
	FirstByteTimeout           time.Duration // from the end of the request to the answer's first byte
	ReadTimeout                time.Duration // between two parts of the answer, and of the request
	MaxFails                   int           // 0: failures are not counted
	FailTimeout                time.Duration
	Health                     string // off, connect, or a path
	HealthInterval             time.Duration
}

const upstreamTable = "upstream"

func upstreams() *list {
	return &list{
		table: upstreamTable, title: "Upstreams", applies: AtRestart,
		help: "FastCGI responders that are not PySpeed's own workers, such as php-fpm",
		more: "One table for each; see `docs/fastcgi.md`. The longest `route` that a path begins with, in whole segments, wins; what no route " +
			"takes goes to the application. With the route `/` there is no application: `app.target` is not needed and no workers run.",
		options: upstreamOptions,
		length:  func(c *Config) int { return len(c.Upstreams) },
		sample:  map[string]string{"route": `"/php"`, "address": `["unix:/run/php/php-fpm.sock"]`, "root": `"/srv/www"`, "split": `".php"`},
		check:   (*merge).checkUpstream,
	}
}

// upstreamOptions are the records of one entry of [[upstream]].
func upstreamOptions(entry int) []option {
	in := func(field func(*Upstream) any) func(*Config) any {
		return func(c *Config) any {
			for len(c.Upstreams) <= entry {
				c.Upstreams = append(c.Upstreams, Upstream{})
			}
			return field(&c.Upstreams[entry])
		}
	}
	wait := duration{time.Millisecond, 24 * time.Hour}
	return []option{
		{
			key: "route", kind: route{}, field: in(func(u *Upstream) any { return &u.Route }),
			help: "path that the responder's requests begin with; must be given",
			more: "`/php` takes `/php` and `/php/…`, not `/phpinfo`. Compared with the path after it was percent-decoded, once.",
		},
		{
			key: "address", kind: peers{}, field: in(func(u *Upstream) any { return &u.Addresses }),
			help: "where the responder listens; of several the least busy one is asked; must be given",
		},
		{
			key: "root", kind: responderPath{}, field: in(func(u *Upstream) any { return &u.Root }),
			help: "folder of the scripts (DOCUMENT_ROOT), as the responder sees it",
		},
		{
			key: "split", kind: suffix{}, field: in(func(u *Upstream) any { return &u.Split }),
			help: "end of a script's name, such as .php; empty: the responder has no files",
			more: "The path is split behind the first segment that ends so, in exactly these bytes: what is before it is SCRIPT_NAME, what follows is " +
				"PATH_INFO. Paths that could be read in another way get 404; see `docs/fastcgi.md`.",
		},
		{
			key: "index", kind: fileName{}, value: "index.php", field: in(func(u *Upstream) any { return &u.Index }),
			help: "script that a path with a slash at its end stands for; empty: none. Only with split",
		},
		{
			key: "script", kind: responderPath{}, field: in(func(u *Upstream) any { return &u.Script }),
			help: "SCRIPT_FILENAME of all requests; with split, only of those whose path names no script (a front controller)",
		},
		{
			key: "check_script", kind: words{"auto", "on", "off"}, value: "auto", field: in(func(u *Upstream) any { return &u.CheckScript }),
			help: "ask the responder for regular files under root only; auto: if root is a folder here",
			more: "Turn it off where `root` names another folder here than on the responder's side. Without it, `/uploads/photo.jpg/x.php` is sent on, and only " +
				"the responder's own settings keep it from running the photo (PHP: `cgi.fix_pathinfo=0`, and `security.limit_extensions` as it is by default).",
		},
		{
			key: "strip_prefix", kind: boolean{}, value: "false", field: in(func(u *Upstream) any { return &u.StripPrefix }),
			help: "leave route off the path before a file is looked for; it becomes the start of SCRIPT_NAME",
		},
		{
			key: "params", kind: stringTable{}, field: in(func(u *Upstream) any { return &u.Params }),
			help: "further parameters, or others in place of ours; an empty value removes one",
		},
		{
			key: "connections", kind: number{min: 1, max: 65535}, value: "64", field: in(func(u *Upstream) any { return &u.Connections }),
			help: "connections to each address, at most",
			more: "Each carries one request at a time. More than the responder has processes (`pm.max_children`) only wait there instead of here.",
		},
		{
			key: "keep_alive", kind: boolean{}, value: "false", field: in(func(u *Upstream) any { return &u.KeepAlive }),
			help: "keep connections open between requests (FCGI_KEEP_CONN)",
			more: "A process of php-fpm or fcgiwrap serves nobody else while a connection to it is open, so `connections` must not be more than there are processes.",
		},
		{
			key: "queue", kind: number{min: 0, max: 1_000_000}, value: "1024", field: in(func(u *Upstream) any { return &u.Queue }),
			help: "requests that may wait for a connection; more get 503",
		},
		{
			key: "queue_timeout", kind: wait, value: "10s", field: in(func(u *Upstream) any { return &u.QueueTimeout }),
			help: "time that a request may wait for a connection; then it gets 503",
		},
		{
			key: "connect_timeout", kind: wait, value: "5s", field: in(func(u *Upstream) any { return &u.ConnectTimeout }),
			help: "time to connect; then another address is tried",
		},
		{
			key: "first_byte_timeout", kind: wait, value: "60s", field: in(func(u *Upstream) any { return &u.FirstByteTimeout }),
			help: "time from the end of the request to the first byte of the answer; then 504",
		},
		{
			key: "read_timeout", kind: wait, value: "60s", field: in(func(u *Upstream) any { return &u.ReadTimeout }),
			help: "time in which the responder sends nothing more of its answer, or takes nothing of the request",
		},
		{
			key: "max_fails", kind: number{min: 0, max: 1_000_000}, value: "1", field: in(func(u *Upstream) any { return &u.MaxFails }),
			help: "failures within fail_timeout after which an address is left alone for that long; 0: never",
			more: "Failures are: cannot connect, time is up, ends without an answer, does not speak FastCGI. A single address is always tried.",
		},
		{
			key: "fail_timeout", kind: wait, value: "10s", field: in(func(u *Upstream) any { return &u.FailTimeout }),
			help: "see max_fails",
		},
		{
			key: "health", kind: health{}, value: "off", field: in(func(u *Upstream) any { return &u.Health }),
			help: "how addresses are looked at from time to time: off, connect, or a path such as /ping whose status must be below 400",
		},
		{
			key: "health_interval", kind: wait, value: "10s", field: in(func(u *Upstream) any { return &u.HealthInterval }),
			help: "time between two looks at an address",
		},
	}
}

// checkUpstream checks one entry after all of them were read.
func (m *merge) checkUpstream(entry int, label func(leaf string) string) error {
	u := &m.config.Upstreams[entry]
	switch {
	case u.Route == "":
		return fmt.Errorf("%s: is missing; write, for example, route = \"/php\"", label("route"))
	case len(u.Addresses) == 0:
		return fmt.Errorf("%s: is missing; write, for example, address = \"127.0.0.1:9000\"", label("address"))
	case u.Split != "" && u.Root == "":
		return fmt.Errorf("%s: needs root, the folder that the scripts are in", label("split"))
	case u.CheckScript == "on" && u.Split == "":
		return fmt.Errorf("%s: \"on\" needs root and split", label("check_script"))
	}
	for i := range entry {
		if m.config.Upstreams[i].Route == u.Route {
			return fmt.Errorf("%s: %s is in an entry before; one entry may have several addresses", label("route"), quote(u.Route))
		}
	}
	if u.Route == "/" && m.config.App.Target != "" {
		return fmt.Errorf("%s: \"/\" takes every request, so that none reaches the application %s (%s): remove one of them",
			label("route"), quote(m.config.App.Target), m.sources.Origin(keyTarget))
	}
	return nil
}

// WholeSite is whether an upstream or a folder takes every request, so that there is no application.
func (c *Config) WholeSite() bool {
	return slices.ContainsFunc(c.Upstreams, func(u Upstream) bool { return u.Route == "/" }) ||
		slices.ContainsFunc(c.Statics, func(s Static) bool { return s.Route == "/" && !s.Pass })
}

// route is a path prefix; the value has no slash at its end.
type route struct{}

func (k route) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if ok && s == "" && isText(raw) {
		return "", nil // the default: none
	}
	if !ok || !cleanPath(s) || strings.ContainsAny(s, "%?#") {
		return nil, errExpected(k, raw)
	}
	if s != "/" {
		s = strings.TrimSuffix(s, "/")
	}
	return s, nil
}
func (route) write(v any) string { return tomlString(v.(string)) }
func (route) argument() string   { return "PATH" }
func (route) expects() string {
	return `"/" or a path such as "/php", as it is after percent-decoding, without empty, "." and ".." segments`
}

func isText(raw any) bool {
	_, ok := raw.(text)
	return ok
}

// cleanPath is whether s is absolute and has one reading only.
func cleanPath(s string) bool {
	if s == "/" {
		return true
	}
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return false
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(s[1:], "/"), "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// responderPath is an absolute path on the responder's side, or "".
type responderPath struct{}

func (k responderPath) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || s != "" && !cleanPath(s) {
		return nil, errExpected(k, raw)
	}
	if s != "/" {
		s = strings.TrimSuffix(s, "/")
	}
	return s, nil
}
func (responderPath) write(v any) string { return tomlString(v.(string)) }
func (responderPath) argument() string   { return "PATH" }
func (responderPath) expects() string {
	return `"" or an absolute path on the responder's side, such as "/srv/www"`
}

// suffix is the end of a file's name, or "".
type suffix struct{}

func (k suffix) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || s != "" && (len(s) < 2 || s[0] != '.' || !plainName(s[1:]) || strings.TrimRight(s, ". ") != s) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (suffix) write(v any) string { return tomlString(v.(string)) }
func (suffix) argument() string   { return "SUFFIX" }
func (suffix) expects() string {
	return `"" or a dot and letters, such as ".php"`
}

// fileName is the name of a file, or "".
type fileName struct{}

func (k fileName) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || s != "" && !plainName(s) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (fileName) write(v any) string { return tomlString(v.(string)) }
func (fileName) argument() string   { return "NAME" }
func (fileName) expects() string    { return `"" or the name of a file, such as "index.php"` }

// plainName is whether s is one segment of a path, in printable ASCII.
func plainName(s string) bool {
	return s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' })
}

// health is "off", "connect" or a path.
type health struct{}

func (k health) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if ok && (s == "off" || s == "connect" || cleanPath(s) && !strings.ContainsAny(s, "%?#")) {
		return s, nil
	}
	return nil, errExpected(k, raw)
}
func (health) write(v any) string { return tomlString(v.(string)) }
func (health) argument() string   { return "off|connect|PATH" }
func (health) expects() string    { return `"off", "connect" or a path such as "/ping"` }

// peers is a list of addresses to connect to.
type peers struct{}

const peerForms = "host:port, [ipv6]:port or unix:/path"

func (k peers) read(raw any, base string) (any, error) {
	if raw == text("") {
		return []Address(nil), nil // the default: none
	}
	v, err := addresses{}.read(raw, base)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), addressForms, peerForms))
	}
	list := v.([]Address)
	for i, a := range list {
		if a.Network == "fd" || a.Network == "tcp" && strings.HasSuffix(a.Address, ":0") {
			return nil, fmt.Errorf("expected %s, got %s: nobody can be connected to there", peerForms, quote(a.String()))
		}
		if slices.Contains(list[:i], a) {
			return nil, fmt.Errorf("%s is named twice", quote(a.String()))
		}
	}
	return list, nil
}
func (peers) write(v any) string { return addresses{}.write(v) }
func (peers) argument() string   { return "ADDRESS" }
func (peers) expects() string    { return "an address or a list of them, each " + peerForms }

// stringTable is a table whose values are all text.
type stringTable struct{}

func (k stringTable) read(raw any, _ string) (any, error) {
	result := map[string]string{}
	if raw == text("") {
		return result, nil
	}
	table, ok := raw.(map[string]any)
	if !ok {
		return nil, errExpected(k, raw)
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		value, isString := table[name].(string)
		switch {
		case !isString:
			return nil, fmt.Errorf("expected a string for %s, got %s", quote(name), describe(table[name]))
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '=' }):
			return nil, fmt.Errorf("expected the name of a parameter, such as APP_ENV, got %s", quote(name))
		case strings.ContainsRune(value, 0):
			return nil, fmt.Errorf("expected a value without NUL for %s, got %s", quote(name), quote(value))
		}
		result[name] = value
	}
	return result, nil
}

func (stringTable) write(v any) string {
	table := v.(map[string]string)
	parts := make([]string, 0, len(table))
	for _, name := range slices.Sorted(maps.Keys(table)) {
		parts = append(parts, tomlString(name)+" = "+tomlString(table[name]))
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}
func (stringTable) argument() string { return "TABLE" }
func (stringTable) expects() string  { return `a table such as { APP_ENV = "production" }` }

// ParsePeer reads an address to connect to: host:port, [ipv6]:port or unix:/path, a relative path being taken from
// base.
func ParsePeer(s, base string) (Address, error) {
	v, err := peers{}.read(s, base)
	if err != nil {
		return Address{}, err
	}
	return v.([]Address)[0], nil
}
