package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cache says what is kept of the applications' answers.
type Cache struct {
	Enabled        bool
	Size, MaxEntry int64
	Wait           time.Duration
	Heuristic      bool
	ShareCookies   bool
	ClientControl  bool
	Status         bool
	StripTags      bool
	PurgeOnReload  bool
	Shared         bool
}

// CacheRoute is one entry of [[cache_route]]: what holds for a part of the paths.
type CacheRoute struct {
	Path                               string // a prefix, or a pattern with *
	Off                                bool
	TTL                                time.Duration
	Override                           bool
	StaleWhileRevalidate, StaleIfError time.Duration
	Statuses                           []int
	QueryOnly, QueryIgnore             []string
	Headers                            []string // lower case
	RemoveCookies, RemoveSetCookie     bool
}

// cacheOptions are the records of [cache].
func cacheOptions() []option {
	return []option{
		{
			key: "cache.enabled", applies: AtOnce, kind: boolean{}, value: "false", flags: []string{"--cache"},
			field: func(c *Config) any { return &c.Cache.Enabled },
			help:  "keep answers of the application that others may have too, as their Cache-Control says, and answer with them (RFC 9111)",
			more:  "See `docs/cache.md`. Paths whose answers do not say anything are kept by `[[cache_route]]`.",
		},
		{
			key: "cache.size", applies: AtOnce, kind: size{64 << 10, 1 << 40}, value: "64MiB", flags: []string{"--cache-size"},
			field: func(c *Config) any { return &c.Cache.Size },
			help:  "memory for what is kept",
		},
		{
			key: "cache.max_entry", applies: AtOnce, kind: size{1, 1 << 30}, value: "1MiB", flags: []string{"--cache-max-entry"},
			field: func(c *Config) any { return &c.Cache.MaxEntry },
			help:  "largest body that is kept",
			more:  "An answer is gathered in memory before it is kept, which counts against `server.buffer_budget`.",
		},
		{
			key: "cache.wait", applies: AtOnce, kind: duration{time.Millisecond, time.Hour}, value: "10s",
			field: func(c *Config) any { return &c.Cache.Wait },
			help:  "longest that a request waits for the answer to another one for the same; then it goes to the application itself",
		},
		{
			key: "cache.heuristic", applies: AtOnce, kind: boolean{}, value: "false",
			field: func(c *Config) any { return &c.Cache.Heuristic },
			help:  "keep answers that do not say for how long for a tenth of the time since their Last-Modified, a day at most (RFC 9111 §4.2.2)",
		},
		{
			key: "cache.share_cookies", applies: AtOnce, kind: boolean{}, value: "false",
			field: func(c *Config) any { return &c.Cache.ShareCookies },
			help:  "keep and give answers to requests with cookies also where they say no more than max-age, as the RFC allows",
			more:  "Without it such an answer has to say that it is for all: `public`, `s-maxage`, `CDN-Cache-Control`, or `Vary: Cookie`.",
		},
		{
			key: "cache.client_control", applies: AtOnce, kind: boolean{}, value: "true",
			field: func(c *Config) any { return &c.Cache.ClientControl },
			help:  "obey Cache-Control of requests: no-cache, max-age, min-fresh, max-stale, only-if-cached",
			more:  "Turned off, no client can have the application asked for what is kept and fresh. `no-store` counts in any case.",
		},
		{
			key: "cache.status", applies: AtOnce, kind: boolean{}, value: "true",
			field: func(c *Config) any { return &c.Cache.Status },
			help:  "say in Cache-Status what the cache did (RFC 9211)",
		},
		{
			key: "cache.strip_tags", applies: AtOnce, kind: boolean{}, value: "true",
			field: func(c *Config) any { return &c.Cache.StripTags },
			help:  "keep Cache-Tag and Surrogate-Key from clients",
		},
		{
			key: "cache.purge_on_reload", applies: AtOnce, kind: boolean{}, value: "false",
			field: func(c *Config) any { return &c.Cache.PurgeOnReload },
			help:  "forget all answers when new workers have taken over; under reload.enabled that is so in any case",
		},
		{
			key: keyCacheShared, applies: AtRestart, kind: boolean{}, value: "false",
			field: func(c *Config) any { return &c.Cache.Shared },
			help:  "share answers, and what is purged, with the gateways that have the same [redis]",
			more:  "Each keeps its own memory in front of it. While Redis is down that is all there is. See `docs/cache.md`.",
		},
	}
}

