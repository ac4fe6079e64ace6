package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pyspeed/pyshim"
)

// withShim makes the workers of a zoo run the real shim and an application of this source.
func withShim(t *testing.T, source string) func(*Settings) {
	t.Helper()
	zip, err := pyshim.Archive()
	if err != nil {
		t.Fatal(err)
	}
	return func(s *Settings) {
		if err := os.WriteFile(filepath.Join(s.Directory, "app.py"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Archive = zip
		s.Start = map[string]any{
			"target": "app:app", "interface": "auto", "factory": false, "directory": s.Directory,
			"threads": 0, "max_threads": 64, "lifespan": "auto", "root_path": "",
			"server_name": "localhost", "server_port": "8000", "multiprocess": false, "software": "pyspeed",
		}
	}
}

const (
	wsgiApp = `
import os
print("worker", os.environ["PYSPEED_WORKER_ID"], "says hello")
def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
`
	asgiApp = `
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
`
)

func TestShimStartsAndStops(t *testing.T) {
	f := func(name, source, protocol, log string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			z := newZoo(t, "", 1, withShim(t, source))
			z.mustStart(t)
			w := z.pool.nextAdded(t)
			if w.Info.Interface != protocol || !strings.HasPrefix(w.Info.Python, "3.") {
				t.Errorf("ready: %+v", w.Info)
			}
			if _, err := w.Ping(deadline(t)); err != nil {
				t.Error(err)
			}
			if ids, err := w.Reclaim(); err != nil || len(ids) != 0 {
				t.Errorf("Reclaim: %v, %v", ids, err)
			}
			if err := w.Dump(deadline(t)); err != nil {
				t.Error(err)
			}
			if err := z.Stop(deadline(t)); err != nil {
				t.Fatal(err)
			}
			if l := z.pool.nextLost(t); !errors.Is(l.cause, ErrStopped) {
				t.Errorf("lost: %v", l.cause)
			}
			z.log.wants(t, log, "most recent call first")
		})
	}
	f("WSGI", wsgiApp, "wsgi", "INFO worker 1 says hello worker=1 stream=stdout")
	f("ASGI", asgiApp, "asgi", "worker ready")
}

func TestShimFailsToStart(t *testing.T) {
	f := func(name, source string, code int, stage, summary, traceback, log string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			z := newZoo(t, "", 2, withShim(t, source), func(s *Settings) {
				switch name {
				case "hangs at import":
					s.ImportTimeout = 300 * time.Millisecond
				case "hangs in lifespan", "waits in lifespan":
					s.LifespanTimeout = 300 * time.Millisecond
				}
			})
			got, ok := errors.AsType[*StartupError](z.Start(deadline(t)))
			if !ok {
				t.Fatal("Start did not fail")
			}
			if got.ExitCode != code || got.Stage != stage || !strings.Contains(got.Summary, summary) || !strings.Contains(got.Traceback, traceback) {
				t.Errorf("Start: %+v", got)
			}
			z.log.wants(t, log)
		})
	}
	f("syntax error", "def app(:\n", 4, "import", "SyntaxError", "    def app(:\n", "")
	f("missing module", "import nowhere\n", 4, "import", "No module named 'nowhere'", "import nowhere\n", "")
	f("exit at import", "import sys; sys.exit(0)\n", 4, "import", "SystemExit", "Traceback (most recent call last):\n", "")
	f("no such name", "x = 1\n", 4, "import", "app", "", "")
	f("no application", "app = 1\n", 3, "interface", "app", "", "")
	f("dies at import", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n", 3, "exit", "was killed by SIGSEGV while starting", "", "")
	f("hangs at import", "import time\ntime.sleep(600)\n", 3, "timeout",
		"within 300ms: it was importing app:app, and its stack is in the log; raise app.import_timeout", "", "/app.py\", line 2 in <module>")
	f("hangs in lifespan", "import time\nasync def app(scope, receive, send):\n\ttime.sleep(600)\n", 3, "timeout",
		"within 300ms: it was waiting for the application's lifespan startup, and its stack is in the log; raise app.lifespan_timeout",
		"", "/app.py\", line 3 in app")
	f("waits in lifespan", "import asyncio\nasync def app(scope, receive, send):\n\tawait asyncio.sleep(600)\n", 3, "timeout",
		"raise app.lifespan_timeout", "", "/app.py\", line 3 in app")
}
