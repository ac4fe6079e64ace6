package cache

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestDirectives(t *testing.T) {
	f := func(value string, want func(d *Directives)) {
		t.Helper()
		got, expected := noDirectives, noDirectives
		got.add([]byte(value))
		expected.Said = true
		want(&expected)
		if got != expected {
			t.Errorf("%q: %+v, want %+v", value, got, expected)
		}
	}
	f("no-store", func(d *Directives) { d.NoStore = true })
	f("No-Cache , MAX-AGE=5", func(d *Directives) { d.NoCache, d.MaxAge = true, 5 })
	f(`private="a, no-store", s-maxage="7"`, func(d *Directives) { d.Private, d.SMaxAge = true, 7 })
	f(`x="\", no-store", public`, func(d *Directives) { d.Public = true })
	f("max-age = 5", func(d *Directives) { d.MaxAge = 5 })
	f("max-age=5, max-age=3", func(d *Directives) { d.MaxAge = 3 })
	f("max-age=-5", func(d *Directives) { d.MaxAge = 0 })
	f("max-age", func(d *Directives) { d.MaxAge = 0 })
	f("max-age=5.5", func(d *Directives) { d.MaxAge = 0 })
	f("max-age=4294967296", func(d *Directives) { d.MaxAge = forever })
	f("max-stale", func(d *Directives) { d.MaxStale = forever })
	f("max-stale=9, min-fresh=3, min-fresh=4", func(d *Directives) { d.MaxStale, d.MinFresh = 9, 4 })
	f("stale-while-revalidate=1, stale-if-error=2", func(d *Directives) { d.StaleWhileRevalidate, d.StaleIfError = 1, 2 })
	f("must-revalidate, proxy-revalidate, must-understand, only-if-cached", func(d *Directives) {
		d.MustRevalidate, d.ProxyRevalidate, d.MustUnderstand, d.OnlyIfCached = true, true, true, true
	})
	f("max-agee=5, nostore", func(*Directives) {})
	f(`max-age="60`, func(d *Directives) { d.MaxAge = 60 })
}

func TestTargeted(t *testing.T) {
	f := func(value string, want bool, say func(d *Directives)) {
		t.Helper()
		got, expected := noDirectives, noDirectives
		if ok := got.targeted([]byte(value)); ok != want {
			t.Errorf("%q: %v", value, ok)
			return
		}
		if want {
			expected.Said = true
			say(&expected)
		}
		if got != expected {
			t.Errorf("%q: %+v, want %+v", value, got, expected)
		}
	}
	f("max-age=600", true, func(d *Directives) { d.MaxAge = 600 })
	f("max-age=600, max-age=5", true, func(d *Directives) { d.MaxAge = 5 })
	f("no-store, private;x=1;y", true, func(d *Directives) { d.NoStore, d.Private = true, true })
	f("no-store=?0, public=?1", true, func(d *Directives) { d.Public = true })
	f(`a="x\"", b=tok/en, c=1.5, max-age=7`, true, func(d *Directives) { d.MaxAge = 7 })
	f("max-age=-1", true, func(d *Directives) { d.MaxAge = 0 })
	for _, bad := range []string{"", " ", "max-age=", "Max-Age=5", "no-store,", "a=?2", `a="x`, "a=1234567890123456789", ",", "a b", "a=(1 2)"} {
		f(bad, false, nil)
	}
}

var known = regexp.MustCompile(`(?i)^[ \t]*(no-store|private|no-cache|max-age|s-maxage)[ \t]*(=[^,"]*)?$`)