const keyCacheShared = "cache.shared"

const cacheRouteTable = "cache_route"

func cacheRoutes() *list {
	return &list{
		table: cacheRouteTable, title: "Cache routes", applies: AtRestart,
		help: "What the cache does with a part of the paths, whatever the application says or does not say",
		more: "One table for each; see `docs/cache.md`. The flag `--cache-route PATH=TTL` adds an entry with defaults. The first whose `path` matches counts. What is not part of the key is not given to the application either. " +
			"Answers that are private, no-store, or set cookies are never kept; those that are kept by `ttl` are neither given to nor taken from requests with cookies or credentials.",
		options: cacheRouteOptions,
		length:  func(c *Config) int { return len(c.CacheRoutes) },
		sample:  map[string]string{"path": `"/products"`, "ttl": `"1m"`},
		check:   (*merge).checkCacheRoute,
	}
}

// cacheRouteOptions are the records of one entry of [[cache_route]].
func cacheRouteOptions(entry int) []option {
	in := func(field func(*CacheRoute) any) func(*Config) any {
		return func(c *Config) any {
			for len(c.CacheRoutes) <= entry {
				c.CacheRoutes = append(c.CacheRoutes, CacheRoute{})
			}
			return field(&c.CacheRoutes[entry])
		}
	}
	long := duration{0, 10 * 365 * 24 * time.Hour}
	return []option{
		{
			key: "path", kind: pathPattern{}, field: in(func(r *CacheRoute) any { return &r.Path }),
			help: "paths that begin so, in whole segments; or a pattern: * stands for anything but a slash, ** for anything; must be given",
			more: "Compared with the path after it was percent-decoded, once.",
		},
		{
			key: "off", kind: boolean{}, value: "false", field: in(func(r *CacheRoute) any { return &r.Off }),
			help: "keep the cache out of it",
		},
		{
			key: "ttl", kind: long, value: "0", field: in(func(r *CacheRoute) any { return &r.TTL }),
			help: "how long answers are fresh that do not say so themselves; 0: not at all",
		},
		{
			key: "override", kind: boolean{}, value: "false", field: in(func(r *CacheRoute) any { return &r.Override }),
			help: "ttl counts although the answer says another time, or no-cache",
		},
		{
			key: "stale_while_revalidate", kind: long, value: "0", field: in(func(r *CacheRoute) any { return &r.StaleWhileRevalidate }),
			help: "how long an answer of ttl is given after that, while the application is asked for a new one",
		},
		{
			key: "stale_if_error", kind: long, value: "0", field: in(func(r *CacheRoute) any { return &r.StaleIfError }),
			help: "how long an answer of ttl is given after that where the application fails",
		},
		{
			key: "statuses", kind: statusList{}, value: "200,203,301,308", field: in(func(r *CacheRoute) any { return &r.Statuses }),
			help: "statuses of the answers that ttl is for",
		},
		{
			key: "query_only", kind: texts{"names of parameters", nil}, value: "", field: in(func(r *CacheRoute) any { return &r.QueryOnly }),
			help: "the only parameters of the query that answers differ by, where there are any; a name may end with *",
			more: "All others are not given to the application.",
		},
		{
			key: "query_ignore", kind: texts{"names of parameters", nil}, value: "", field: in(func(r *CacheRoute) any { return &r.QueryIgnore }),
			help: "parameters of the query that answers do not differ by, such as utm_*; * alone: all",
			more: "They are not given to the application.",
		},
		{
			key: "headers", kind: texts{"names of request fields in lower case", lowerToken}, value: "", field: in(func(r *CacheRoute) any { return &r.Headers }),
			help: "request fields that answers differ by although their Vary does not say so",
		},
		{
			key: "remove_cookies", kind: boolean{}, value: "false", field: in(func(r *CacheRoute) any { return &r.RemoveCookies }),
			help: "keep the clients' cookies from the application, so that answers cannot depend on them",
		},
		{
			key: "remove_set_cookie", kind: boolean{}, value: "false", field: in(func(r *CacheRoute) any { return &r.RemoveSetCookie }),
			help: "take the cookies from answers, which are kept then",
		},
	}
}

