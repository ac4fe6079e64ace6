package config

import (
	"strings"
	"testing"
)

func TestWorkerClass(t *testing.T) {
	for class, want := range map[string]struct{ model, iface, err string }{
		"sync":                          {model: "threads", iface: "auto"},
		"gthread":                       {model: "threads", iface: "auto"},
		"gevent":                        {model: "gevent", iface: "auto"},
		"GEvent":                        {model: "gevent", iface: "auto"},
		"uvicorn.workers.UvicornWorker": {model: "threads", iface: "asgi"},
		"uvicorn_worker.UvicornWorker":  {model: "threads", iface: "asgi"},
		"eventlet":                      {err: "eventlet is not supported"},
		"tornado":                       {err: "leave the flag out"},
		"geventwebsocket.gunicorn.workers.GeventWebSocketWorker": {err: "WebSockets are not served"},
		"gaiohttp": {err: `expected sync, gthread, gevent or uvicorn.workers.UvicornWorker, got "gaiohttp"`},
	} {
		for _, args := range [][]string{{"-k", class}, {"-k" + class}, {"--worker-class=" + class}} {
			c, _, err := Load(append(args, "app:app"), nil, t.TempDir())
			switch {
			case want.err != "":
				if err == nil || !strings.Contains(err.Error(), want.err) {
					t.Errorf("%q: got the error %v, want %q", args, err, want.err)
				}
			case err != nil:
				t.Errorf("%q: %v", args, err)
			case c.Workers.Model != want.model || c.App.Interface != want.iface:
				t.Errorf("%q: got %q, %q", args, c.Workers.Model, c.App.Interface)
			}
		}
	}
}
