package config

import (
	"strings"
	"time"
)

// option is everything there is to know about one setting.
type option struct {
	key  string // in TOML, with its tables
	kind kind
	// field points to the option's place in a Config.
	field func(*Config) any
	// value is the default, written as for a flag.
	value string
	// flags are the spellings on the command line, the preferred one first;
	// none when the option is positional.
	flags []string
	// variables are what the environment may call it beside its PYSPEED_ name.
	variables []string
	// help is one line. flagHelp follows it in the help text, where it is about
	// the flag; more, a paragraph, in the reference page.
	help, flagHelp, more string
}

// variable is the option's name in the environment.
func (o *option) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(o.key, ".", "_"))
}

const variablePrefix = "PYSPEED_"

// group is a table of the file and a heading of the help text.
type group struct{ table, title string }

// groups are in the order in which they are shown.
func groups() []group {
	return []group{
		{"app", "Application"},
		{"server", "Server"},
		{"server.limits", "Limits"},
		{"server.timeouts", "Timeouts"},
		{"workers", "Workers"},
		{"log", "Logging"},
		{"admin", "Administration"},
	}
}

const (
	keyTarget     = "app.target"
	keyFactory    = "app.factory"
	keyBind       = "server.bind"
	keyAccess     = "log.access"
	keyAccessFile = "log.access_file"
	keyCount      = "workers.count"
	keyModel      = "workers.model"
	keyInterface  = "app.interface"
)

