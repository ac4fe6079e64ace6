package livereload

import (
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/supervisor"
)

func failure(traceback string) Failure {
	return Failure{
		Error: &supervisor.StartupError{Stage: "import", Summary: "it fails", Traceback: traceback},
		At:    time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
}

// testPython is the interpreter whose tracebacks are read.
var testPython = sync.OnceValue(func() string {
	if name := os.Getenv("PYSPEED_TEST_PYTHON"); name != "" {
		return name
	}
	return "python3"
})

// application is a folder with modules that fail, and with a library.
func application(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"models.py": `import json


def load(text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise RuntimeError("no settings:\nsecond <b>line</b>") from error


def settings():
    return load("{")


SETTINGS = settings()
`,
		"syntax.py":                             "import json\n\ndef price(x):\n    if x > 1\n        return 2\n",
		"handling.py":                           "def f():\n    größe = '<i>' + 1  # größer\n\ntry:\n    f()\nexcept TypeError:\n    undefined\n",
		"recursion.py":                          "def f(n):\n    return f(n - 1)\n\nf(1)\n",
		"missing.py":                            "from models_of_nobody import Cart\n",
		"latin.py":                              "# coding: latin-1\nraise ValueError('\xe9')\n",
		"used.py":                               "import library\n\nlibrary.call(lambda: undefined)\n",
		"venv/pyvenv.cfg":                       "",
		"venv/lib/site-packages/library.py":     "def call(f):\n    return again(f)\n\ndef again(f):\n    return f()\n",
		"fails_in_a_library.py":                 "import library\n\nlibrary.call(1)\n",
		"own/venv/pyvenv.cfg":                   "",
		"own/venv/lib/python3/source/linked.py": "raise OSError('linked')\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// traceback imports a module of the application and returns what Python says, as the shim has it.
func traceback(t *testing.T, dir, module string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testPython(), "-B", "-c", `
import importlib, sys, traceback
sys.path[:0] = [".", "venv/lib/site-packages", "own/venv/lib/python3/source"]
try:
    importlib.import_module(sys.argv[1])
except BaseException as error:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals["__name__"].partition(".")[0] in ("__main__", "importlib"):
        trace = trace.tb_next
    sys.stdout.buffer.write("".join(traceback.format_exception(type(error), error, trace)).encode())
`, module)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("%s does not fail as it should: %v %s", module, err, out)
	}
	return string(out)
}

var tags = regexp.MustCompile(`<[^>]*>`)

// visible is a page's text, without what is marked as the traceback.
func visible(page string) string {
	_, page, _ = strings.Cut(page, "</head>")
	page, _, _ = strings.Cut(page, `<section class="plain">`)
	page = strings.ReplaceAll(page, "<mark>", "[")
	page = strings.ReplaceAll(page, "</mark>", "]")
	page = strings.ReplaceAll(page, `<span class="row failing">`, "> ")
	return html.UnescapeString(tags.ReplaceAllString(page, ""))
}

