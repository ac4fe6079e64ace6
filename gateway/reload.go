package gateway

import (
	"context"
	"math"
	"time"

	"pyspeed/internal/config"
	"pyspeed/supervisor"
)

// maxThreads is the most a WSGI worker with threads = "auto" uses.
const maxThreads = 64

// launch is what a generation of workers is started from.
func (g *Gateway) launch(cfg *config.Config, start Start) supervisor.Launch {
	w := &cfg.Workers
	b, count := bounds(w)
	if start.Attached != nil {
		b.Max, count = 1, 1
	}
	l := supervisor.Launch{
		Python: start.Python, Directory: cfg.App.Directory, Env: start.Env, Count: count,
		Overlap: w.Overlap, Warmup: w.Warmup, Preload: w.Preload,
		StartupTimeout: w.StartupTimeout, ImportTimeout: cfg.App.ImportTimeout, LifespanTimeout: cfg.App.LifespanTimeout,
		ShutdownTimeout: cfg.Server.Timeouts.Shutdown,
		MaxRequests:     w.MaxRequests, MaxRequestsJitter: w.MaxRequestsJitter, MaxLifetime: w.MaxLifetime, MaxRSS: w.MaxRSS,
		Start: map[string]any{
			"target": cfg.App.Target, "interface": cfg.App.Interface, "factory": cfg.App.Factory,
			"directory": cfg.App.Directory, "threads": w.Threads, "max_threads": maxThreads, "model": w.Model,
			"lifespan": cfg.App.Lifespan, "lifespan_timeout": milliseconds(cfg.App.LifespanTimeout), "root_path": cfg.App.RootPath,
			"server_name": g.serverName, "server_port": g.serverPort, "multiprocess": b.Max > 1, "software": "pyspeed/" + g.version,
			"environment": start.toAttached(), "accelerate": cfg.JSON.Accelerate, "static": cfg.App.Static == "auto",
		},
	}
	if g.developer != nil {
		l.Start["reload"], l.Start["watched"] = true, g.developer.sources()
		l.Start["terminal"] = g.terminal.offered()
		l.Spare = cfg.Workers.Model != "gevent" // which patches what would be imported before
		l.DrainTimeout = developmentDrain
	}
	return l
}

// milliseconds is d as control messages have it, which hold 31 bits.
func milliseconds(d time.Duration) int { return int(min(d.Milliseconds(), math.MaxInt32)) }

// toAttached is the part of the environment that a process gets told which is there already.
func (s *Start) toAttached() []string {
	if s.Attached == nil {
		return nil
	}
	return s.Env
}

// Reload replaces the workers by new ones, which are started as cfg and start say; see supervisor.Reload. There are as
// many of them as before; where cfg has other bounds for that, those count once the reload is through. The caller logs the
// error (supervisor.LogStartup). The folders of [[static]] are opened anew once the new workers serve: what belongs to a release that
// cannot be served stays out.
func (g *Gateway) Reload(ctx context.Context, cfg *config.Config, start Start) error {
	if !cfg.WholeSite() { // else there are no workers
		if err := g.replaceWorkers(ctx, cfg, start); err != nil {
			return err
		}
	}
	if g.statics != nil {
		if err := g.statics.Reopen(); err != nil {
			g.log.Error("serving on from the folder before", "cause", err)
		}
	}
	return nil
}

func (g *Gateway) replaceWorkers(ctx context.Context, cfg *config.Config, start Start) error {
	l := g.launch(cfg, start)
	l.Count = 0
	if err := g.supervisor.Reload(ctx, l); err != nil {
		return err
	}
	g.from.Store(&start)
	g.purgeForReload(cfg) // before browsers are told to come again
	if g.developer != nil {
		g.developer.replaced()
	}
	g.scaler.configure(g.workers.Swap(&cfg.Workers), &cfg.Workers)
	if g.supervisor.Count() == 0 {
		// The next request starts the first worker of another application, perhaps.
		g.streaming.Forget()
		g.scaler.renew()
	}
	return nil
}
