package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/dispatch"
	"pyspeed/fcgi"
	"pyspeed/gateway/cache"
	"pyspeed/gateway/connedge"
	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
	"pyspeed/gateway/ratelimit"
	"pyspeed/gateway/redisstore"
	"pyspeed/internal/accesslog"
	"pyspeed/internal/admin"
	"pyspeed/internal/config"
	"pyspeed/internal/metrics"
	"pyspeed/internal/privilege"
	jsonpass "pyspeed/json"
	"pyspeed/static"
	"pyspeed/supervisor"
	"pyspeed/upstream"
)

// edge is what serves one listener.
type edge interface {
	Serve() error // blocks until Stop
	Stop()        // accepts no more
	Close()       // frees the rest, once all sessions have ended
}

// Gateway is one running server.
type Gateway struct {
	cfg     *config.Config
	log     *slog.Logger
	version string
	// As most requests' will be.
	serverName, serverPort string

	clock      *http1.Clock
	registry   *http1.Registry
	budget     *exchange.Budget
	metrics    *metrics.Metrics
	access     *accesslog.Log
	identity   *privilege.Identity // whom to become once all is open that only root can open
	loop       fcgi.Loop
	dispatcher *dispatch.Dispatcher
	pool       *pool
	supervisor *supervisor.Supervisor
	upstreams  []*upstream.Upstream
	redis      *redisstore.Store           // nil: there is none
	statics    *static.Set                 // nil: there are none
	cache      atomic.Pointer[cache.Cache] // nil: it was never turned on
	found      found
	limits     *ratelimit.Limiter
	developer  *developer        // nil unless the source is watched
	json       jsonpass.Settings // less what each configuration says
	stopping   atomic.Bool
	workers    atomic.Pointer[config.Workers] // as they were last configured
	from       atomic.Pointer[Start]          // what the present workers were started from
	scaler     *scaler
	endScaling context.CancelFunc // nil: nothing is scaled; of Run
	streaming  http1.Streaming
	terminal   *terminal   // for the workers' debuggers; nil: there is none
	attached   bool        // the one worker is the process that started the gateway
	draining   atomic.Bool // by an operator

	// present is the configuration in effect; cfg is the one at the start.
	present    atomic.Pointer[config.Config]
	sessionsMu sync.Mutex // held while sessions changes
	sessions   *http1.Shared
	applied    *config.Config // that sessions go by; guarded by sessionsMu
	born       time.Time
	listeners  []net.Listener // Run's
	adminURL   string         // "": no such listener
	started    chan struct{}  // closed when clients can connect
	orders     orders
	reloads    *turns

	// Operation is what can be operated. Set it before Run.
	Operation Operation

	// ConfigFile is where the configuration was read from; "" for nowhere. Set it before Run.
	ConfigFile string
	// Listening is called once, when clients can connect, with the addresses as a client would write them; nil is
	// allowed. Set it before Run. On Run's goroutine.
	Listening func(addresses []string)
}

// Start is what the workers are started from.
type Start struct {
	Python  string
	Env     []string // besides the gateway's own environment
	Archive []byte   // the shim
	// Attached is the worker, where that is the process that started the gateway; then Python and Archive are not
	// used, and Env is sent to it.
	Attached *supervisor.Attached
}