func TestErrorPageShowsTheSource(t *testing.T) {
	dir := application(t)
	for _, c := range []struct {
		module string
		first  string   // of the page's heading
		parts  []string // in this order
		not    []string
	}{
		{"models", "RuntimeError: no settings:", []string{
			"second <b>line</b>", "It could not be imported at 05:06:07, after a change of models.py, templates/a&b.html.",
			"models.py:8 in load\n", " 7    except ValueError as error:\n", `>  8        raise RuntimeError("no settings:\nsecond <b>line</b>") from error`, " 9\n",
			"models.py:12 in settings\n", `load("{")`, "models.py:15 in <module>\n", "> 15SETTINGS = ",
			"It was raised because of this:", "Expecting property name", "3 calls in libraries", "json/decoder.py", "models.py:6 in load",
		}, nil},
		{"syntax", "SyntaxError: ", []string{"syntax.py:4\n", "1import json\n", "3def price(x):\n", "> 4    if x > 1[ ]\n", "5        return 2\n"}, []string{" in <module>"}},
		{"handling", "NameError: name 'undefined' is not defined", []string{
			"handling.py:7 in <module>\n", "> 7    undefined\n", "It was raised while this was handled:", "TypeError: ", "handling.py:2 in f\n",
			"    größe = ", "'<i>' + 1", "  # größer\n", "handling.py:5 in <module>",
		}, nil},
		{"recursion", "RecursionError: ", []string{"recursion.py:2 in f and ", " times more", "> 2    return ", "recursion.py:4 in <module>"}, nil},
		{"missing", "ModuleNotFoundError: No module named 'models_of_nobody'", []string{"missing.py:1 in <module>\n> 1from models_of_nobody import Cart\n"}, nil},
		{"latin", "ValueError: é", []string{"latin.py:2 in <module>\n", "> 2raise ValueError('"}, nil},
		{"used", "NameError: name 'undefined'", []string{"used.py:3 in <lambda>\n", "2 calls in libraries", "library.py:5 in again", "library.py:2 in call", "used.py:3 in <module>"}, nil},
		{"fails_in_a_library", "TypeError: 'int' object is not callable", []string{"2 calls in libraries", "library.py:5 in again", "fails_in_a_library.py:3 in <module>"}, nil},
		{"linked", "OSError: linked", []string{"linked.py:1 in <module>"}, []string{"1 call in"}},
	} {
		f := failure(traceback(t, dir, c.module))
		f.Directory, f.Folders = dir, []string{dir}
		f.Changed = []string{filepath.Join(dir, "models.py"), filepath.Join(dir, "templates/a&b.html")}
		page := string(renderHTML(&f))
		got := visible(page)
		if _, rest, _ := strings.Cut(got, title+"\n"); !strings.HasPrefix(rest, c.first) {
			t.Errorf("%s: the page begins with %.100q, want %q", c.module, rest, c.first)
		}
		rest := got
		for _, part := range c.parts {
			var found bool
			if _, rest, found = strings.Cut(rest, part); !found {
				t.Errorf("%s: no %q at its place in\n%s\nof\n%s", c.module, part, got, f.Error.Traceback)
				break
			}
		}
		for _, part := range c.not {
			if strings.Contains(got, part) {
				t.Errorf("%s: there is %q in\n%s", c.module, part, got)
			}
		}
		checkPage(t, page, f.Error.Traceback)
	}
}