// addCacheRoute takes the PATH=TTL of --cache-route.
func (p *flagParser) addCacheRoute(flag, value string) error {
	path, ttl, ok := cutLastByte(value, '=')
	if !ok || path == "" || ttl == "" {
		return fmt.Errorf("%s: expected PATH=TTL, such as /products=1m, got %s", flag, quote(value))
	}
	for _, o := range cacheRouteOptions(0) {
		raw := map[string]string{"path": path, "ttl": ttl}[o.key]
		if raw == "" {
			continue
		}
		if _, err := o.kind.read(text(raw), ""); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	p.result.cached = append(p.result.cached, [2]string{path, ttl})
	return nil
}

// cutLastByte cuts at the last one: a path may have others.
func cutLastByte(s string, at byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, at)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// cacheRouteSettings are the entries that flags add behind those of the file, of which there are so many already.
func cacheRouteSettings(flags [][2]string, already int, dir string) []setting {
	var settings []setting
	for i, f := range flags {
		records := cacheRouteOptions(already + i)
		for j := range records {
			o := records[j]
			leaf := o.key
			o.key = cacheRoutes().entryKey(already+i, leaf)
			s := setting{option: &o, raw: text(o.value), base: dir, origin: Origin{Kind: "default"}, label: "--cache-route"}
			switch leaf {
			case "path":
				s.raw, s.origin = text(f[0]), Origin{Kind: "flag", Name: "--cache-route"}
			case "ttl":
				s.raw, s.origin = text(f[1]), Origin{Kind: "flag", Name: "--cache-route"}
			}
			settings = append(settings, s)
		}
	}
	return settings
}

func lowerToken(s string) bool { return isToken(s) && s == strings.ToLower(s) }

// checkCacheRoute checks one entry after all of them were read.
func (m *merge) checkCacheRoute(entry int, label func(leaf string) string) error {
	r := &m.config.CacheRoutes[entry]
	switch {
	case r.Path == "":
		return fmt.Errorf("%s: is missing; write, for example, path = \"/products\"", label("path"))
	case r.Override && r.TTL == 0:
		return fmt.Errorf("%s: there is no ttl that could count; set ttl", label("override"))
	case slices.ContainsFunc(m.config.CacheRoutes[:entry], func(o CacheRoute) bool { return o.Path == r.Path }):
		return fmt.Errorf("%s: %s is in an entry before, which is the one that counts", label("path"), quote(r.Path))
	}
	return nil
}

// pathPattern is the path of a cache route.
type pathPattern struct{}

func (k pathPattern) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if ok && s == "" && isText(raw) {
		return "", nil // the default: none
	}
	if !ok || !strings.HasPrefix(s, "/") || strings.ContainsAny(s, "?#") || strings.Contains(s, "***") || !printable(s) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (pathPattern) write(v any) string { return tomlString(v.(string)) }
func (pathPattern) argument() string   { return "PATH" }
func (pathPattern) expects() string {
	return `a path that begins with "/", in which * and ** may stand for others`
}

// statusList is an array of status codes; flags and variables separate them by commas.
type statusList struct{}

func (k statusList) read(raw any, _ string) (any, error) {
	list := []int{}
	add := func(n int64) bool {
		list = append(list, int(n))
		return n >= 200 && n <= 599 && n != 206 && n != 304
	}
	switch v := raw.(type) {
	case text:
		for s := range strings.SplitSeq(string(v), ",") {
			if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err != nil || !add(n) {
				return nil, errExpected(k, raw)
			}
		}
	case []any:
		for _, e := range v {
			if n, ok := e.(int64); !ok || !add(n) {
				return nil, errExpected(k, e)
			}
		}
	default:
		return nil, errExpected(k, raw)
	}
	if len(list) == 0 {
		return nil, errExpected(k, raw)
	}
	return list, nil
}

func (statusList) write(v any) string {
	var all []string
	for _, n := range v.([]int) {
		all = append(all, strconv.Itoa(n))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
func (statusList) argument() string { return "LIST" }
func (statusList) expects() string {
	return "an array of status codes from 200 to 599, without 206 and 304"
}