// FuzzCacheControl: the parser ends, reads nothing out of quotes, and never takes an answer for one that may be shared where
// plain reading finds a directive against that.
func FuzzCacheControl(f *testing.F) {
	for _, seed := range []string{"max-age=60", `private="a,b", no-store`, "=,=,", `"`, `a="\`, "max-age=99999999999999999999, ,public", "no-cache=\"x\" y, z"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		d := noDirectives
		d.add(value)
		for _, n := range []int64{d.MaxAge, d.SMaxAge, d.StaleWhileRevalidate, d.StaleIfError, d.MinFresh, d.MaxStale} {
			if n < none || n > forever {
				t.Fatalf("%q: a time of %d s", value, n)
			}
		}
		twice := d
		twice.add(value)
		if twice != d {
			t.Errorf("%q: read twice %+v is %+v", value, d, twice)
		}
		if bytes.IndexByte(value, '"') < 0 {
			// Without quotes a list is what lies between commas.
			for part := range strings.SplitSeq(string(value), ",") {
				m := known.FindStringSubmatch(part)
				if m == nil {
					continue
				}
				switch strings.ToLower(m[1]) {
				case "no-store":
					if !d.NoStore {
						t.Errorf("%q: no-store was not seen", value)
					}
				case "private":
					if !d.Private {
						t.Errorf("%q: private was not seen", value)
					}
				case "no-cache":
					if !d.NoCache {
						t.Errorf("%q: no-cache was not seen", value)
					}
				case "max-age":
					if d.MaxAge == none {
						t.Errorf("%q: max-age was not seen", value)
					}
				}
			}
		}
		other := noDirectives
		if other.targeted(value) && !other.Said {
			t.Errorf("%q: a dictionary that says nothing counts", value)
		}
	})
}

// FuzzKey: two requests have the same URI exactly if they are for the same host, path and query.
func FuzzKey(f *testing.F) {
	f.Add("a.b", "/x", "q", "A.B", "/%78", "q")
	f.Add("a", "/%2f", "", "a", "//", "")
	f.Fuzz(func(t *testing.T, host, path, query, otherHost, otherPath, otherQuery string) {
		if strings.ContainsAny(host+otherHost, "/?:@%") || !strings.HasPrefix(path, "/") || !strings.HasPrefix(otherPath, "/") || strings.ContainsAny(path+otherPath, "?\n") {
			return
		}
		key := func(host, path, query string) string {
			x, _ := newExchange("GET /", nil)
			q := &x.Request
			q.Authority, q.RawPath, q.Query = []byte(host), []byte(path), []byte(query)
			return string(appendURI(nil, q, nil))
		}
		same := asciiLower(host) == asciiLower(otherHost) && string(appendPath(nil, []byte(path))) == string(appendPath(nil, []byte(otherPath))) && query == otherQuery
		if got := key(host, path, query) == key(otherHost, otherPath, otherQuery); got != same {
			t.Errorf("%q %q %q and %q %q %q: the same %v", host, path, query, otherHost, otherPath, otherQuery, got)
		}
	})
}

func asciiLower(s string) string { return string(appendLower(nil, []byte(s))) }

func TestPathOfKey(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		if got := string(appendPath(nil, []byte(path))); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
	f("/a", "/a")
	f("/%61%7E", "/a~")
	f("/%2f%c3%a9", "/%2F%C3%A9")
	f("/%", "/%")
	f("/%4", "/%4")
	f("/%zz", "/%zz")
	f("/a/../b", "/a/../b") // applications see the path as it was sent
}

func TestRulePaths(t *testing.T) {
	f := func(pattern, path string, want bool) {
		t.Helper()
		if got := (&Rule{Path: pattern}).match([]byte(path)); got != want {
			t.Errorf("%s has %s: %v", pattern, path, got)
		}
	}
	f("/", "/x", true)
	f("/a", "/a", true)
	f("/a", "/a/b", true)
	f("/a", "/ab", false)
	f("/a/", "/a", true)
	f("/a/*", "/a/b", true)
	f("/a/*", "/a/b/c", false)
	f("/a/**", "/a/b/c", true)
	f("/a/**/c", "/a/x/y/c", true)
	f("/a/**/c", "/a/x/y/d", false)
	f("/*.html", "/x.html", true)
	f("/*.html", "/x/y.html", false)
	f("/**.html", "/x/y.html", true)
	f("/*/x/*", "/a/x/b", true)
	f("/*a*b", "/xaxab", true)
	f("/a*", "/a", true)
	f("/"+strings.Repeat("**a", 20)+"b", "/"+strings.Repeat("a", 2000), false) // and that soon
}

// TestHeuristic: what says nothing of its freshness is fresh for a tenth of its age, where that is turned on (RFC 9111 §4.2.2).
func TestHeuristic(t *testing.T) {
	r := newRig(t)
	play(t, r, `
		< 200 | Last-Modified: {-1000s}
		> GET /off
		> GET /off
		= app 200`)
	r.settings.Heuristic = true
	play(t, r, `
		< 200 | Last-Modified: {-1000s}
		> GET /
		+ 90s
		> GET /
		= cache 200
		+ 20s
		> GET /
		= app 200
		> GET /cookie | Cookie: a=b
		> GET /cookie | Cookie: a=b
		= app 200
		< 302 | Last-Modified: {-1000s}
		> GET /status
		> GET /status
		= app 302`)
}

// TestClientsMayBeIgnored: without client_control no client has the application asked for what is fresh.
func TestClientsMayBeIgnored(t *testing.T) {
	r := newRig(t)
	r.settings.ClientControl = false
	play(t, r, `
		< 200 | Cache-Control: max-age=60
		> GET /
		> GET / | Cache-Control: no-cache
		= cache 200
		> GET / | Cache-Control: max-age=0
		= cache 200
		> GET / | Pragma: no-cache
		= cache 200`)
}

// TestRuleTerms: what a rule adds, and what it does not.
func TestRuleTerms(t *testing.T) {
	r := newRig(t)
	r.settings.Rules = []Rule{
		{Path: "/over", TTL: 60e9, Override: true, StaleWhileRevalidate: 30e9, StaleIfError: 60e9},
		{Path: "/", TTL: 60e9},
	}
	play(t, r, `
		< 200
		> GET /a
		+ 59s
		> GET /a
		= cache 200
		+ 2s
		> GET /a
		= app 200
		< 200 | Cache-Control: max-age=5
		> GET /own
		+ 6s
		> GET /own
		= app 200
		< 200 | Cache-Control: no-cache
		> GET /no-cache
		> GET /no-cache
		= app 200
		> GET /over
		+ 6s
		> GET /over
		= cache 200
		< 200 | Cache-Control: no-store
		> GET /over/no-store
		> GET /over/no-store
		= app 200
		< 404
		> GET /none
		> GET /none
		= app 404
		< 200 | Content-Type: text/html
		> GET /account/x.css
		> GET /account/x.css
		= app 200
		< 200 | Content-Type: text/css
		> GET /x.css
		> GET /x.css
		= cache 200`)
}
