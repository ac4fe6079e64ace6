package static

import (
	"net/http"
	"path"
	"strings"

	"pyspeed/gateway/exchange"
)

// look is a request that needs the disk. Its goroutine finds the file and sends it.
type look struct {
	sender
	responder responder
	d         *exchange.Detached
	x         *exchange.Exchange // d's
	name      string
	what      verdict
	known     *entry // what is known under the path: without the body, or old
	f         *file  // of what was found, if that is on the disk only
}

// begin starts a look. Called by the edge.
func begin(r responder, x *exchange.Exchange, name string, what verdict, known *entry) {
	d := exchange.Detach(x)
	l := &look{responder: r, d: d, x: &d.Exchange, name: name, what: what, known: known}
	l.w = d.Writer
	l.room.L = &l.mu
	go l.run()
}

// Respond implements exchange.Responder: the answer is this one's.
func (l *look) Respond(x *exchange.Exchange) { x.Source = l }

// run is the look's goroutine.
func (l *look) run() {
	slots := l.responder.slots
	slots <- struct{}{}
	e, status := l.again()
	if e == nil {
		e, status = l.find()
	}
	<-slots
	defer l.close()
	if e == nil && status == http.StatusNotFound && l.responder.Pass {
		l.d.Give(l.responder.next)
		return
	}
	l.d.Give(l)
	switch {
	case e == nil:
		l.none(status)
	case status != http.StatusOK:
		l.error(e, status)
	default:
		l.serve(e)
	}
}

// again goes by what is known; nil: it has changed.
func (l *look) again() (*entry, int) {
	if l.known == nil || !l.known.serves(&l.x.Request) {
		return nil, 0
	}
	v := l.known.pick(&l.x.Request)
	if v.body != nil { // by now
		return l.known, http.StatusOK
	}
	if l.f = l.known.open(v); l.f == nil {
		return nil, 0
	}
	if l.known.admit(v, l.f) != nil {
		l.close()
	}
	return l.known, http.StatusOK
}

func (l *look) close() {
	if l.f != nil {
		l.f.close()
		l.f = nil
	}
}

// find finds what the path names. Without an entry there is a status for an answer; 301: a folder that lacks its slash.
func (l *look) find() (*entry, int) {
	s := l.responder.Site
	if l.what == isFile || l.what == isFolder {
		names := []string{l.name}
		if l.what == isFolder {
			names = names[:0]
			for _, i := range s.Index {
				names = append(names, strings.TrimPrefix(l.name+"/"+i, "./"))
			}
		}
		for _, n := range names {
			e, f, folder, err := s.find(&question{name: n, beside: encoded(&l.x.Request), known: l.known, now: l.x.Accepted})
			l.f = f
			switch {
			case err != nil:
				s.set.log.Error("cannot serve a static file", "cause", err)
				return nil, http.StatusServiceUnavailable
			case folder && l.what == isFile:
				if l.isSite(n) {
					return nil, http.StatusMovedPermanently
				}
			case e != nil:
				e.key = string(l.x.Request.Path)
				s.set.keep(e.key, e)
				return e, http.StatusOK
			}
		}
		if l.what == isFolder && s.Listing {
			if l.folder(l.name) {
				return nil, http.StatusOK
			}
		}
	}
	if s.Fallback != "" && asksForPage(&l.x.Request) {
		if e := l.page(s.Fallback, "Accept"); e != nil {
			return e, http.StatusOK
		}
	}
	if s.NotFound != "" && !s.Pass {
		if e := l.page(s.NotFound, ""); e != nil {
			return e, http.StatusNotFound
		}
	}
	return nil, http.StatusNotFound
}

// page finds a file that stands for many paths; nil: it is not there. varies is what else of the request chose it.
func (l *look) page(name, varies string) *entry {
	s := l.responder.Site
	key := s.Route + "\x00" + varies + "\x00" + name // no path has a NUL
	if l.known = s.set.recall([]byte(key)); l.known != nil {
		l.known.recheck(l.x.Accepted)
		if e, _ := l.again(); e != nil {
			return e
		}
	}
	e, f, _, err := s.find(&question{name: name, beside: encoded(&l.x.Request), varies: varies, known: l.known, now: l.x.Accepted})
	if err != nil || e == nil {
		return nil
	}
	l.f = f
	e.key = key
	s.set.keep(key, e)
	return e
}

// folder is whether a name is that of a folder.
func (l *look) folder(name string) bool {
	f, err := l.responder.openFile(name)
	if err != nil {
		return false
	}
	f.close()
	return f.folder
}

// isSite is whether a folder is one to be shown: it has an index, or is listed.
func (l *look) isSite(folder string) bool {
	s := l.responder.Site
	if s.Listing {
		return true
	}
	for _, i := range s.Index {
		if f, err := s.openFile(path.Join(folder, i)); err == nil {
			f.close()
			if f.regular {
				return true
			}
		}
	}
	return false
}

// asksForPage is whether a browser goes to a page, and does not load a part of one.
func asksForPage(q *exchange.Request) bool {
	accept := q.Get("accept")
	return len(accept) == 0 || strings.Contains(string(accept), "text/html")
}

// none answers where there is no file.
func (l *look) none(status int) {
	switch status {
	case http.StatusOK:
		l.list()
	case http.StatusMovedPermanently:
		say(l.w, status, []exchange.Field{field("Location", location(&l.x.Request))}, "")
	case http.StatusServiceUnavailable:
		l.w.Abort(status, "")
	default:
		say(l.w, http.StatusNotFound, nil, "")
	}
}

// error answers 404 with a page of the site's.
func (l *look) error(e *entry, status int) {
	v := e.variants[identity].Load()
	p := plan{status: status, fields: without(v.fields, "etag", "last-modified", "accept-ranges", "cache-control", "vary"), length: v.size, head: string(l.x.Request.Method) == "HEAD"}
	l.deliver(e, v, &p)
}

func (l *look) serve(e *entry) {
	v := e.pick(&l.x.Request)
	p := e.plan(&l.x.Request, v)
	l.deliver(e, v, &p)
}

// deliver sends what was planned, on this goroutine.
func (l *look) deliver(e *entry, v *variant, p *plan) {
	if p.head || v.body != nil && p.length <= inline {
		send(l.w, p, v)
		return
	}
	l.p, l.v = p, v
	if v.body == nil {
		if l.f == nil || l.f.name != v.path {
			l.close()
			if l.f = e.open(v); l.f == nil { // it has changed since it was found, a moment ago
				l.w.Abort(http.StatusServiceUnavailable, "")
				return
			}
		}
		l.file, l.slots, l.pipes = l.f, l.responder.slots, l.responder.set.pipes
	}
	l.sender.run()
}