// New assembles a gateway.
func New(cfg *config.Config, start Start, version string, log *slog.Logger) (*Gateway, error) {
	g := &Gateway{cfg: cfg, log: log, born: time.Now(), clock: http1.NewClock(), budget: exchange.NewBudget(cfg.Server.BufferBudget)}
	g.registry = http1.NewRegistry(g.clock, cfg.Server.Limits.Connections)
	g.metrics = metrics.New(failureKinds(cfg))
	var err error
	if g.identity, err = privilege.Find(cfg.Server.User, cfg.Server.Group); err != nil {
		return nil, err
	}
	if g.identity != nil && start.Attached != nil {
		return nil, errors.New("cannot become another user: the application runs in the process that started the gateway (run_app); leave server.user and server.group out")
	}
	if g.access, err = accesslog.Open(cfg.Log.Access, cfg.Log.AccessFile, g.identity.Owner()); err != nil {
		return nil, err
	}
	p := newPool(log)
	g.serverName, g.serverPort = serverName(cfg.Server.Bind)
	p.setTimeout(cfg.Workers.Timeout)
	if g.loop, err = newLoop(cfg.Server.Edge); err != nil {
		return nil, err
	}
	g.dispatcher = dispatch.New(dispatch.Settings{
		Loop:  g.loop,
		Queue: cfg.Workers.Queue, QueueTimeout: cfg.Workers.QueueTimeout, StartTimeout: cfg.Workers.StartupTimeout, InFlight: cfg.Workers.InFlight,
		Encoder: dispatch.Encoder{ServerName: g.serverName, ServerPort: g.serverPort, RootPath: cfg.App.RootPath},
		Budget:  g.budget, Now: g.clock.Now, Log: log, Broken: p.broken,
		Awaited:     func() { g.scaler.await() },
		Failed:      func(f dispatch.Failure) { g.metrics.Failed(f.Metric()) },
		RequestSoft: cfg.Server.Timeouts.RequestSoft, Request: cfg.Server.Timeouts.Request,
		Slow: p.slow, Overdue: p.overdue, Debugged: p.debugged,
	})
	p.dispatcher, p.serving = g.dispatcher, g.serving
	g.pool = p
	g.version = version
	g.workers.Store(&cfg.Workers)
	g.from.Store(&start)
	g.attached = start.Attached != nil
	if cfg.Reload.Enabled && !g.attached {
		g.terminal = openTerminal()
	}
	if g.developer = g.newDeveloper(cfg, start); g.developer != nil {
		p.endStreams = streamGrace
	}
	workers := supervisor.Settings{
		Launch: g.launch(cfg, start), Archive: start.Archive, Log: log, Attached: start.Attached, Patient: g.developer != nil,
		Full: p.full,
	}
	if !cfg.WholeSite() {
		g.observe(&workers)
	}
	g.supervisor = supervisor.New(workers, p)
	p.recycle = g.supervisor.Recycle
	g.scaler = newScaler(&cfg.Workers, g.supervisor, g.dispatcher, g.metrics.Scaled, log)
	if g.developer != nil {
		g.scaler.failed = g.developer.cannotStart
	}
	if !cfg.WholeSite() {
		g.streaming.Forget() // until the first worker says what it runs
		g.streaming.Asked = g.scaler.call
	}
	g.upstreams = g.newUpstreams(version)
	if err := g.openStatics(); err != nil {
		return nil, err
	}
	if err := g.openJSON(); err != nil {
		return nil, err
	}
	if err := g.openRedis(); err != nil {
		return nil, err
	}
	g.openLimits()
	if err := g.openSharedCache(); err != nil {
		return nil, err
	}
	g.gauges()
	g.present.Store(cfg)
	g.applied = cfg
	g.sessions = http1.NewShared(g.sessionConfig(cfg))
	g.started = make(chan struct{})
	g.orders.wake = make(chan struct{}, 1)
	g.reloads = newTurns(g.reconfigure)
	return g, nil
}

// serverName is what most requests' SERVER_NAME and SERVER_PORT will be.
func serverName(bind []config.Address) (name, port string) {
	for _, a := range bind {
		if host, p, err := net.SplitHostPort(a.Address); a.Network == "tcp" && err == nil && p != "0" {
			if ip := net.ParseIP(host); ip != nil {
				host = ip.String()
			}
			return host, p
		}
	}
	return "localhost", "80"
}

func (g *Gateway) gauges() {
	m := g.metrics
	m.Gauge("pyspeed_connections", func() float64 { return float64(g.registry.Len()) })
	m.Gauge("pyspeed_buffered_bytes", func() float64 { return float64(g.budget.Held()) })
	if !g.cfg.WholeSite() {
		m.Gauge("pyspeed_workers_wanted", func() float64 { return float64(g.supervisor.Count()) })
	}
	m.Gauge("pyspeed_workers_ready", func() float64 { return float64(g.dispatcher.Ready()) })
	m.Writer(func(w io.Writer) {
		waiting, loads := g.dispatcher.State()
		_, longest := g.dispatcher.Waiting()
		fmt.Fprintf(w, "pyspeed_queue_length %d\npyspeed_queue_longest_wait_seconds %g\n", waiting, longest.Seconds())
		for _, l := range loads {
			fmt.Fprintf(w, "pyspeed_worker_in_flight{worker=%q} %d\npyspeed_worker_window{worker=%q} %d\npyspeed_worker_requests_total{worker=%q} %d\n",
				l.ID, l.Outstanding, l.ID, l.Window, l.ID, l.Requests)
		}
	})
	if len(g.upstreams) > 0 {
		m.Writer(g.writeUpstreams)
	}
	m.Gauge("pyspeed_access_log_dropped_lines", func() float64 { return float64(g.access.Dropped()) })
	m.Gauge("pyspeed_log_dropped_lines", func() float64 {
		if g.Operation.Log == nil {
			return 0
		}
		return float64(g.Operation.Log.Dropped())
	})
}

