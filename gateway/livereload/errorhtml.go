package livereload

import (
	"crypto/sha256"
	_ "embed" // the style sheet and the script
	"encoding/base64"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"time"
)

const title = "The application does not start"

//go:embed errorpage.css
var pageStyle string

//go:embed errorpage.js
var pageScript string

// pagePolicy allows what is in the page and nothing else. Everything that comes from outside is escaped; if that
// ever had a hole, nothing could come through it.
var pagePolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; img-src data:; connect-src 'self'; " +
	"style-src " + hashOf(pageStyle) + "; script-src " + hashOf(pageScript) + " " + hashOf(string(script))

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// mostFrames is how many calls of one exception are shown with their source; of more, the first and the last ones.
const mostFrames = 40

// finished puts the script behind a rendered page.
func (h *Hub) finished(page []byte, since uint64, post bool) []byte {
	keep := ""
	if post {
		keep = ` data-keep=""`
	}
	return fmt.Appendf(page[:len(page):len(page)], "<script data-at=%q%s>%s</script>\n</body>\n</html>\n", h.position(since), keep, script)
}

// pageWriter writes HTML.
type pageWriter struct {
	strings.Builder
	failure *Failure
	sources sources
}

// text writes text.
func (w *pageWriter) text(s string) {
	w.WriteString(html.EscapeString(strings.ToValidUTF8(s, "\ufffd")))
}

// format writes markup.
func (w *pageWriter) format(markup string, a ...any) { fmt.Fprintf(&w.Builder, markup, a...) }

// element writes an element that holds text.
func (w *pageWriter) element(start, s, end string) {
	w.WriteString(start)
	w.text(s)
	w.WriteString(end)
}

// renderHTML is the page without its script and end.
func renderHTML(f *Failure) []byte {
	w := &pageWriter{failure: f, sources: sources{directory: f.Directory}}
	traces := parseTraceback(f.Error.Traceback)
	message := f.Error.Summary
	if n := len(traces); n > 0 && traces[n-1].message != "" {
		message = traces[n-1].message
	}
	first, rest, _ := strings.Cut(message, "\n")
	w.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
		"<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n")
	w.element("<title>", title+": "+first, "</title>\n")
	w.WriteString("<style>" + pageStyle + "</style>\n</head>\n<body>\n<header>\n<p class=\"kind\">" + title + "</p>\n")
	w.heading(first)
	if rest != "" {
		w.element("<pre class=\"rest\">", rest, "</pre>\n")
	}
	w.when()
	w.WriteString("</header>\n<main>\n")
	for i := len(traces) - 1; i >= 0; i-- {
		w.trace(&traces[i], i == len(traces)-1)
		switch traces[i].relation {
		case directCause:
			w.WriteString("<h2>It was raised because of this:</h2>\n")
		case handling:
			w.WriteString("<h2>It was raised while this was handled:</h2>\n")
		}
	}
	if f.Error.Traceback != "" {
		w.WriteString("<section class=\"plain\">\n<h2>Traceback <button type=\"button\" id=\"copy\" hidden>Copy</button></h2>\n")
		w.element("<pre id=\"traceback\">", strings.TrimRight(f.Error.Traceback, "\n"), "</pre>\n</section>\n")
	}
	w.WriteString("</main>\n<script>" + pageScript + "</script>\n")
	return []byte(w.String())
}

// heading writes an exception's first line, its type set off from what it says.
func (w *pageWriter) heading(line string) {
	kind, said, found := strings.Cut(line, ": ")
	if found && strings.IndexFunc(kind, notName) < 0 {
		w.element("<h1><span class=\"type\">", kind, ":</span> ")
		line = said
	} else {
		w.WriteString("<h1>")
	}
	w.element("", line, "</h1>\n")
}

func notName(r rune) bool {
	return r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r < 0x80
}

// when writes what happened when, and what the page will do.
func (w *pageWriter) when() {
	f := w.failure
	w.WriteString("<p class=\"when\">")
	switch f.Error.Stage {
	case "import":
		w.WriteString("It could not be imported")
	case "lifespan":
		w.WriteString("Its lifespan startup failed")
	case "hook":
		w.WriteString("Its lifecycle hook failed")
	default:
		w.WriteString("It failed")
	}
	w.element(" at <time datetime=\""+f.At.Format(time.RFC3339)+"\">", f.At.Format("15:04:05"), "</time>")
	for i, path := range f.changed() {
		switch i {
		case 0:
			w.WriteString(", after a change of ")
		case 8:
			w.format(" and %d more files", len(f.Changed)-8)
		default:
			if i < 8 {
				w.WriteString(", ")
			}
		}
		if i < 8 {
			w.element("<code>", path, "</code>")
		}
	}
	w.WriteString(". <span data-pyspeed-kept=\"\" hidden>The code has changed since. This page answers a form: load it again to send that once more, or go back.</span>" +
		"<span class=\"waits\">This page waits for the code to change.</span></p>\n")
}

