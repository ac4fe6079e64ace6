package static

import (
	"net/http"
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
}

// begin starts a look. Called by the edge.
func begin(r responder, x *exchange.Exchange, name string, what verdict) {
	d := exchange.Detach(x)
	l := &look{responder: r, d: d, x: &d.Exchange, name: name, what: what}
	l.w = d.Writer
	l.room.L = &l.mu
	go l.run()
}

// Respond implements exchange.Responder: the answer is this one's.
func (l *look) Respond(x *exchange.Exchange) { x.Source = l }

// run is the look's goroutine.
func (l *look) run() {
	slots := l.responder.set.slots
	slots <- struct{}{}
	e, status := l.find()
	<-slots
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
			e, folder, err := s.find(n)
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
			if _, folder, err := s.find(l.name); err == nil && folder {
				return nil, http.StatusOK
			}
		}
	}
	if s.Fallback != "" && asksForPage(&l.x.Request) {
		if e, _, err := s.find(s.Fallback); err == nil && e != nil {
			return e, http.StatusOK
		}
	}
	if s.NotFound != "" && !s.Pass {
		if e, _, err := s.find(s.NotFound); err == nil && e != nil {
			return e, http.StatusNotFound
		}
	}
	return nil, http.StatusNotFound
}

// isSite is whether a folder is one to be shown: it has an index, or is listed.
func (l *look) isSite(folder string) bool {
	s := l.responder.Site
	if s.Listing {
		return true
	}
	for _, i := range s.Index {
		if e, _, err := s.find(folder + "/" + i); err == nil && e != nil {
			return true
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
		f, info, err := e.site.openFile(v.path)
		if err != nil || info.Size() != v.size {
			// It has changed since it was found, a moment ago.
			if err == nil {
				_ = f.Close()
			}
			l.w.Abort(http.StatusServiceUnavailable, "")
			return
		}
		l.f = f
		defer func() { _ = f.Close() }() // it was only read
	}
	l.sender.run()
}