// options lists every option, the keys of one table next to each other.
func options() []option {
	const day = 24 * time.Hour
	wait := duration{time.Millisecond, day}
	return []option{
		{
			key: keyTarget, kind: target{}, value: "",
			field: func(c *Config) any { return &c.App.Target },
			help:  "the application, as module:attribute or module:factory(); or the name of a Django project",
			more:  "A module alone stands for its `application`, or else its `app`. Of a Django project, the package with `settings.py`, it is `application` in `wsgi.py`, or in `asgi.py` with interface `asgi`.",
		},
		{
			key: keyInterface, kind: words{"auto", "wsgi", "asgi", "tornado"}, value: "auto", flags: []string{"--interface"},
			field: func(c *Config) any { return &c.App.Interface },
			help:  "how the application is called; auto looks at it",
		},
		{
			key: keyFactory, kind: boolean{}, value: "false", flags: []string{"--factory"},
			field: func(c *Config) any { return &c.App.Factory },
			help:  "call the target, without arguments, to get the application",
			more:  "A target that ends with `()` says the same.",
		},
		{
			key: "app.directory", kind: filePath{"the path of a folder", checkDirectory, never}, value: ".",
			flags: []string{"--app-dir", "--chdir"},
			field: func(c *Config) any { return &c.App.Directory },
			help:  "folder that comes first on sys.path; the workers run in it",
			more:  "The default is the folder that pyspeed-gw was started in, also when the file is elsewhere.",
		},
		{
			key: "app.python", kind: filePath{`"auto", the path of an interpreter, or its name`, checkFile, isProgramName},
			value: "auto", flags: []string{"--python"},
			field: func(c *Config) any { return &c.App.Python },
			help:  "interpreter; auto: $VIRTUAL_ENV, .venv beside the file or here, then python3",
			more:  "A value without a slash is looked for on `PATH`.",
		},
		{
			key: "app.env_file", kind: filePath{"the path of a file", checkFile, isEmpty}, value: "", flags: []string{"--env-file"},
			field: func(c *Config) any { return &c.App.EnvFile },
			help:  "file with KEY=VALUE lines for the workers' environment",
			more: "Variables that pyspeed-gw itself was given win over the file's. Comments, `export`, single quotes (nothing is special) and " +
				"double quotes (`\\n`, `\\t`, `\\r`, `\\\"`, `\\\\`, `\\$`) are understood, also over several lines; `$NAME` is not replaced. " +
				"Options of pyspeed-gw itself are not read from it.",
		},
		{
			key: "app.root_path", kind: rootPath{}, value: "", flags: []string{"--root-path"},
			field: func(c *Config) any { return &c.App.RootPath },
			help:  "path that the application is mounted at (SCRIPT_NAME, root_path)",
		},
		{
			key: "app.lifespan", kind: words{"auto", "on", "off"}, value: "auto", flags: []string{"--lifespan"},
			field: func(c *Config) any { return &c.App.Lifespan },
			help:  "ASGI lifespan; with auto an application may be without",
		},

		{
			key: keyBind, kind: addresses{}, value: "127.0.0.1:8000", flags: []string{"--bind", "-b"},
			field:    func(c *Config) any { return &c.Server.Bind },
			help:     "listen at " + addressForms,
			flagHelp: "; may be repeated",
			more: "Where no address is given, the variable `PORT` makes it `0.0.0.0:$PORT`. In variables and with `--set`, commas separate several. " +
				"`--host`, `--port`, `--uds` and `--fd` add addresses too.",
		},
		{
			key: "server.edge", kind: words{"auto", "netpoll", "conn"}, value: "auto", flags: []string{"--edge"},
			field: func(c *Config) any { return &c.Server.Edge },
			help:  "how sockets are read: netpoll, or goroutines per connection (conn)",
		},
		{
			key: "server.buffer_body", kind: size{0, 1 << 40}, value: "16MiB", flags: []string{"--buffer-body"},
			field: func(c *Config) any { return &c.Server.BufferBody },
			help:  "request bodies up to this are complete before a WSGI worker sees them, and chunked ones of any size; 0: it reads all of them while they arrive",
			more:  "A chunked body is complete first because only then is there a `CONTENT_LENGTH`, without which Django and Bottle take it for empty. With 0 they do; Flask and Pyramid do not need it.",
		},
		{
			key: "server.buffer_budget", kind: size{1 << 20, 1 << 40}, value: "64MiB", flags: []string{"--buffer-budget"},
			field: func(c *Config) any { return &c.Server.BufferBudget },
			help:  "memory, in all, for answers that slow clients have not taken and for request bodies that workers have not; beyond it answers wait in the workers and bodies on disk",
		},
		{
			key: "server.backlog", kind: number{min: 1, max: 65535}, value: "2048", flags: []string{"--backlog"},
			field: func(c *Config) any { return &c.Server.Backlog },
			help:  "connections that may wait to be accepted, per address",
		},
		{
			key: "server.pid", kind: filePath{"the path of a file", checkParent, isEmpty}, value: "", flags: []string{"--pid"},
			field: func(c *Config) any { return &c.Server.PIDFile },
			help:  "file to write the process id to",
		},

		{
			key: "server.limits.request_line", kind: size{256, 1 << 20}, value: "8KiB", flags: []string{"--limit-request-line"},
			field: func(c *Config) any { return &c.Server.Limits.RequestLine },
			help:  "longest request line; longer ones get 414",
		},
		{
			key: "server.limits.header_bytes", kind: size{1 << 10, 16 << 20}, value: "64KiB", flags: []string{"--limit-header-bytes"},
			field: func(c *Config) any { return &c.Server.Limits.HeaderBytes },
			help:  "size of all header fields of a request; more gets 431",
		},
		{
			key: "server.limits.header_count", kind: number{min: 1, max: 10000}, value: "100",
			flags: []string{"--limit-header-count", "--limit-request-fields"},
			field: func(c *Config) any { return &c.Server.Limits.HeaderCount },
			help:  "header fields of a request; more get 431",
		},
		{
			key: "server.limits.body", kind: size{1, 1 << 40}, value: "100MiB", flags: []string{"--limit-body"},
			field: func(c *Config) any { return &c.Server.Limits.Body },
			help:  "size of a request body; more gets 413",
		},
		{
			key: "server.limits.connections", kind: number{min: 1, max: 1_000_000}, value: "10000", flags: []string{"--limit-connections"},
			field: func(c *Config) any { return &c.Server.Limits.Connections },
			help:  "client connections open at once",
		},

		{
			key: "server.timeouts.header", kind: wait, value: "10s", flags: []string{"--timeout-header"},
			field: func(c *Config) any { return &c.Server.Timeouts.Header },
			help:  "time for a client to send a request head",
		},
		{
			key: "server.timeouts.body", kind: wait, value: "30s", flags: []string{"--timeout-body"},
			field: func(c *Config) any { return &c.Server.Timeouts.Body },
			help:  "time in which a client sends no byte of its request body",
		},
		{
			key: "server.timeouts.idle", kind: wait, value: "60s",
			flags: []string{"--timeout-idle", "--keep-alive", "--timeout-keep-alive"},
			field: func(c *Config) any { return &c.Server.Timeouts.Idle },
			help:  "time that a connection may stay open between requests",
		},
		{
			key: "server.timeouts.write", kind: wait, value: "60s", flags: []string{"--timeout-write"},
			field: func(c *Config) any { return &c.Server.Timeouts.Write },
			help:  "time in which a client takes nothing of its answer",
		},
		{
			key: "server.timeouts.shutdown", kind: wait, value: "30s",
			flags: []string{"--timeout-shutdown", "--graceful-timeout", "--timeout-graceful-shutdown"},
			field: func(c *Config) any { return &c.Server.Timeouts.Shutdown },
			help:  "time for running requests to end when the server stops",
		},

		{
			key: keyCount, kind: number{min: 1, max: 1024, auto: true}, value: "auto", flags: []string{"--workers", "-w"},
			variables: []string{"WEB_CONCURRENCY"},
			field:     func(c *Config) any { return &c.Workers.Count },
			help:      "Python processes; auto: one per CPU this process may use",
			more:      "The CPU affinity and the cgroup's CPU quota, rounded up, are honoured.",
		},
		{
			key: "workers.threads", kind: number{min: 1, max: 512, auto: true}, value: "auto", flags: []string{"--threads"},
			field: func(c *Config) any { return &c.Workers.Threads },
			help:  "threads of a WSGI worker; auto adds them while requests are slow",
			more:  "`1` promises that the application never runs in two threads at once.",
		},
		{
			key: keyModel, kind: words{"threads", "gevent"}, value: "threads", flags: []string{"--model"},
			field: func(c *Config) any { return &c.Workers.Model },
			help:  "how a WSGI worker runs requests side by side: threads, or gevent's greenlets",
			more: "With `gevent` everything is patched (`gevent.monkey.patch_all()`) before the application is imported, and every request gets a greenlet; " +
				"`workers.threads` is then how many run at once, `auto` any number. gevent has to be installed beside the application.",
		},
		{
			key: "workers.queue", kind: number{min: 1, max: 1_000_000}, value: "2048", flags: []string{"--queue"},
			field: func(c *Config) any { return &c.Workers.Queue },
			help:  "requests that may wait for a worker; more get 503",
		},
		{
			key: "workers.queue_timeout", kind: wait, value: "10s", flags: []string{"--queue-timeout"},
			field: func(c *Config) any { return &c.Workers.QueueTimeout },
			help:  "time that a request may wait for a worker; then it gets 503",
		},
		{
			key: "workers.in_flight", kind: number{min: 1, max: 65535, auto: true}, value: "auto", flags: []string{"--in-flight"},
			field: func(c *Config) any { return &c.Workers.InFlight },
			help:  "requests that one worker holds at once; auto adapts it",
		},
		{
			key: "workers.startup_timeout", kind: wait, value: "60s", flags: []string{"--startup-timeout"},
			field: func(c *Config) any { return &c.Workers.StartupTimeout },
			help:  "time for a worker to import the application and be ready",
		},
		{
			key: "workers.timeout", kind: wait, value: "30s", flags: []string{"--timeout", "-t"},
			field: func(c *Config) any { return &c.Workers.Timeout },
			help:  "a worker whose event loop or last free thread is held by the application for so long is killed and replaced; its stacks are logged",
		},

		{
			key: "log.level", kind: words{"debug", "info", "warning", "error"}, value: "info", flags: []string{"--log-level"},
			field: func(c *Config) any { return &c.Log.Level },
			help:  "least important messages that are logged",
		},
		{
			key: keyAccess, kind: words{"off", "combined", "json"}, value: "off", flags: []string{"--access"},
			field: func(c *Config) any { return &c.Log.Access },
			help:  "a log line per request, and its format",
		},
		{
			key: keyAccessFile, kind: filePath{`"-" or the path of a file`, checkParent, isDash}, value: "-",
			flags:    []string{"--access-logfile"},
			field:    func(c *Config) any { return &c.Log.AccessFile },
			help:     "file for these lines; - is standard output",
			flagHelp: "; turns them on if they are off",
			more:     "Only the flag turns the lines on, in the format combined, where no other flag says how they are.",
		},
		{
			key: "log.format", kind: words{"text", "json"}, value: "text", flags: []string{"--log-format"},
			field: func(c *Config) any { return &c.Log.Format },
			help:  "format of the server's own messages, on standard error",
		},

		{
			key: "admin.bind", kind: address{}, value: "", flags: []string{"--admin-bind"},
			field: func(c *Config) any { return &c.Admin.Bind },
			help:  "listen there for metrics and health; empty: nowhere",
			more:  "Whoever reaches this address can read the metrics: keep it on a private one, such as `127.0.0.1:9090`.",
		},
	}
}

// keys lists the options' keys.
func keys() []string {
	var list []string
	for _, o := range options() {
		list = append(list, o.key)
	}
	return list
}
