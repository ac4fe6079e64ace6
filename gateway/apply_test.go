package gateway

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pyspeed/gateway/cache"
	"pyspeed/internal/config"
	"pyspeed/internal/logfile"
	"pyspeed/internal/logline"
	"pyspeed/supervisor"
)

// reconfigurable is a rig whose configuration may be read again, and another log of it in a file.
func reconfigurable(t *testing.T, args ...string) (r *rig, next *[]string, file string) {
	t.Helper()
	r = prepare(t, t.TempDir(), args...)
	file = filepath.Join(r.dir, "own.log")
	long := `def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/json"):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"b": 1,  "a": 2}' if not path.endswith("long") else b"[" + b"1, " * 50 + b"1]"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 900]
`
	if err := os.WriteFile(filepath.Join(r.dir, "long.py"), []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := logline.Open(file, "text", "info", logfile.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if err := log.Move("-"); err != nil { // takes the crash output away
			t.Error(err)
		}
	})
	next = &args
	r.Operation = Operation{Log: log, Load: func() (*config.Config, Start, error) {
		c, _, err := config.Load(append([]string{"--bind", "127.0.0.1:0", "--workers", "1"}, *next...), nil, r.dir)
		return c, Start{Python: testPython(), Env: []string{"PYTHONDONTWRITEBYTECODE=1"}}, err
	}}
	r.run()
	r.url = r.log.wait(t, `listening on (http://\S+)`)
	return r, next, file
}

