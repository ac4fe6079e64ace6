package config

import (
	"fmt"
	"slices"
	"strings"
)

// Static is one entry of [[static]]: a folder whose files are served without a worker.
type Static struct {
	Route                   string   // "/", or a path without a slash at its end
	Root                    string   // absolute
	Index                   []string // names
	Fallback, NotFound      string   // below Root; "": none
	Listing, Pass           bool
	Headers                 map[string]string // not nil
	CacheControl            string
	Immutable               bool
	Precompressed, Compress bool
	Hidden, Sources         bool
	FollowSymlinks          bool
	Charset                 string
}

const staticTable = "static"

func statics() *list {
	return &list{
		table: staticTable, title: "Static files", applies: AtRestart,
		help: "Folders whose files are served without asking a worker",
		more: "One table for each; see `docs/static.md`. The longest `route` that a path begins with, in whole segments, wins, upstreams included. The flag " +
			"`--static ROUTE=DIR` adds an entry with defaults.",
		options: staticOptions,
		length:  func(c *Config) int { return len(c.Statics) },
		sample:  map[string]string{"route": `"/static"`, "root": `"static"`},
		check:   (*merge).checkStatic,
	}
}

// staticOptions are the records of one entry of [[static]].
func staticOptions(entry int) []option {
	in := func(field func(*Static) any) func(*Config) any {
		return func(c *Config) any {
			for len(c.Statics) <= entry {
				c.Statics = append(c.Statics, Static{})
			}
			return field(&c.Statics[entry])
		}
	}
	return []option{
		{
			key: "route", kind: route{}, field: in(func(s *Static) any { return &s.Route }),
			help: "path that the files' paths begin with; must be given",
			more: "Compared with the path after it was percent-decoded, once.",
		},
		{
			key: "root", kind: filePath{"the path of a folder", checkDirectory, isEmpty}, field: in(func(s *Static) any { return &s.Root }),
			help: "folder of the files; must be given",
			more: "Nothing outside of it is served: neither dots nor symbolic links lead out.",
		},
		{
			key: "index", kind: texts{"names of files", plainName}, value: "index.html", field: in(func(s *Static) any { return &s.Index }),
			help: "files that stand for their folder, the first that is there",
		},
		{
			key: "fallback", kind: localName{}, field: in(func(s *Static) any { return &s.Fallback }),
			help: "file below root for paths without one, where the client asks for a page (single page applications)",
		},
		{
			key: "not_found", kind: localName{}, field: in(func(s *Static) any { return &s.NotFound }),
			help: "file below root that is the body of 404; not with pass",
		},
		{
			key: "listing", kind: boolean{}, value: "false", field: in(func(s *Static) any { return &s.Listing }),
			help: "list folders that have no index",
		},
		{
			key: "pass", kind: boolean{}, value: "false", field: in(func(s *Static) any { return &s.Pass }),
			help: "give what has no file, and all methods but GET and HEAD, to the application, instead of 404 and 405",
		},
		{
			key: "headers", kind: stringTable{}, field: in(func(s *Static) any { return &s.Headers }),
			help: "further header fields of files, or others in place of ours",
		},
		{
			key: "cache_control", kind: fieldValue{}, field: in(func(s *Static) any { return &s.CacheControl }),
			help: "Cache-Control of files, such as \"public, max-age=3600\"; empty: none, so that browsers ask again with the ETag",
		},
		{
			key: "immutable", kind: boolean{}, value: "true", field: in(func(s *Static) any { return &s.Immutable }),
			help: "files whose name has a hash, such as app.3f9a1c2b.js, may be kept for a year (RFC 8246)",
		},
		{
			key: "precompressed", kind: boolean{}, value: "true", field: in(func(s *Static) any { return &s.Precompressed }),
			help: "serve NAME.br, NAME.zst and NAME.gz beside a file as its encodings",
		},
		{
			key: "compress", kind: boolean{}, value: "true", field: in(func(s *Static) any { return &s.Compress }),
			help: "encode text that is asked for often once, in memory",
		},
		{
			key: "hidden", kind: boolean{}, value: "false", field: in(func(s *Static) any { return &s.Hidden }),
			help: "serve names that begin with a dot; .well-known is served in any case",
		},
		{
			key: "sources", kind: boolean{}, value: "false", field: in(func(s *Static) any { return &s.Sources }),
			help: "serve programs and what editors leave behind: .py, .pyc, .php, .bak, .sqlite3 and the like",
		},
		{
			key: "follow_symlinks", kind: boolean{}, value: "false", field: in(func(s *Static) any { return &s.FollowSymlinks }),
			help: "let symbolic links lead out of root",
		},
		{
			key: "charset", kind: name{"the name of a charset, or \"\""}, value: "utf-8", field: in(func(s *Static) any { return &s.Charset }),
			help: "charset of text files; empty: not said",
		},
	}
}

