package config

import (
	"fmt"
	"strings"
)

// workerClass takes gunicorn's -k: what its worker classes mean here.
func (p *flagParser) workerClass(flag, value string) error {
	key := keyModel
	var word string
	switch strings.ToLower(value) {
	case "sync", "gthread", "threads", "gunicorn.workers.sync.syncworker", "gunicorn.workers.gthread.threadworker":
		word = "threads"
	case "gevent", "gunicorn.workers.ggevent.geventworker", "gevent_pywsgi":
		word = "gevent"
	case "asgi", "uvicorn.workers.uvicornworker", "uvicorn.workers.uvicornh11worker",
		"uvicorn_worker.uvicornworker", "uvicorn_worker.uvicornh11worker":
		key, word = keyInterface, "asgi"
	case "eventlet", "gunicorn.workers.geventlet.eventletworker":
		return fmt.Errorf("%s: eventlet is not supported, as it is no longer maintained; use --model gevent, or --model threads without eventlet's patches", flag)
	case "tornado", "gunicorn.workers.gtornado.tornadoworker":
		return fmt.Errorf("%s: Tornado needs no worker class, as the interface is found by looking at the application; leave the flag out", flag)
	case "geventwebsocket.gunicorn.workers.geventwebsocketworker":
		return fmt.Errorf("%s: WebSockets are not served to WSGI applications; use --model gevent, with which Flask-SocketIO polls", flag)
	default:
		return fmt.Errorf("%s: expected sync, gthread, gevent or uvicorn.workers.UvicornWorker, got %s", flag, quote(value))
	}
	return p.add(key, flag, word)
}
