package static

import (
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pyspeed/gateway/exchange"
)

// mostListed bounds a folder's page.
const mostListed = 10_000

// list answers with a folder's page: the names that may be asked for, folders first.
func (l *look) list() {
	s := l.responder.Site
	folder, err := s.root.Load().Open(l.name)
	if err != nil {
		say(l.w, http.StatusNotFound, nil, "")
		return
	}
	entries, err := folder.ReadDir(mostListed)
	_ = folder.Close() // it was only read
	if err != nil && len(entries) == 0 && !strings.Contains(err.Error(), "EOF") {
		s.set.log.Error("cannot list a folder", "folder", l.name, "cause", err)
		l.w.Abort(http.StatusServiceUnavailable, "")
		return
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.IsDir() != b.IsDir() {
			if a.IsDir() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name(), b.Name())
	})
	title := html.EscapeString(string(l.x.Request.Path))
	var b strings.Builder
	b.WriteString("<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>" + title + "</title></head>\n<body><h1>" + title + "</h1>\n<ul>\n")
	if l.name != "." {
		b.WriteString("<li><a href=\"../\">../</a></li>\n")
	}
	for _, e := range entries {
		n := e.Name()
		if !allowed([]byte(n), s.Hidden) || !s.Sources && source(n) || !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		if e.IsDir() {
			n += "/"
		}
		// "./" keeps a name with a colon from being read as a scheme; there is none, but the rule is cheap (RFC 3986 §4.2).
		b.WriteString("<li><a href=\"./" + html.EscapeString((&url.URL{Path: n}).EscapedPath()) + "\">" + html.EscapeString(n) + "</a></li>\n")
	}
	b.WriteString("</ul></body></html>\n")
	fields := []exchange.Field{field("Content-Type", "text/html; charset=utf-8"), field("Cache-Control", "no-cache")}
	if l.w.Answer(http.StatusOK, fields, []byte(b.String())) != nil {
		l.w.Abort(http.StatusInternalServerError, "")
	}
}