// checkStatic checks one entry after all of them were read.
func (m *merge) checkStatic(entry int, label func(leaf string) string) error {
	s := &m.config.Statics[entry]
	switch {
	case s.Route == "":
		return fmt.Errorf("%s: is missing; write, for example, route = \"/static\"", label("route"))
	case s.Root == "":
		return fmt.Errorf("%s: is missing; write, for example, root = \"static\"", label("root"))
	}
	if err := checkDirectory(s.Root); err != nil {
		return fmt.Errorf("%s: %w", label("root"), err)
	}
	for name, value := range s.Headers {
		if !isToken(name) || !printable(value) {
			return fmt.Errorf("%s: %s is no header field (RFC 9110 §5.1, §5.5)", label("headers"), quote(name+": "+value))
		}
	}
	same := func(other string) bool { return other == s.Route }
	if slices.ContainsFunc(m.config.Statics[:entry], func(o Static) bool { return same(o.Route) }) || slices.ContainsFunc(m.config.Upstreams, func(u Upstream) bool { return same(u.Route) }) {
		return fmt.Errorf("%s: %s is in an entry before, or an upstream's", label("route"), quote(s.Route))
	}
	if s.Route == "/" && !s.Pass && m.config.App.Target != "" {
		return fmt.Errorf("%s: \"/\" takes every request, so that none reaches the application %s (%s); add pass = true, or choose another route",
			label("route"), quote(m.config.App.Target), m.sources.Origin(keyTarget))
	}
	return nil
}

// isToken is whether s is a field name (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// fieldValue is the value of a header field, or "".
type fieldValue struct{}

func (k fieldValue) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || !printable(s) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (fieldValue) write(v any) string { return tomlString(v.(string)) }
func (fieldValue) argument() string   { return "VALUE" }
func (fieldValue) expects() string    { return "the value of a header field" }

// localName is a slash-separated path below a folder, or "".
type localName struct{}

func (k localName) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || s != "" && (!cleanPath("/"+s) || strings.HasSuffix(s, "/") || strings.HasPrefix(s, "/")) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (localName) write(v any) string { return tomlString(v.(string)) }
func (localName) argument() string   { return "NAME" }
func (localName) expects() string    { return `"" or the path of a file below root` }

// addStatic takes the ROUTE=DIR of --static.
func (p *flagParser) addStatic(flag, value string) error {
	at, dir, ok := strings.Cut(value, "=")
	if !ok || at == "" || dir == "" {
		return fmt.Errorf("%s: expected ROUTE=DIR, such as /static=public, got %s", flag, quote(value))
	}
	if _, err := (route{}).read(text(at), ""); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	p.result.statics = append(p.result.statics, [2]string{at, dir})
	return nil
}

// staticSettings are the entries that flags add behind those of the file, of which there are so many already.
func staticSettings(flags [][2]string, already int, dir string) []setting {
	var settings []setting
	for i, f := range flags {
		records := staticOptions(already + i)
		for j := range records {
			o := records[j]
			leaf := o.key
			o.key = statics().entryKey(already+i, leaf)
			s := setting{option: &o, raw: text(o.value), base: dir, origin: Origin{Kind: "default"}, label: "--static"}
			switch leaf {
			case "route":
				s.raw, s.origin = text(f[0]), Origin{Kind: "flag", Name: "--static"}
			case "root":
				s.raw, s.origin = text(f[1]), Origin{Kind: "flag", Name: "--static"}
			}
			settings = append(settings, s)
		}
	}
	return settings
}