// ended is told of every exchange that ended.
func (g *Gateway) ended(x *exchange.Exchange) {
	now := g.clock.Now()
	g.metrics.Ended(x, now)
	g.access.Ended(x, now-x.Accepted)
}

// Run serves until stop is done, then stops in order; hurry, once done, ends the waiting. It
// returns a *supervisor.StartupError when no worker could be started.
func (g *Gateway) Run(stop, hurry context.Context) error {
	defer func() {
		for _, ln := range g.listeners {
			_ = ln.Close() // mostly closed by their edges already
		}
	}()
	for _, a := range g.cfg.Server.Bind {
		ln, err := g.listen(a)
		if err != nil {
			return err
		}
		g.listeners = append(g.listeners, ln)
	}
	background, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	if g.cfg.Admin.Bind.Network != "" {
		ln, err := g.listen(g.cfg.Admin.Bind)
		if err != nil {
			return err
		}
		s := admin.New(g.ready, g.metrics.Write)
		running.Go(func() { s.Serve(ln) })
		g.adminURL = url(ln)
		g.log.Info("admin on " + g.adminURL)
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			s.Close(ctx)
		}()
	}
	pid := pidFile(g.cfg.Server.PIDFile)
	if err := pid.write(g.identity.Owner()); err != nil {
		return err
	}
	defer func() {
		if err := pid.remove(); err != nil {
			g.log.Warn("cannot remove the pid file; the next start replaces it", "cause", err)
		}
	}()
	control := g.listenControl()
	if control != nil {
		defer control.Close()
	}
	if err := g.identity.Become(); err != nil {
		return err
	}
	if control != nil {
		running.Go(func() { g.serveControl(background, control) })
	}
	if g.redis != nil {
		g.redis.Start()
		defer g.redis.Close()
	}
	if c := g.cache.Load(); c != nil && g.cfg.Cache.Shared {
		running.Go(func() { c.Run(background) })
	}
	running.Go(func() { g.registry.Run(background) })
	running.Go(func() { g.dispatcher.Run(background) })
	running.Go(func() { g.pool.watch(background) })
	running.Go(func() { g.obey(background) })
	running.Go(func() { g.reloads.run(background, g.started) })
	running.Go(func() { g.access.Run(background) })
	for _, u := range g.upstreams {
		running.Go(func() { u.Run(background) })
	}

	endDeveloper := func() {}
	if !g.cfg.WholeSite() {
		begin := g.supervisor.Start
		if g.developer != nil {
			begin = g.developer.begin
		}
		if err := begin(stop); err != nil {
			if stop.Err() != nil {
				return nil // asked to stop while starting
			}
			return err
		}
		if !g.attached {
			beside, halt := context.WithCancel(background)
			defer halt()
			g.endScaling = halt
			running.Go(func() { g.scaler.run(beside) })
		}
		if g.developer != nil {
			endDeveloper = g.developer.runBeside(background, &running)
		}
	}
	edges, err := g.edges(g.listeners)
	if err != nil {
		endDeveloper()
		g.stopWorkers(hurry)
		return err
	}
	failed := make(chan error, len(edges))
	addresses := make([]string, len(edges))
	for i, e := range edges {
		running.Go(func() { failed <- e.Serve() })
		addresses[i] = url(g.listeners[i])
		g.log.Info("listening on " + addresses[i])
	}
	if g.Listening != nil {
		g.Listening(addresses)
	}
	trim()
	close(g.started)
	select {
	case err = <-failed:
	case err = <-g.supervisor.Detached():
		g.log.Error("stopping: " + err.Error())
	case <-stop.Done():
		g.log.Info("stopping: waiting for requests to end")
	}
	endDeveloper() // its streams and what it holds back
	g.stop(hurry, edges)
	return err
}