// trace writes the calls of an exception, the last one first.
func (w *pageWriter) trace(t *trace, last bool) {
	if !last {
		first, rest, _ := strings.Cut(t.message, "\n")
		w.element("<p class=\"cause\">", first, "</p>\n")
		if rest != "" {
			w.element("<pre class=\"rest\">", rest, "</pre>\n")
		}
	}
	if left := len(t.frames) - mostFrames; left > 0 {
		w.calls(t.frames[len(t.frames)-mostFrames/2:])
		w.format("<p class=\"left\">%d calls are left out here; the traceback below has them.</p>\n", left)
		w.calls(t.frames[:mostFrames/2])
		return
	}
	w.calls(t.frames)
}

// calls writes calls, the last one first; those of libraries are folded, unless there are no others.
func (w *pageWriter) calls(frames []frame) {
	own := make([]bool, len(frames))
	for i := range frames {
		own[i] = w.sources.own(frames[i].file, w.failure.Folders)
	}
	if len(own) > 0 && !slices.Contains(own, true) {
		own[len(own)-1] = true
	}
	for i := len(frames) - 1; i >= 0; i-- {
		if own[i] {
			w.frame(&frames[i])
			continue
		}
		j := i
		for j > 0 && !own[j-1] {
			j--
		}
		w.folded(frames[j : i+1])
		i = j
	}
}

// folded writes calls in libraries.
func (w *pageWriter) folded(frames []frame) {
	what := "1 call in a library"
	if len(frames) > 1 {
		what = strconv.Itoa(len(frames)) + " calls in libraries"
	}
	w.WriteString("<details>\n<summary>" + what + "</summary>\n")
	for i := len(frames) - 1; i >= 0; i-- {
		w.frame(&frames[i])
	}
	w.WriteString("</details>\n")
}

// frame writes a call with the lines around it.
func (w *pageWriter) frame(f *frame) {
	w.WriteString("<section class=\"frame\">\n<h3>")
	path := f.file
	if p := w.sources.path(f.file); p != "" {
		path = w.failure.shown(p)
	}
	w.element("<code class=\"file\">", path, "</code>")
	w.format("<span class=\"line\">:%d</span>", f.line)
	if f.function != "" {
		w.element(" in <code>", f.function, "</code>")
	}
	if f.repeated != "" {
		w.element(" <span class=\"repeated\">and ", f.repeated, " times more</span>")
	}
	w.WriteString("</h3>\n")
	w.code(f)
	w.WriteString("</section>\n")
}

// code writes the source of a call: from the file, or what the traceback has of it where the file has changed since.
func (w *pageWriter) code(f *frame) {
	lines := w.sources.around(f.file, f.line)
	for _, l := range lines {
		if l.number == f.line {
			if _, _, _, same := f.mark(l.text); !same {
				lines = nil
				break
			}
		}
	}
	if lines == nil {
		if len(f.text) == 0 {
			return
		}
		lines = []sourceLine{{f.line, f.text[0]}}
	}
	w.WriteString("<pre class=\"code\">")
	for _, l := range lines {
		number := fmt.Sprintf("%*d", len(strconv.Itoa(lines[len(lines)-1].number)), l.number)
		if l.number != f.line {
			w.element("<span class=\"row\"><span class=\"number\">"+number+"</span>", l.text, "\n</span>")
			continue
		}
		w.WriteString("<span class=\"row failing\"><span class=\"number\">" + number + "</span>")
		if from, to, ok, _ := f.mark(l.text); ok {
			what := l.text[from:to]
			if what == "" {
				what = " " // something is missing here
			}
			w.text(l.text[:from])
			w.element("<mark>", what, "</mark>")
			w.element("", l.text[to:], "\n</span>")
		} else {
			w.element("", l.text, "\n</span>")
		}
	}
	w.WriteString("</pre>\n")
}
