package gateway

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/internal/config"
	"pyspeed/internal/logline"
	"pyspeed/pyshim"
)

// patience bounds how long a test that fails may take.
const patience = 60 * time.Second

// testPython is the interpreter itself, as what PATH names may be a slow script in front of it.
var testPython = sync.OnceValue(func() string {
	name := os.Getenv("PYSPEED_TEST_PYTHON")
	if name == "" {
		name = "python3"
	}
	path, err := exec.Command(name, "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		panic("the tests need Python 3 (PYSPEED_TEST_PYTHON or python3 on PATH): " + err.Error())
	}
	return strings.TrimSpace(string(path))
})

// application notes in the file events what happens to it; /wait ends when there is a file gate.
const application = `
import asyncio, os, threading, time

def note(what):
    with open("events", "ab", buffering=0) as events:
        events.write(what.encode() + b"\n")

def hold_everything():
    note("hold")
    threading.Event().wait()

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            what = (await receive())["type"]
            note(what)
            await send({"type": what + ".complete"})
            if what == "lifespan.shutdown":
                return
    path = scope["path"]
    if path == "/hold":
        hold_everything()
    if path == "/wait":
        note("begun")
        while not os.path.exists("gate"):
            await asyncio.sleep(0.01)
        note("ended")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        hold_everything()
    if path == "/wait":
        note("begun")
        while not os.path.exists("gate"):
            time.sleep(0.01)
        note("ended")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
`

// output is a log that tests wait on.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(p), nil
}

// wait waits for a match and returns its first group.
func (o *output) wait(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	over := time.After(patience)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if m := re.FindStringSubmatch(text); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-changed:
		case <-over:
			t.Fatalf("no %q in the log:\n%s", pattern, text)
		}
	}
}

// rig is a gateway that runs, with the application in real workers.
type rig struct {
	*Gateway
	t           *testing.T
	dir         string
	from        Start
	url         string
	log         *output
	stop, hurry context.CancelFunc
	ended       chan struct{}
	err         error // Run's
}

// start runs a gateway with these arguments and waits until it listens.
func start(t *testing.T, args ...string) *rig {
	t.Helper()
	r := prepare(t, t.TempDir(), args...)
	r.run()
	r.url = r.log.wait(t, `listening on (http://\S+)`)
	return r
}

func prepare(t *testing.T, dir string, args ...string) *rig {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "app.py"), []byte(application), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(append([]string{"--bind", "127.0.0.1:0", "--workers", "1"}, args...), nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := pyshim.Archive()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, log: &output{changed: make(chan struct{})}, ended: make(chan struct{})}
	r.from = Start{Python: testPython(), Env: []string{"PYTHONDONTWRITEBYTECODE=1"}, Archive: archive}
	if r.Gateway, err = New(c, r.from, "test", logline.New(r.log, "text", "info")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) run() {
	hurry, hurryNow := context.WithCancel(context.Background())
	stop, stopNow := context.WithCancel(hurry)
	r.stop, r.hurry = stopNow, hurryNow
	go func() {
		defer close(r.ended)
		r.err = r.Run(stop, hurry)
	}()
	r.t.Cleanup(func() {
		r.stop()
		select {
		case <-r.ended:
		case <-time.After(patience):
			r.t.Errorf("Run does not end; the log:\n%s", r.log.text.String())
		}
		r.hurry()
		if r.t.Failed() {
			r.t.Logf("the log:\n%s", r.log.text.String())
		}
	})
}

// wait waits for Run to end without an error.
func (r *rig) wait() {
	r.t.Helper()
	select {
	case <-r.ended:
		if r.err != nil {
			r.t.Errorf("Run: %v", r.err)
		}
	case <-time.After(patience):
		r.t.Fatal("Run does not end")
	}
}

// answer is what came of a request: a status, or an error and status 0.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

// ask sends a request on a connection of its own; the answer comes on the channel.
func (r *rig) ask(path string) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		transport := &http.Transport{DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		client := http.Client{Transport: transport, Timeout: patience}
		res, err := client.Get(r.url + path)
		if err != nil {
			got <- answer{err: err}
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		got <- answer{res.StatusCode, string(body), res.Header, err}
	}()
	return got
}

// events are what the application noted so far.
func (r *rig) events() string {
	b, err := os.ReadFile(filepath.Join(r.dir, "events"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(strings.ReplaceAll(string(b), "\n", " "))
}

// until asks again until the condition holds.
func (r *rig) until(what string, condition func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-over:
			r.t.Fatalf("not %s", what)
		}
	}
}

// open lets /wait end.
func (r *rig) open() {
	if err := os.WriteFile(filepath.Join(r.dir, "gate"), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}
