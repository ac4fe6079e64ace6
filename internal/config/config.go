package config

import "time"

// Config is the effective configuration. Sizes are in bytes. Paths are
// absolute. Where a number may be "auto", 0 stands for it.
type Config struct {
	App     App
	Server  Server
	Workers Workers
	Log     Log
	Admin   Admin
	// Upstreams are the entries of [[upstream]], in their order.
	Upstreams []Upstream
}

// App says what to run and how to load it.
type App struct {
	Target    string // module:attribute; "" only for the command config, and where Config.WholeSite
	Interface string // auto, wsgi, asgi
	Factory   bool   // the target is called to make the application
	Directory string // absolute; first on sys.path and the working directory
	// Python is "auto", an absolute path, or a name to look for on PATH;
	// FindPython makes a path of it.
	Python   string
	EnvFile  string // absolute, or "" for none; ReadEnvFile reads it
	RootPath string // "" or a path with a leading and no trailing slash
	Lifespan string // auto, on, off
}

// Server says where to listen, and what a client may do.
type Server struct {
	Bind         []Address // at least one, no two the same
	Edge         string    // auto, netpoll, conn
	BufferBody   int64     // bodies up to this are complete before a WSGI worker sees them
	BufferBudget int64     // for all answers that clients have not taken yet
	Backlog      int       // of each listening socket
	PIDFile      string    // absolute, or "" for none
	Limits       Limits
	Timeouts     Timeouts
}

// Limits bound what one client may send, and how many clients there may be.
type Limits struct {
	RequestLine int64
	HeaderBytes int64
	HeaderCount int
	Body        int64
	Connections int
}

// Timeouts bound how long a client may keep the server waiting, and the server
// its operator.
type Timeouts struct {
	Header   time.Duration // until a request head is complete
	Body     time.Duration // without a byte of the request body
	Idle     time.Duration // of a connection between two requests
	Write    time.Duration // in which the client takes nothing of the answer
	Shutdown time.Duration // for running requests when the server stops
}

// Workers says how many Python processes there are and what may wait for them.
type Workers struct {
	Count          int    // processes; 0: as many as Processes finds CPUs
	Threads        int    // of one WSGI process; 0: adaptive
	Model          string // threads, gevent: what a WSGI process runs requests on
	Queue          int    // requests that may wait for a worker
	QueueTimeout   time.Duration
	InFlight       int // requests that one worker may hold; 0: adaptive
	StartupTimeout time.Duration
	Timeout        time.Duration // for which the application may hold a worker's loop
}

// Processes is the number of worker processes to start: Count, or for "auto"
// the CPUs this process may use.
func (w *Workers) Processes() int {
	if w.Count > 0 {
		return w.Count
	}
	return CPUs()
}

// Log says what is written where.
type Log struct {
	Level      string // debug, info, warning, error
	Access     string // off, combined, json
	AccessFile string // absolute, or "-" for standard output
	Format     string // text, json
}

// Admin is the listener for metrics and health.
type Admin struct {
	Bind Address // the zero Address: none
}
