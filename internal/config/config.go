package config

import "time"

// Config is the effective configuration. Sizes are in bytes. Paths are
// absolute. Where a number may be "auto", 0 stands for it.
type Config struct {
	App      App
	Server   Server
	Workers  Workers
	Compress Compress
	JSON     JSON
	Redis    Redis
	Cache    Cache
	Reload   Reload
	Log      Log
	Admin    Admin
	// Statics are the entries of [[static]], then those of flags.
	Statics []Static
	// CacheRoutes are the entries of [[cache_route]], in their order.
	CacheRoutes []CacheRoute
	// Upstreams are the entries of [[upstream]], in their order.
	Upstreams []Upstream
	// RateLimits are the entries of [[rate_limit]], in their order.
	RateLimits []RateLimit
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
	Static   string // off, auto
	// ImportTimeout and LifespanTimeout bound parts of a start, the latter also of a stop; 0: no bound of their own.
	ImportTimeout, LifespanTimeout time.Duration
}

// Server says where to listen, and what a client may do.
type Server struct {
	Bind         []Address // at least one, no two the same
	Edge         string    // auto, netpoll, conn
	BufferBody   int64     // bodies up to this are complete before a WSGI worker sees them
	BufferBudget int64     // for all answers that clients have not taken yet
	Backlog      int       // of each listening socket
	PIDFile      string    // absolute, or "" for none
	User, Group  string    // names or numbers; "": stay
	Umask        int       // -1: as inherited
	StaticMemory int64     // for static files that are kept
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
	// From the call of the application to the head of its answer: until its worker's stacks are logged, and until
	// 504; 0: never.
	RequestSoft, Request time.Duration
}

// Workers says how many Python processes there are and what may wait for them.
type Workers struct {
	Count          Count
	Threads        int    // of one WSGI process; 0: adaptive
	Model          string // threads, gevent: what a WSGI process runs requests on
	Queue          int    // requests that may wait for a worker
	QueueTimeout   time.Duration
	InFlight       int // requests that one worker may hold; 0: adaptive
	StartupTimeout time.Duration
	Timeout        time.Duration // for which the application may hold a worker's loop
	IdleTimeout    time.Duration // for which fewer workers must suffice before one goes
	MaxMemory      int64         // of all workers; 0: by the cgroup's limit or the machine's memory
	// When a worker is replaced; 0: not for that.
	MaxRequests, MaxRequestsJitter int
	MaxLifetime                    time.Duration
	MaxRSS                         int64
	Preload                        bool
	Overlap                        int      // new workers that a reload starts at once; 0: all
	Warmup                         []string // paths that a new worker is asked for first
}

// Processes is the number of worker processes to start with, and the most there may be. For "auto" these are the CPUs
// this process may use; where so many workers may be more than the memory holds, one is started first, and the others as
// its size allows.
func (w *Workers) Processes() (first, most int) { return w.processes(CPUs(), Memory()) }

// spacious is the memory for each worker at which all are started without a look at the size of one: more than most
// applications take when they have just been imported.
const spacious = 256 << 20

func (w *Workers) processes(cpus int, memory int64) (first, most int) {
	if w.Count.Max > 0 {
		return w.Count.Min, w.Count.Max
	}
	if budget := w.memoryBudget(memory); budget > 0 && int64(cpus) > budget/spacious {
		return 1, cpus
	}
	return cpus, cpus
}

// MemoryBudget is what all workers together may have resident for another to be added; 0: any amount.
func (w *Workers) MemoryBudget() int64 { return w.memoryBudget(Memory()) }

func (w *Workers) memoryBudget(memory int64) int64 {
	if w.MaxMemory > 0 {
		return w.MaxMemory
	}
	return memory - memory/5 // the gateway, the kernel and the workers' growth have the rest
}

// Reload says what happens when a file changes, in development.
type Reload struct {
	Enabled     bool
	Directories []string // as they were written; relative ones are meant from the application's folder
	Include     []string // patterns
	Exclude     []string
	Gitignore   bool
	Delay       time.Duration
	Poll        string // auto, on, off
	Browser     bool   // pages refresh themselves
	OnError     string // page, keep
}

// Log says what is written where.
type Log struct {
	Level      string // debug, info, warning, error
	Access     string // off, combined, json
	AccessFile string // absolute, or "-" for standard output
	File       string // of the server's own messages: absolute, or "-" for standard error
	Format     string // text, json
}

// Admin is the listener for metrics and health.
type Admin struct {
	Bind    Address // the zero Address: none
	Control string  // "auto", "off", or an absolute path
}