// TestApplyAtOnce: every option of which it is said that a change applies at once has its effect, although the new workers
// do not start.
func TestApplyAtOnce(t *testing.T) {
	r, next, file := reconfigurable(t, "long:app")
	session := r.sessions.Load
	access := filepath.Join(r.dir, "access.log")
	moved := filepath.Join(r.dir, "moved.log")
	checks := []struct {
		key, value string
		ok         func() bool
	}{
		{"server.buffer_body", "1KiB", func() bool { return session().BufferBody == 1024 }},
		{"server.buffer_budget", "1MiB", func() bool { return r.budget.Window() == 16<<10 }},
		{"server.backlog", "7", func() bool { return true }}, // the kernel tells nobody
		{"server.limits.request_line", "300", func() bool { return session().Limits.RequestLine == 300 }},
		{"server.limits.header_bytes", "2KiB", func() bool { return session().Limits.HeaderBytes == 2048 }},
		{"server.limits.header_count", "9", func() bool { return session().Limits.HeaderCount == 9 }},
		{"server.limits.body", "5", func() bool { return session().Body == 5 }},
		{"server.limits.connections", "77", func() bool { return r.registry.Most() == 77 }},
		{"server.timeouts.header", "1s", func() bool { return session().HeaderTimeout == time.Second }},
		{"server.timeouts.body", "2s", func() bool { return session().BodyTimeout == 2*time.Second }},
		{"server.timeouts.idle", "3s", func() bool { return session().IdleTimeout == 3*time.Second }},
		{"server.timeouts.write", "4s", func() bool { return session().WriteTimeout == 4*time.Second }},
		{"server.timeouts.shutdown", "5s", func() bool { return r.present.Load().Server.Timeouts.Shutdown == 5*time.Second }},
		{"server.timeouts.request_soft", "8s", func() bool { soft, _ := r.dispatcher.RequestTimeouts(); return soft == 8*time.Second }},
		{"server.timeouts.request", "9s", func() bool { _, hard := r.dispatcher.RequestTimeouts(); return hard == 9*time.Second }},
		{"workers.queue", "3", func() bool { most, _ := r.dispatcher.QueueLimits(); return most == 3 }},
		{"workers.queue_timeout", "6s", func() bool { _, wait := r.dispatcher.QueueLimits(); return wait == 6*time.Second }},
		{"workers.timeout", "7s", func() bool { return r.pool.timeout.Load() == int64(7*time.Second) }},
		{"compress.enabled", "true", func() bool { return r.encoding("/") == "gzip" }},
		{"compress.encodings", "gzip,br", func() bool { return r.encoding("/") == "gzip" }}, // by default br is liked more
		{"compress.min_size", "900", func() bool { return r.encoding("/") == "gzip" }},
		{"compress.types", "text/plain", func() bool { return r.encoding("/") == "gzip" }},
		{"compress.except", "/except", func() bool { return r.encoding("/except") == "" }},
		{"compress.gzip_level", "1", func() bool { return true }}, // of these the answer to one small request
		{"compress.brotli_level", "1", func() bool { return true }},
		{"compress.zstd_level", "1", func() bool { return true }},
		{"cache.enabled", "true", func() bool { return r.cache.Load() != nil }},
		{"cache.size", "1MiB", func() bool { return r.cache.Load().Size() == 1<<20 }},
		{"cache.max_entry", "7", func() bool { return r.caches().MaxEntry == 7 }},
		{"cache.wait", "2s", func() bool { return r.caches().Wait == 2*time.Second }},
		{"cache.heuristic", "true", func() bool { return r.caches().Heuristic }},
		{"cache.share_cookies", "true", func() bool { return r.caches().ShareCookies }},
		{"cache.client_control", "false", func() bool { return !r.caches().ClientControl }},
		{"cache.status", "false", func() bool { return !r.caches().Status }},
		{"cache.strip_tags", "false", func() bool { return !r.caches().Strip.Tags }},
		{"cache.purge_on_reload", "true", func() bool { return r.present.Load().Cache.PurgeOnReload }},
		{"rate_limit", "", func() bool { return r.header("/limited", "RateLimit-Policy") == `"few";q=1000;w=1` }}, // of the file below
		{"json.reencode", "/json", func() bool { return r.json("/json", "") == `{"b":1,"a":2}` }},
		{"json.sort_keys", "/json/sorted", func() bool { return r.json("/json/sorted", "") == `{"a":2,"b":1}` }},
		{"json.validate_requests", "/json/check", func() bool { return strings.Contains(r.json("/json/check", "[1 2]"), "column 4") }},
		{"json.except", "/json/raw", func() bool { return r.json("/json/raw", "") == `{"b": 1,  "a": 2}` }},
		{"json.max_size", "100", func() bool { return strings.HasPrefix(r.json("/json/long", ""), "[1, 1, ") }},
		{"log.level", "error", func() bool { return !r.Operation.Log.Logger().Enabled(t.Context(), 4) }},
		{"log.format", "json", func() bool {
			r.Operation.Log.Logger().Error("seen")
			return fileHas(moved, `"msg":"seen"`)
		}},
		{"log.file", moved, func() bool { return fileHas(moved, "seen") }},
		{"log.access", "json", func() bool { return true }}, // both by access_file
		{"log.access_file", access, func() bool { return fileHas(access, `"target":"/"`) }},
	}
	r.Operation.Log.Logger().Info("before")
	lists := filepath.Join(r.dir, "lists.toml")
	if err := os.WriteFile(lists, []byte("[[rate_limit]]\nname = 'few'\npath = '/limited'\nrate = '1000/s'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	*next = []string{"app:nothing", "-c", lists}
	for _, c := range checks {
		if c.value != "" {
			*next = append(*next, "--set", c.key+"="+c.value)
		}
	}
	result, err := r.Reconfigure(t.Context())
	var startup *supervisor.StartupError
	if !errors.As(err, &startup) || !strings.Contains(err.Error(), "cannot reload, the workers are as they were") {
		t.Fatalf("error is %v", err)
	}
	for _, c := range checks {
		if !slices.Contains(result.Applied, c.key) {
			t.Errorf("%s is not among what was applied, %q", c.key, result.Applied)
		}
	}
	if a := <-r.ask("/"); a.status != 200 {
		t.Errorf("a request gets %v", a)
	}
	for _, c := range checks {
		r.until(c.key+" applied", c.ok)
	}
	if !fileHas(file, "before") || fileHas(file, "seen") {
		t.Error("the log did not move")
	}
	for _, change := range config.Catalogue() {
		covered := slices.ContainsFunc(checks, func(c struct {
			key, value string
			ok         func() bool
		},
		) bool {
			return c.key == change.Key
		})
		if change.Applies == config.AtOnce && !covered {
			t.Errorf("nothing here tries %s", change.Key)
		}
	}
	// What belongs to the workers is not in effect, and so is still a change.
	*next = append([]string{"app:asgi"}, (*next)[1:]...)
	if result, err = r.Reconfigure(t.Context()); err != nil || !slices.Equal(result.Applied, []string{"app.target"}) {
		t.Errorf("the next one applied %q, %v", result.Applied, err)
	}
	if result, err = r.Reconfigure(t.Context()); err != nil || result.Applied != nil || result.Restart != nil {
		t.Errorf("without a change: %v, %v", result, err)
	}
}

// encoding is that of an answer to a client who takes all.
func (r *rig) encoding(path string) string { return r.header(path, "Content-Encoding") }

// header is a field of an answer to such a client.
func (r *rig) header(path, name string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip, br, zstd")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.Header.Get(name)
}

// caches are the settings of the cache in effect.
func (r *rig) caches() *cache.Settings { return r.cacheSettings(r.present.Load()) }

// json is the answer to a request with that body, if there is one.
func (r *rig) json(path, body string) string {
	r.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(got)
}

func fileHas(path, text string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(b), text)
}

// TestReconfigureFails: a configuration that cannot be read, or a log that cannot be opened, changes nothing at all.
func TestReconfigureFails(t *testing.T) {
	r, next, _ := reconfigurable(t, "app:wsgi", "--access", "json", "--access-logfile", "access.log")
	before, workers := r.present.Load(), r.supervisor.Workers()
	f := func(want string, args ...string) {
		t.Helper()
		*next = append([]string{"app:wsgi", "--limit-body", "5"}, args...)
		result, err := r.Reconfigure(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot reload, all stays as it was: ") {
			t.Errorf("%q: error is %v", args, err)
		}
		if r.present.Load() != before || r.sessions.Load().Body == 5 || result.Applied != nil || r.supervisor.Generation() != 1 {
			t.Errorf("%q: something has changed", args)
		}
		if now := r.supervisor.Workers(); len(now) != 1 || now[0].PID != workers[0].PID {
			t.Errorf("%q: the workers are %v", args, now)
		}
	}
	f("did you mean --workers", "--wrokers", "3")
	if err := os.Symlink("loop", filepath.Join(r.dir, "loop")); err != nil {
		t.Fatal(err)
	}
	f("cannot open the access log", "--access", "json", "--access-logfile", "loop")
	f("cannot open the log", "--access", "combined", "--access-logfile", "other.log", "--log-file", "loop")
	if a := <-r.ask("/"); a.status != 200 {
		t.Errorf("a request gets %v", a)
	}
	r.until("the access log is the old one", func() bool { return fileHas(filepath.Join(r.dir, "access.log"), `"status":200`) })

	// Without the rights that it had at the start.
	load := r.Operation.Load
	r.identity = nil
	r.Operation.Load = func() (*config.Config, Start, error) { return nil, Start{}, fs.ErrPermission }
	f("permission denied")
	r.Operation.Load = load
	r.log.wait(t, "ERROR cannot reload, all stays as it was: .*--wrokers")
}

// TestRestartIsNamed: what cannot be changed is as it was, also for the new workers.
func TestRestartIsNamed(t *testing.T) {
	r, next, _ := reconfigurable(t, "app:wsgi")
	*next = []string{"app:wsgi", "--root-path", "/shop", "--max-requests", "100000", "--pid", "gw.pid"}
	result, err := r.Reconfigure(t.Context())
	if err != nil || !slices.Equal(result.Restart, []string{"app.root_path", "server.pid"}) || !slices.Equal(result.Applied, []string{"workers.max_requests"}) {
		t.Errorf("%v, %v", result, err)
	}
	r.log.wait(t, `WARNING .* until pyspeed-gw is started anew option=app.root_path`)
	now := r.present.Load()
	if now.App.RootPath != "" || now.Server.PIDFile != "" || now.Workers.MaxRequests != 100000 {
		t.Errorf("in effect: %q, %q, %d", now.App.RootPath, now.Server.PIDFile, now.Workers.MaxRequests)
	}
}

// TestOtherSite: where the workers would go, or come, all of that waits for a restart.
func TestOtherSite(t *testing.T) {
	r, next, _ := reconfigurable(t, "app:wsgi")
	file := filepath.Join(r.dir, "site.toml")
	if err := os.WriteFile(file, []byte("[[upstream]]\nroute = '/'\naddress = ['127.0.0.1:9']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	*next = []string{"-c", file, "--limit-body", "7"}
	result, err := r.Reconfigure(t.Context())
	if err != nil || !slices.Equal(result.Restart, []string{"app.target", "upstream"}) || !slices.Equal(result.Applied, []string{"server.limits.body"}) {
		t.Errorf("%v, %v", result, err)
	}
	if a := <-r.ask("/"); a.status != 200 || r.supervisor.Generation() != 1 {
		t.Errorf("a request gets %v of generation %d", a, r.supervisor.Generation())
	}
}

// TestDrain: connections end with their next answers and nobody new is wanted, but who comes is served.
func TestDrain(t *testing.T) {
	r, _, _ := reconfigurable(t, "app:wsgi")
	r.drain(false)
	if ok, why := r.ready(); ok || why != "drained by pyspeed-gw ctl" {
		t.Errorf("ready: %t, %s", ok, why)
	}
	if _, err := r.Reconfigure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.sessions.Load().Close {
		t.Error("a reload took the drain back")
	}
	if a := <-r.ask("/"); a.status != 200 {
		t.Errorf("a request gets %v", a)
	}
	r.drain(true)
	if ok, why := r.ready(); !ok || r.sessions.Load().Close {
		t.Errorf("after undo: %t, %s", ok, why)
	}
}

func TestCannotReload(t *testing.T) {
	r := start(t, "app:wsgi")
	if _, err := r.Reconfigure(t.Context()); !errors.Is(err, errNoLoad) {
		t.Errorf("error is %v", err)
	}
	r.stop()
	r.wait()
	if _, err := r.Reconfigure(t.Context()); !errors.Is(err, errStopping) {
		t.Errorf("after the end: %v", err)
	}
}
