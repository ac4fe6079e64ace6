package livereload

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/supervisor"
)

// Failure is that the new code does not start.
type Failure struct {
	Error   *supervisor.StartupError
	At      time.Time
	Changed []string // the files whose change led to it, absolute
	// Directory is the application's, in which relative names begin and from which paths are shown.
	Directory string
	// Folders hold the application's own files, absolute; calls elsewhere are folded.
	Folders []string
}

// ErrorPage answers every request by saying why the application does not start: to browsers with a page that loads
// itself again once it does, to other programs with text or JSON, and to everybody who is not on this machine with
// nothing but status 500.
type ErrorPage struct {
	hub   *Hub
	since atomic.Uint64 // the event up to which it is up to date

	html, text, json []byte
}

// ErrorPage makes the page of a failure; the hub's Broadcast of Failed tells the browsers. It reads the files
// that the traceback names, and so may block as long as the disk does.
func (h *Hub) ErrorPage(f Failure) *ErrorPage {
	p := &ErrorPage{hub: h, html: renderHTML(&f), text: renderText(&f), json: renderJSON(&f)}
	p.since.Store(h.now())
	return p
}

// errorHead are the fields of all forms; Content-Type comes first.
func errorHead(contentType string, more ...exchange.Field) []exchange.Field {
	return append([]exchange.Field{
		{Name: []byte("Content-Type"), Value: []byte(contentType)},
		// The page has the script already, and is not filtered as those of the application are.
		{Name: []byte("Cache-Control"), Value: []byte("no-store, no-transform")},
		{Name: []byte("X-Content-Type-Options"), Value: []byte("nosniff")},
	}, more...)
}

var (
	textHead = errorHead("text/plain; charset=utf-8")
	jsonHead = errorHead("application/json")
	htmlHead = errorHead("text/html; charset=utf-8", exchange.Field{Name: []byte("Content-Security-Policy"), Value: []byte(pagePolicy)})
)

// Respond implements exchange.Responder.
func (p *ErrorPage) Respond(x *exchange.Exchange) {
	x.Source = nothing{}
	p.Answer(x)
}

// Answer answers a request that somebody else is the Source of, on any goroutine.
func (p *ErrorPage) Answer(x *exchange.Exchange) {
	var err error
	switch form := wantedForm(string(x.Request.Get("accept"))); {
	case !local(x):
		x.Writer.Abort(http.StatusInternalServerError, "")
		return
	case form == formHTML:
		post := string(x.Request.Method) != "GET" && string(x.Request.Method) != "HEAD"
		err = x.Writer.Answer(http.StatusInternalServerError, htmlHead, p.hub.finished(p.html, p.since.Load(), post))
	case form == formJSON:
		err = x.Writer.Answer(http.StatusInternalServerError, jsonHead, p.json)
	default:
		err = x.Writer.Answer(http.StatusInternalServerError, textHead, p.text)
	}
	if err != nil {
		x.Writer.Abort(http.StatusInternalServerError, "") // the fields are constants: it cannot be
	}
}

// form is how the failure is told.
type form uint8

const (
	formText form = iota
	formJSON
	formHTML
)

// wantedForm is the form that an Accept field names first; programs that take anything get text.
func wantedForm(accept string) form {
	for part := range strings.SplitSeq(strings.ToLower(accept), ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		if q, found := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q="); found && strings.Trim(q, "0.") == "" {
			continue // q=0: not wanted
		}
		switch kind = strings.TrimSpace(kind); {
		case kind == "text/html", kind == "application/xhtml+xml":
			return formHTML
		case kind == "application/json", strings.HasSuffix(kind, "+json"):
			return formJSON
		}
	}
	return formText
}

// renderText is what a terminal gets.
func renderText(f *Failure) []byte {
	var b strings.Builder
	b.WriteString(title + " (" + f.At.Format("15:04:05") + ")")
	if changed := f.changed(); len(changed) > 0 {
		b.WriteString(", after a change of " + strings.Join(changed, ", "))
	}
	b.WriteString("\n" + f.Error.Error() + "\n")
	if t := strings.TrimRight(f.Error.Traceback, "\n"); t != "" {
		b.WriteString("\n" + t + "\n")
	}
	return []byte(strings.ToValidUTF8(b.String(), "\ufffd"))
}

func renderJSON(f *Failure) []byte {
	changed := f.changed()
	if changed == nil {
		changed = []string{}
	}
	text, err := json.MarshalIndent(struct {
		Error     string   `json:"error"`
		Stage     string   `json:"stage"`
		Summary   string   `json:"summary"`
		Traceback string   `json:"traceback"`
		Time      string   `json:"time"`
		Changed   []string `json:"changed"`
	}{title, f.Error.Stage, f.Error.Summary, f.Error.Traceback, f.At.Format(time.RFC3339), changed}, "", "  ")
	if err != nil {
		panic(err) // strings
	}
	return append(text, '\n')
}

// shown is a path as people know it.
func (f *Failure) shown(path string) string {
	if f.Directory != "" && below(path, f.Directory) {
		if rest := strings.TrimPrefix(path[len(f.Directory):], "/"); rest != "" {
			return rest
		}
	}
	return path
}

// changed are the files that changed, as people know them; those beyond some are counted.
func (f *Failure) changed() (list []string) {
	for _, path := range f.Changed {
		list = append(list, f.shown(path))
	}
	return list
}