// A file that has changed since is not taken for what failed.
func TestErrorPageOfAFileThatChangedSince(t *testing.T) {
	dir := application(t)
	f := failure(traceback(t, dir, "missing"))
	f.Directory, f.Folders = dir, []string{dir}
	if err := os.WriteFile(filepath.Join(dir, "missing.py"), []byte("another = 'line'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := visible(string(renderHTML(&f))); !strings.Contains(got, "> 1from models_of_nobody import Cart\n") || strings.Contains(got, "another") {
		t.Errorf("got\n%s", got)
	}
	if err := os.Remove(filepath.Join(dir, "missing.py")); err != nil {
		t.Fatal(err)
	}
	if got := visible(string(renderHTML(&f))); !strings.Contains(got, "> 1from models_of_nobody import Cart\n") {
		t.Errorf("without the file: got\n%s", got)
	}
}

// What an older and a newer Python print.
func TestParseTraceback(t *testing.T) {
	const group = `  + Exception Group Traceback (most recent call last):
  |   File "/app/group.py", line 3, in <module>
  |     f()
  |     ~^^
  |   File "/app/group.py", line 2, in f
  |     raise ExceptionGroup("several", [ValueError("a"), TypeError("b")])
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: a
    +---------------- 2 ----------------
    | TypeError: b
    +------------------------------------
`
	all := parseTraceback(group)
	if len(all) != 1 || len(all[0].frames) != 2 || all[0].frames[0].text[1] != "~^^" || all[0].frames[1].function != "f" ||
		!strings.HasPrefix(all[0].message, "ExceptionGroup: several (2 sub-exceptions)\n  +-+---") {
		t.Errorf("a group: %+v", all)
	}
	const old = `Traceback (most recent call last):
  File "/app/a.py", line 1, in <module>
    import b
  File "/app/b.py", line 2
    if x > 1
            ^
SyntaxError: invalid syntax
`
	all = parseTraceback(old)
	if len(all) != 1 || len(all[0].frames) != 2 || all[0].message != "SyntaxError: invalid syntax" {
		t.Fatalf("an old one: %+v", all)
	}
	if from, to, ok := all[0].frames[1].marked(); from != 8 || to != 9 || !ok {
		t.Errorf("the caret is at %d to %d, %v", from, to, ok)
	}
	if _, _, ok := all[0].frames[0].marked(); ok {
		t.Error("a frame without carets has some")
	}
	all = parseTraceback("ValueError: a\n\nTraceback (most recent call last):\n  File \"x\", line 1, in y\n")
	if len(all) != 1 || len(all[0].frames) != 0 {
		t.Errorf("a message that looks like a traceback: %+v", all)
	}
	if all := parseTraceback("\n\n"); len(all) != 0 {
		t.Errorf("nothing: %+v", all)
	}
}

// knownTags are those that the page's own markup uses.
var knownTags = regexp.MustCompile(`^</?(?:html|head|meta|link|title|style|body|header|main|section|p|pre|h1|h2|h3|span|code|time|mark|details|summary|button|script)(?: (?:class|lang|charset|name|content|rel|href|type|id|datetime|data-pyspeed-kept)="[^"<>]*"| hidden)*>$`)

// checkPage looks for markup that came from outside.
func checkPage(t *testing.T, page, traceback string) {
	t.Helper()
	body := strings.ReplaceAll(page, "<style>"+pageStyle+"</style>", "")
	body = strings.ReplaceAll(body, "<script>"+pageScript+"</script>", "")
	body, found := strings.CutPrefix(body, "<!DOCTYPE html>")
	if !found {
		t.Errorf("the page begins with %.50q", page)
	}
	var open []string
	for _, tag := range tags.FindAllString(body, -1) {
		if !knownTags.MatchString(tag) {
			t.Fatalf("there is a strange tag %q", tag)
		}
		name, _, _ := strings.Cut(strings.Trim(tag, "</>"), " ")
		switch {
		case name == "meta" || name == "link":
		case tag[1] != '/':
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("%s closes %v", tag, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if !slices.Equal(open, []string{"html", "body"}) {
		t.Errorf("open at the end: %v", open)
	}
	if strings.ContainsAny(tags.ReplaceAllString(body, ""), "<>") {
		t.Error("there is a bare angle bracket")
	}
	if traceback == "" {
		return
	}
	_, plain, _ := strings.Cut(page, `<pre id="traceback">`)
	plain, _, _ = strings.Cut(plain, "</pre>")
	if want := strings.ToValidUTF8(strings.TrimRight(traceback, "\n"), "\ufffd"); html.UnescapeString(plain) != want {
		t.Errorf("the traceback became %q, want %q", plain, want)
	}
}

// FuzzErrorPage: whatever a traceback says, the page is markup of ours with text in it.
func FuzzErrorPage(f *testing.F) {
	f.Add("Traceback (most recent call last):\n  File \"<b>\", line 1, in <i>\n    a\n    ^\nE: <script>alert(1)</script>\n", "s", "/x/<b>")
	f.Add("  + Exception Group Traceback (most recent call last):\n  |   File \"/dev/zero\", line 1\n", "</title>", "")
	f.Add("  File \"errorpage.go\", line 3, in x\n    p\n     ^^^\n  [Previous line repeated 3 more times]\n", "", "\xff")
	f.Add("  File \"a\", line 99999999999999999999\nx\n\nDuring handling of the above exception, another exception occurred:\n\ny", "", "")
	f.Fuzz(func(t *testing.T, text, summary, path string) {
		if strings.Contains(text, "File \"/") {
			t.Skip() // no reading around on this machine
		}
		e := failure(text)
		e.Error.Summary, e.Changed, e.Folders = summary, []string{path}, []string{"/app"}
		checkPage(t, string(renderHTML(&e)), text)
		renderText(&e)
		if !json.Valid(renderJSON(&e)) {
			t.Error("no JSON")
		}
	})
}

func TestErrorPageOfManyCalls(t *testing.T) {
	var text strings.Builder
	text.WriteString(traceHeader + "\n")
	for i := range 1000 {
		text.WriteString("  File \"/app/a.py\", line " + string(rune('1'+i%9)) + ", in f\n    g()\n")
	}
	text.WriteString("ValueError\n")
	f := failure(text.String())
	f.Folders = []string{"/app"}
	page := string(renderHTML(&f))
	checkPage(t, page, f.Error.Traceback)
	if n := strings.Count(page, `<section class="frame">`); n != mostFrames || !strings.Contains(page, "960 calls are left out here") {
		t.Errorf("%d calls are shown", n)
	}
}

// A worker that did not come so far as to raise something.
func TestErrorPageWithoutATraceback(t *testing.T) {
	f := failure("")
	f.Error.Stage, f.Error.Summary = "timeout", "worker 1.1 did not become ready within 60s; it was importing app:app"
	page := string(renderHTML(&f))
	checkPage(t, page, "")
	got := visible(page)
	if !strings.Contains(got, "worker 1.1 did not become ready within 60s; it was importing app:app\nIt failed at 05:06:07. ") {
		t.Errorf("got\n%s", got)
	}
}

// Devices and pipes are not read, nor is what is too large.
func TestSourcesThatAreNone(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.py")
	if err := os.WriteFile(large, make([]byte, longestFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/zero", "/dev/stdin", large, t.TempDir(), "<string>", "<frozen importlib._bootstrap>", "", "/no/such/file.py"} {
		s := sources{directory: "/"}
		if lines := s.around(path, 1); lines != nil {
			t.Errorf("%s has lines", path)
		}
	}
}

func TestErrorPageForms(t *testing.T) {
	h := testHub(&clock{})
	f := failure("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nNameError: <x>\n")
	f.Changed = []string{"/srv/a.py"}
	f.Directory = "/srv"
	p := h.ErrorPage(f)
	ask := func(method, accept string, change func(x *exchange.Exchange)) *sink {
		s := &sink{}
		x := request(method, "/any", s)
		x.Request.Fields = fields("Accept: " + accept)
		if change != nil {
			change(x)
		}
		p.Respond(x)
		return s
	}
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct{ accept, kind, begins string }{
		{browser, "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"application/json", "application/json", "{\n"},
		{"application/problem+json, text/plain", "application/json", "{\n"},
		{"application/json, text/html", "application/json", "{\n"},
		{"text/html;q=0, application/json", "application/json", "{\n"},
		{"*/*", "text/plain; charset=utf-8", title + " (05:06:07), after a change of a.py\ncannot import the application: it fails\n\nTraceback"},
		{"", "text/plain; charset=utf-8", title},
		{"image/png", "text/plain; charset=utf-8", title},
	} {
		s := ask("GET", c.accept, nil)
		if s.status != 500 || s.get("content-type") != c.kind || s.get("cache-control") != "no-store, no-transform" || s.get("x-content-type-options") != "nosniff" ||
			!strings.HasPrefix(string(s.body), c.begins) {
			t.Errorf("%s: %d %s %.200s", c.accept, s.status, s.head, s.body)
		}
	}
	var told struct {
		Error, Stage, Summary, Traceback, Time string
		Changed                                []string
	}
	if err := json.Unmarshal(ask("GET", "application/json", nil).body, &told); err != nil || told.Error != title || told.Stage != "import" ||
		told.Summary != "it fails" || told.Traceback != f.Error.Traceback || told.Time != "2026-03-04T05:06:07Z" || !slices.Equal(told.Changed, []string{"a.py"}) {
		t.Errorf("JSON: %+v, %v", told, err)
	}
	// Nobody else learns anything.
	for name, change := range map[string]func(x *exchange.Exchange){
		"other host":   func(x *exchange.Exchange) { x.Request.Authority = []byte("evil.example") },
		"other client": func(x *exchange.Exchange) { x.Peer.RemoteAddr = "192.0.2.1" },
		"by a proxy": func(x *exchange.Exchange) {
			x.Request.Fields = append(x.Request.Fields, fields("X-Forwarded-For: 192.0.2.1")...)
		},
	} {
		for _, accept := range []string{browser, "application/json", "*/*"} {
			if s := ask("GET", accept, change); !slices.Equal(s.calls, []string{"abort 500"}) {
				t.Errorf("%s got %q %s", name, s.calls, s.body)
			}
		}
	}
	// One that was given to somebody else before stays that one's.
	x, other := request("GET", "/", &sink{}), &source{}
	x.Source = other
	p.Answer(x)
	if x.Source != exchange.Source(other) {
		t.Error("Answer has changed the Source")
	}
	// The page says as of when it is, and that it answers a form.
	if s := ask("GET", browser, nil); !strings.HasSuffix(string(s.body), `<script data-at="`+h.position(0)+`">`+string(script)+"</script>\n</body>\n</html>\n") {
		t.Errorf("the page ends with %q", s.body[max(0, len(s.body)-200):])
	}
	h.Broadcast(Event{Kind: Failed, Page: p})
	h.Broadcast(Event{Kind: Replaced})
	if s := ask("POST", browser, nil); !strings.Contains(string(s.body), `<script data-at="`+h.position(1)+`" data-keep="">`) {
		t.Error("the page is not as of its failure")
	}
}

// The page's policy allows its own style sheet and scripts, and they are as they were hashed.
func TestErrorPagePolicy(t *testing.T) {
	r := newRig(t, nil)
	p := r.hub.ErrorPage(failure(""))
	s := &sink{}
	p.Respond(request("GET", "/", s))
	policy := s.get("content-security-policy")
	for _, m := range regexp.MustCompile(`(?s)<(script|style)[^>]*>(.*?)</`).FindAllStringSubmatch(string(s.body), -1) {
		if hash := hashOf(m[2]); !strings.Contains(policy, m[1]+"-src "+hash) && !strings.Contains(policy, hash+" ") && !strings.HasSuffix(policy, hash) {
			t.Errorf("the policy %s has no %s", policy, hash)
		}
	}
}

func TestErrorPageOverHTTP(t *testing.T) {
	var p *ErrorPage
	r := newRig(t, responder(func(x *exchange.Exchange) { p.Respond(x) }))
	p = r.hub.ErrorPage(failure("NameError: x\n"))
	res := r.get("/", "Accept: text/html")
	if res.StatusCode != 500 || res.ContentLength <= 0 {
		t.Errorf("%s, length %d", res.Status, res.ContentLength)
	}
	head, err := r.client.Head(r.url + "/")
	if err != nil || head.StatusCode != 500 || head.ContentLength <= 0 {
		t.Errorf("HEAD: %v, %v", head, err)
	}
	if got := r.text("/", "Host: evil.example"); got != "500 Internal Server Error\n" {
		t.Errorf("another host: %q", got)
	}
	if got := r.text("/"); !strings.Contains(got, "NameError: x\n") {
		t.Errorf("text: %q", got)
	}
	if text := r.text("/", "Accept: text/html"); strings.Contains(text, scriptURL) || r.hub.hinted.Load() {
		t.Error("the page got a second script, or was meant to")
	}
}
