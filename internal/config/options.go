package config

import (
	"slices"
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
	// applies is when a change takes effect while the server runs.
	applies Applies
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
		{"compress", "Compression"},
		{"json", "JSON"},
		{"redis", "Redis"},
		{"cache", "Cache"},
		{"reload", "Reload on change"},
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
	keyReload     = "reload.enabled"
)

// options lists every option, the keys of one table next to each other.
func options() []option {
	const day = 24 * time.Hour
	wait := duration{time.Millisecond, day}
	orNever := duration{0, 10 * 365 * day} // 0 stands for never
	list := []option{
		{
			key: keyTarget, applies: AtReload, kind: target{}, value: "",
			field: func(c *Config) any { return &c.App.Target },
			help:  "the application, as module:attribute or module:factory(); or the name of a Django project",
			more:  "A module alone stands for its `application`, or else its `app`. Of a Django project, the package with `settings.py`, it is `application` in `wsgi.py`, or in `asgi.py` with interface `asgi`.",
		},
		{
			key: keyInterface, applies: AtReload, kind: words{"auto", "wsgi", "asgi", "tornado"}, value: "auto", flags: []string{"--interface"},
			field: func(c *Config) any { return &c.App.Interface },
			help:  "how the application is called; auto looks at it",
		},
		{
			key: keyFactory, applies: AtReload, kind: boolean{}, value: "false", flags: []string{"--factory"},
			field: func(c *Config) any { return &c.App.Factory },
			help:  "call the target, without arguments, to get the application",
			more:  "A target that ends with `()` says the same.",
		},
		{
			key: "app.directory", applies: AtReload, kind: filePath{"the path of a folder", checkDirectory, never}, value: ".",
			flags: []string{"--app-dir", "--chdir"},
			field: func(c *Config) any { return &c.App.Directory },
			help:  "folder that comes first on sys.path; the workers run in it",
			more:  "The default is the folder that pyspeed-gw was started in, also when the file is elsewhere.",
		},
		{
			key: "app.python", applies: AtReload, kind: filePath{`"auto", the path of an interpreter, or its name`, checkFile, isProgramName},
			value: "auto", flags: []string{"--python"},
			field: func(c *Config) any { return &c.App.Python },
			help:  "interpreter; auto: $VIRTUAL_ENV, .venv beside the file or here, then python3",
			more:  "A value without a slash is looked for on `PATH`.",
		},
		{
			key: "app.env_file", applies: AtReload, kind: filePath{"the path of a file", checkFile, isEmpty}, value: "", flags: []string{"--env-file"},
			field: func(c *Config) any { return &c.App.EnvFile },
			help:  "file with KEY=VALUE lines for the workers' environment",
			more: "Variables that pyspeed-gw itself was given win over the file's. Comments, `export`, single quotes (nothing is special) and " +
				"double quotes (`\\n`, `\\t`, `\\r`, `\\\"`, `\\\\`, `\\$`) are understood, also over several lines; `$NAME` is not replaced. " +
				"Options of pyspeed-gw itself are not read from it.",
		},
		{
			key: "app.root_path", applies: AtRestart, kind: rootPath{}, value: "", flags: []string{"--root-path"},
			field: func(c *Config) any { return &c.App.RootPath },
			help:  "path that the application is mounted at (SCRIPT_NAME, root_path)",
		},
		{
			key: "app.lifespan", applies: AtReload, kind: words{"auto", "on", "off"}, value: "auto", flags: []string{"--lifespan"},
			field: func(c *Config) any { return &c.App.Lifespan },
			help:  "ASGI lifespan; with auto an application may be without",
		},
		{
			key: "app.static", applies: AtReload, kind: words{"off", "auto"}, value: "off", flags: []string{"--app-static"},
			field: func(c *Config) any { return &c.App.Static },
			help:  "auto: serve the files of Flask's, Starlette's, FastAPI's and Django's own static folders without asking a worker, where that gives equal answers",
			more:  "`pyspeed-gw check` says which folders it finds, and why others stay with the application. See `docs/static.md`.",
		},
		{
			key: "app.import_timeout", applies: AtReload, kind: orNever, value: "0s", flags: []string{"--import-timeout"},
			field: func(c *Config) any { return &c.App.ImportTimeout },
			help:  "time for the import of the application, within workers.startup_timeout; 0: no time of its own",
		},
		{
			key: "app.lifespan_timeout", applies: AtReload, kind: orNever, value: "0s", flags: []string{"--lifespan-timeout"},
			field: func(c *Config) any { return &c.App.LifespanTimeout },
			help:  "time for each of lifespan startup and shutdown; 0: only workers.startup_timeout and server.timeouts.shutdown count",
		},

		{
			key: keyBind, applies: AtRestart, kind: addresses{}, value: "127.0.0.1:8000", flags: []string{"--bind", "-b"},
			field:    func(c *Config) any { return &c.Server.Bind },
			help:     "listen at " + addressForms,
			flagHelp: "; may be repeated",
			more: "Where no address is given, the variable `PORT` makes it `0.0.0.0:$PORT`. In variables and with `--set`, commas separate several. " +
				"`--host`, `--port`, `--uds` and `--fd` add addresses too.",
		},
		{
			key: "server.edge", applies: AtRestart, kind: words{"auto", "netpoll", "conn"}, value: "auto", flags: []string{"--edge"},
			field: func(c *Config) any { return &c.Server.Edge },
			help:  "how sockets are read: netpoll, or goroutines per connection (conn)",
		},
		{
			key: "server.buffer_body", applies: AtOnce, kind: size{0, 1 << 40}, value: "16MiB", flags: []string{"--buffer-body"},
			field: func(c *Config) any { return &c.Server.BufferBody },
			help:  "request bodies up to this are complete before a WSGI worker sees them, and chunked ones of any size; 0: it reads all of them while they arrive",
			more:  "A chunked body is complete first because only then is there a `CONTENT_LENGTH`, without which Django and Bottle take it for empty. With 0 they do; Flask and Pyramid do not need it.",
		},
		{
			key: "server.buffer_budget", applies: AtOnce, kind: size{1 << 20, 1 << 40}, value: "64MiB", flags: []string{"--buffer-budget"},
			field: func(c *Config) any { return &c.Server.BufferBudget },
			help:  "memory, in all, for answers that slow clients have not taken and for request bodies that workers have not; beyond it answers wait in the workers and bodies on disk",
		},
		{
			key: "server.static_memory", applies: AtRestart, kind: size{0, 1 << 40}, value: "64MiB", flags: []string{"--static-memory"},
			field: func(c *Config) any { return &c.Server.StaticMemory },
			help:  "memory for static files below 1 MiB (4 MiB: text to be encoded) that are asked for often, at most a quarter of it for one; 0: none is kept",
		},
		{
			key: "server.backlog", applies: AtOnce, kind: number{min: 1, max: 65535}, value: "2048", flags: []string{"--backlog"},
			field: func(c *Config) any { return &c.Server.Backlog },
			help:  "connections that may wait to be accepted, per address",
		},
		{
			key: "server.pid", applies: AtRestart, kind: filePath{"the path of a file", checkParent, isEmpty}, value: "", flags: []string{"--pid"},
			field: func(c *Config) any { return &c.Server.PIDFile },
			help:  "file to write the process id to",
		},
		{
			key: "server.user", applies: AtRestart, kind: name{"the name or number of a user"}, value: "", flags: []string{"--user", "-u"},
			field: func(c *Config) any { return &c.Server.User },
			help:  "user to become once the addresses are open; empty: stay",
			more:  "The pid file, the logs and the sockets are opened before. Only root can become another user.",
		},
		{
			key: "server.group", applies: AtRestart, kind: name{"the name or number of a group"}, value: "", flags: []string{"--group", "-g"},
			field: func(c *Config) any { return &c.Server.Group },
			help:  "group to become; empty: that of server.user, or stay",
		},
		{
			key: "server.umask", applies: AtRestart, kind: octal{}, value: "", flags: []string{"--umask", "-m"},
			field: func(c *Config) any { return &c.Server.Umask },
			help:  "mode bits that new files do not get, of the gateway and its workers; empty: as inherited",
		},

		{
			key: "server.limits.request_line", applies: AtOnce, kind: size{256, 1 << 20}, value: "8KiB", flags: []string{"--limit-request-line"},
			field: func(c *Config) any { return &c.Server.Limits.RequestLine },
			help:  "longest request line; longer ones get 414",
		},
		{
			key: "server.limits.header_bytes", applies: AtOnce, kind: size{1 << 10, 16 << 20}, value: "64KiB", flags: []string{"--limit-header-bytes"},
			field: func(c *Config) any { return &c.Server.Limits.HeaderBytes },
			help:  "size of all header fields of a request; more gets 431",
		},
		{
			key: "server.limits.header_count", applies: AtOnce, kind: number{min: 1, max: 10000}, value: "100",
			flags: []string{"--limit-header-count", "--limit-request-fields"},
			field: func(c *Config) any { return &c.Server.Limits.HeaderCount },
			help:  "header fields of a request; more get 431",
		},
		{
			key: "server.limits.body", applies: AtOnce, kind: size{1, 1 << 40}, value: "100MiB", flags: []string{"--limit-body"},
			field: func(c *Config) any { return &c.Server.Limits.Body },
			help:  "size of a request body; more gets 413",
		},
		{
			key: "server.limits.connections", applies: AtOnce, kind: number{min: 1, max: 1_000_000}, value: "10000", flags: []string{"--limit-connections"},
			field: func(c *Config) any { return &c.Server.Limits.Connections },
			help:  "client connections open at once",
		},

		{
			key: "server.timeouts.header", applies: AtOnce, kind: wait, value: "10s", flags: []string{"--timeout-header"},
			field: func(c *Config) any { return &c.Server.Timeouts.Header },
			help:  "time for a client to send a request head",
		},
		{
			key: "server.timeouts.body", applies: AtOnce, kind: wait, value: "30s", flags: []string{"--timeout-body"},
			field: func(c *Config) any { return &c.Server.Timeouts.Body },
			help:  "time in which a client sends no byte of its request body",
		},
		{
			key: "server.timeouts.idle", applies: AtOnce, kind: wait, value: "60s",
			flags: []string{"--timeout-idle", "--keep-alive", "--timeout-keep-alive"},
			field: func(c *Config) any { return &c.Server.Timeouts.Idle },
			help:  "time that a connection may stay open between requests",
		},
		{
			key: "server.timeouts.write", applies: AtOnce, kind: wait, value: "60s", flags: []string{"--timeout-write"},
			field: func(c *Config) any { return &c.Server.Timeouts.Write },
			help:  "time in which a client takes nothing of its answer",
		},
		{
			key: "server.timeouts.shutdown", applies: AtOnce, kind: wait, value: "30s",
			flags: []string{"--timeout-shutdown", "--graceful-timeout", "--timeout-graceful-shutdown"},
			field: func(c *Config) any { return &c.Server.Timeouts.Shutdown },
			help:  "time for running requests to end when the server stops",
		},
		{
			key: "server.timeouts.request_soft", applies: AtOnce, kind: orNever, value: "30s", flags: []string{"--timeout-request-soft"},
			field: func(c *Config) any { return &c.Server.Timeouts.RequestSoft },
			help:  "time after which the stacks of the worker that runs a request are logged, once per request; 0: never",
			more:  "Counted, like `request`, from the moment that the application is called until it begins its answer.",
		},
		{
			key: "server.timeouts.request", applies: AtOnce, kind: orNever, value: "60s", flags: []string{"--timeout-request"},
			field: func(c *Config) any { return &c.Server.Timeouts.Request },
			help:  "time for the application to begin its answer; then the client gets 504 and the worker is replaced once its other requests have ended; 0: any time",
			more:  "An answer that has begun is not cut: streams may last. Not counted while the client still sends the body, nor while a debugger holds the worker. The process of `run_app` is not replaced.",
		},

		{
			key: keyCount, applies: AtReload, kind: counts{}, value: "auto", flags: []string{"--workers", "-w"},
			variables: []string{"WEB_CONCURRENCY"},
			field:     func(c *Config) any { return &c.Workers.Count },
			help:      "Python processes; auto: one per CPU this process may use; with min and max as many as the load asks for",
			more: "With `auto` the CPU affinity, the cgroup's CPU quota, rounded up, and `workers.max_memory` are honoured. `{ min = 2, max = 8 }`, as a flag `2-8`, adds workers while requests wait " +
				"and takes them away after `workers.idle_timeout`; with `min = 0` the first request waits for a worker to start.",
		},
		{
			key: "workers.threads", applies: AtReload, kind: number{min: 1, max: 512, auto: true}, value: "auto", flags: []string{"--threads"},
			field: func(c *Config) any { return &c.Workers.Threads },
			help:  "threads of a WSGI worker; auto adds them while requests are slow",
			more:  "`1` promises that the application never runs in two threads at once.",
		},
		{
			key: keyModel, applies: AtReload, kind: words{"threads", "gevent"}, value: "threads", flags: []string{"--model"},
			field: func(c *Config) any { return &c.Workers.Model },
			help:  "how a WSGI worker runs requests side by side: threads, or gevent's greenlets",
			more: "With `gevent` everything is patched (`gevent.monkey.patch_all()`) before the application is imported, and every request gets a greenlet; " +
				"`workers.threads` is then how many run at once, `auto` any number. gevent has to be installed beside the application.",
		},
		{
			key: "workers.queue", applies: AtOnce, kind: number{min: 1, max: 1_000_000}, value: "2048", flags: []string{"--queue"},
			field: func(c *Config) any { return &c.Workers.Queue },
			help:  "requests that may wait for a worker; more get 503",
		},
		{
			key: "workers.queue_timeout", applies: AtOnce, kind: wait, value: "10s", flags: []string{"--queue-timeout"},
			field: func(c *Config) any { return &c.Workers.QueueTimeout },
			help:  "time that a request may wait for a worker; then it gets 503",
		},
		{
			key: "workers.in_flight", applies: AtRestart, kind: number{min: 1, max: 65535, auto: true}, value: "auto", flags: []string{"--in-flight"},
			field: func(c *Config) any { return &c.Workers.InFlight },
			help:  "requests that one worker holds at once; auto adapts it",
		},
		{
			key: "workers.startup_timeout", applies: AtReload, kind: wait, value: "60s", flags: []string{"--startup-timeout"},
			field: func(c *Config) any { return &c.Workers.StartupTimeout },
			help:  "time for a worker to import the application and be ready",
		},
		{
			key: "workers.timeout", applies: AtOnce, kind: wait, value: "30s", flags: []string{"--timeout", "-t"},
			field: func(c *Config) any { return &c.Workers.Timeout },
			help:  "a worker whose event loop or last free thread is held by the application for so long is killed and replaced; its stacks are logged",
		},
		{
			key: "workers.idle_timeout", applies: AtReload, kind: wait, value: "30s", flags: []string{"--workers-idle-timeout"},
			field: func(c *Config) any { return &c.Workers.IdleTimeout },
			help:  "time that fewer workers must suffice before one is taken away",
		},
		{
			key: "workers.max_memory", applies: AtReload, kind: size{0, 1 << 50}, value: "0", flags: []string{"--workers-max-memory"},
			field: func(c *Config) any { return &c.Workers.MaxMemory },
			help:  "resident memory of all workers beyond which none is added; 0: four fifths of what the cgroup or the machine has",
			more:  "Memory that workers share counts once. It bounds `auto` and what comes on top of `min`: as many workers as were asked for by number are started in any case.",
		},
		{
			key: "workers.max_requests", applies: AtReload, kind: number{min: 0, max: 1 << 30}, value: "0", flags: []string{"--max-requests", "--limit-max-requests"},
			field: func(c *Config) any { return &c.Workers.MaxRequests },
			help:  "requests after which a worker is replaced; 0: any number",
			more:  "Its successor is ready before it goes, and only one worker is replaced at a time, so no request waits for it.",
		},
		{
			key: "workers.max_requests_jitter", applies: AtReload, kind: number{min: 0, max: 1 << 30}, value: "0", flags: []string{"--max-requests-jitter", "--limit-max-requests-jitter"},
			field: func(c *Config) any { return &c.Workers.MaxRequestsJitter },
			help:  "most requests that are added to max_requests, at random, so that workers are not replaced together",
		},
		{
			key: "workers.max_lifetime", applies: AtReload, kind: orNever, value: "0s", flags: []string{"--workers-lifetime"},
			field: func(c *Config) any { return &c.Workers.MaxLifetime },
			help:  "age at which a worker is replaced, up to a tenth earlier at random; 0: any age",
		},
		{
			key: "workers.max_rss", applies: AtReload, kind: size{0, 1 << 50}, value: "0", flags: []string{"--workers-max-rss"},
			field: func(c *Config) any { return &c.Workers.MaxRSS },
			help:  "resident memory at which a worker is replaced; 0: any size",
		},
		{
			key: "workers.preload", applies: AtReload, kind: boolean{}, value: "false", flags: []string{"--preload", "--preload-app"},
			field: func(c *Config) any { return &c.Workers.Preload },
			help:  "import the application once and fork the workers from that process, which share its memory",
			more:  "Refused with a reason where the import starts threads, which a fork would lose. A reload imports anew.",
		},
		{
			key: "workers.overlap", applies: AtReload, kind: overlap{}, value: "all", flags: []string{"--overlap"},
			field: func(c *Config) any { return &c.Workers.Overlap },
			help:  "new workers that a reload starts beside the old ones at once; less needs less memory and takes longer",
		},
		{
			key: "workers.warmup", applies: AtReload, kind: texts{"paths that begin with /", isPath}, value: "", flags: []string{"--warmup"},
			field: func(c *Config) any { return &c.Workers.Warmup },
			help:  "paths that a new worker is asked for (GET) before it gets any client's request; an answer of 500 or more fails its start",
		},

		{
			key: keyReload, applies: AtRestart, kind: boolean{}, value: "false", flags: []string{"--reload"},
			field: func(c *Config) any { return &c.Reload.Enabled },
			help:  "for development: replace the workers when a source file changes, and refresh the browser",
			more:  "Requests that arrive meanwhile wait and are answered by the new code. There is one worker then, unless `workers.count` says otherwise. See [development.md](development.md).",
		},
		{
			key: "reload.directories", applies: AtRestart, kind: texts{"folders", nil}, value: "", flags: []string{"--reload-dir"},
			field: func(c *Config) any { return &c.Reload.Directories },
			help:  "folders to watch, with all below them; none: app.directory",
		},
		{
			key: "reload.include", applies: AtRestart, kind: texts{"patterns", nil}, value: "", flags: []string{"--reload-include"},
			field: func(c *Config) any { return &c.Reload.Include },
			help:  "patterns of further files whose change replaces the workers, such as *.ini or config/**",
			more:  "`*.py` does so always. `*` stands for anything but a slash, `**` for any folders, and a pattern without a slash is looked for in every folder.",
		},
		{
			key: "reload.exclude", applies: AtRestart, kind: texts{"patterns", nil}, value: "", flags: []string{"--reload-exclude"},
			field: func(c *Config) any { return &c.Reload.Exclude },
			help:  "patterns of files and folders that are not watched",
		},
		{
			key: "reload.gitignore", applies: AtRestart, kind: boolean{}, value: "true", flags: []string{"--reload-gitignore"},
			field: func(c *Config) any { return &c.Reload.Gitignore },
			help:  "do not watch what .gitignore names either",
		},
		{
			key: "reload.delay", applies: AtRestart, kind: duration{0, time.Minute}, value: "50ms", flags: []string{"--reload-delay"},
			field: func(c *Config) any { return &c.Reload.Delay },
			help:  "quiet time after a change before it counts, so that many at once are one",
		},
		{
			key: "reload.poll", applies: AtRestart, kind: words{"auto", "on", "off"}, value: "auto", flags: []string{"--reload-poll"},
			field: func(c *Config) any { return &c.Reload.Poll },
			help:  "look at the files instead of waiting for events; auto: where the file system has none, as on network and shared folders",
		},
		{
			key: "reload.browser", applies: AtRestart, kind: boolean{}, value: "true", flags: []string{"--reload-browser"},
			field: func(c *Config) any { return &c.Reload.Browser },
			help:  "have pages in browsers on this machine refresh themselves after a change",
			more:  "A script is added to HTML answers, only where the client and the Host are this machine. A changed style sheet is exchanged without loading the page again.",
		},
		{
			key: "reload.on_error", applies: AtRestart, kind: words{"page", "keep"}, value: "page", flags: []string{"--reload-on-error"},
			field: func(c *Config) any { return &c.Reload.OnError },
			help:  "what is served when the new code does not start: a page with the traceback, or still the old code",
		},

		{
			key: "log.level", applies: AtOnce, kind: words{"debug", "info", "warning", "error"}, value: "info", flags: []string{"--log-level"},
			field: func(c *Config) any { return &c.Log.Level },
			help:  "least important messages that are logged",
		},
		{
			key: keyAccess, applies: AtOnce, kind: words{"off", "combined", "json"}, value: "off", flags: []string{"--access"},
			field: func(c *Config) any { return &c.Log.Access },
			help:  "a log line per request, and its format",
		},
		{
			key: keyAccessFile, applies: AtOnce, kind: filePath{`"-" or the path of a file`, checkParent, isDash}, value: "-",
			flags:    []string{"--access-logfile"},
			field:    func(c *Config) any { return &c.Log.AccessFile },
			help:     "file for these lines; - is standard output",
			flagHelp: "; turns them on if they are off",
			more:     "Only the flag turns the lines on, in the format combined, where no other flag says how they are.",
		},
		{
			key: "log.file", applies: AtOnce, kind: filePath{`"-" or the path of a file`, checkParent, isDash}, value: "-",
			flags: []string{"--log-file", "--error-logfile"},
			field: func(c *Config) any { return &c.Log.File },
			help:  "file for the server's own messages and the workers' output; - is standard error",
			more:  "At SIGUSR1 it is opened anew, as is `access_file`.",
		},
		{
			key: "log.format", applies: AtOnce, kind: words{"text", "json"}, value: "text", flags: []string{"--log-format"},
			field: func(c *Config) any { return &c.Log.Format },
			help:  "format of the server's own messages, on standard error",
		},

		{
			key: "admin.bind", applies: AtRestart, kind: address{}, value: "", flags: []string{"--admin-bind"},
			field: func(c *Config) any { return &c.Admin.Bind },
			help:  "listen there for metrics and health; empty: nowhere",
			more:  "Whoever reaches this address can read the metrics: keep it on a private one, such as `127.0.0.1:9090`.",
		},
		{
			key: "admin.control", applies: AtRestart, kind: filePath{`"auto", "off" or the path of a socket`, checkParent, isAutoOrOff}, value: "auto", flags: []string{"--control"},
			field: func(c *Config) any { return &c.Admin.Control },
			help:  "unix socket for pyspeed-gw ctl; auto: pyspeed.sock in $RUNTIME_DIRECTORY, or beside the file; off: none",
			more:  "Who may open it may stop the workers: it has mode 0600. Where it cannot be made there is a warning, and no socket.",
		},
	}
	return slices.Concat(list, compressOptions(), jsonOptions(), redisOptions(), cacheOptions())
}

// keys lists the options' keys.
func keys() []string {
	var list []string
	for _, o := range options() {
		list = append(list, o.key)
	}
	return list
}