// stop ends everything in the order that loses nothing: accept no more, answer what
// was accepted, then stop the workers.
func (g *Gateway) stop(hurry context.Context, edges []edge) {
	g.stopping.Store(true)
	for _, e := range edges {
		e.Stop()
	}
	deadline, cancel := context.WithTimeout(hurry, g.present.Load().Server.Timeouts.Shutdown)
	defer cancel()
	empty := g.registry.Shutdown()
	at, _ := deadline.Deadline()
	streams, cancelStreams := context.WithDeadline(deadline, streamsAt(at))
	defer cancelStreams()
	select {
	case <-empty:
	case <-streams.Done():
		g.endStreams()
	}
	select {
	case <-empty:
	case <-deadline.Done():
		g.endStreams() // those that have begun since
		g.log.Warn("stopping: closing connections whose requests did not end in time", "connections", g.registry.Len())
	}
	g.dispatcher.Stop()
	for _, u := range g.upstreams {
		u.Stop()
	}
	g.registry.CloseAll()
	if c := g.cache.Load(); c != nil {
		c.Stop()
	}
	// The workers have a time of their own: they still run the application's shutdown.
	g.stopWorkers(hurry)
	g.terminal.close()
	<-empty
	for _, u := range g.upstreams {
		u.Wait()
	}
	g.limits.Close()
	for _, e := range edges {
		e.Close()
	}
	if g.statics != nil {
		g.statics.Close()
	}
	g.found.close()
	g.log.Info("stopped")
}

// endStreams ends all event streams, whole, so that their clients connect again, to whoever comes next.
func (g *Gateway) endStreams() {
	_, loads := g.dispatcher.State()
	for _, l := range loads {
		if n := g.dispatcher.EndStreams(l.ID); n > 0 {
			g.log.Info("stopping: ended event streams", "worker", l.ID, "streams", n)
		}
	}
}

func (g *Gateway) stopWorkers(hurry context.Context) {
	if g.cfg.WholeSite() {
		return // there are none
	}
	if g.endScaling != nil {
		g.endScaling() // or it would miss them
	}
	if err := g.supervisor.Stop(hurry); err != nil {
		g.log.Warn("stopping: not all workers ended in order", "cause", err)
	}
}

func (g *Gateway) edges(listeners []net.Listener) ([]edge, error) {
	edges := make([]edge, 0, len(listeners))
	for _, ln := range listeners {
		if !useNetpoll(g.cfg.Server.Edge) {
			edges = append(edges, connedge.New(ln, g.sessions, g.registry, g.log))
			continue
		}
		e, err := newNetpoll(ln, g.sessions, g.registry, g.log)
		if err != nil {
			return nil, err
		}
		edges = append(edges, e)
	}
	return edges, nil
}

// serving is told of each worker that is about to serve. It does not block.
func (g *Gateway) serving(w *supervisor.Worker) {
	known := g.streaming.Known()
	// A slow upload must not hold a thread; an application on an event loop reads while it arrives.
	g.streaming.Set(onLoop(w.Info.Interface))
	if !known {
		g.registry.Reconsider()
	}
	g.foundBy(w)
}

// ready is the answer to the admin listener's /ready.
func (g *Gateway) ready() (bool, string) {
	switch {
	case g.stopping.Load():
		return false, "stopping"
	case g.draining.Load():
		return false, "drained by pyspeed-gw ctl"
	case g.dispatcher.Ready() == 0 && !g.cfg.WholeSite() && g.scaler.bounds().Min > 0: // else a request starts one
		return false, "no worker is ready"
	}
	return true, ""
}

// TryImport starts the workers, without listening, and stops them again; it returns a line about the
// application.
func (g *Gateway) TryImport(ctx context.Context) (string, error) {
	if g.cfg.WholeSite() {
		return "there is no application: an upstream takes every request", nil
	}
	if err := g.identity.Become(); err != nil {
		return "", err
	}
	if err := g.supervisor.Start(ctx); err != nil {
		return "", err
	}
	about := g.cfg.App.Target
	for _, w := range g.supervisor.Workers() {
		about = fmt.Sprintf("%s is %s, on Python %s", g.cfg.App.Target, kindName(w.Info.Interface), w.Info.Python)
		if w.Info.Loop != "" {
			about += " with " + w.Info.Loop
		}
		if w.Info.Acceleration.Asked {
			about += "; " + w.Info.Acceleration.String()
		}
		if w.Info.Static.Asked {
			found := g.reached(w.Info.Static)
			about += "; " + found.String()
		}
	}
	return about + g.aboutJSON(), g.supervisor.Stop(ctx)
}

func kindName(s string) string {
	switch s {
	case "asgi":
		return "an ASGI application"
	case "tornado":
		return "a Tornado application"
	}
	return "a WSGI application"
}

// onLoop is whether a worker with that interface runs all requests on one event loop and gets them as
// ASGI scopes.
func onLoop(kind string) bool { return kind == "asgi" || kind == "tornado" }
