package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"pyspeed/dispatch"
	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
	"pyspeed/internal/config"
	"pyspeed/supervisor"
)

// Reconfigured is what became of a configuration that was read again: the keys of the options that had changed.
type Reconfigured struct {
	Applied []string // in effect now, for all requests or those of the new workers
	Restart []string // in effect when the gateway is started anew
}

// errNoLoad is for gateways that nothing was given to read the configuration with.
var errNoLoad = errors.New("cannot reload: there is nothing to read the configuration from")

// Reconfigure reads the configuration again, applies what can be applied to a running gateway, and replaces the workers. On
// an error of the configuration nothing has changed; on one of the new workers the old ones serve. The outcome is logged. It returns
// when all new workers serve, or with ctx: then the reload goes on. Calls while one is under way share the next. From any goroutine, once
// Run was called.
func (g *Gateway) Reconfigure(ctx context.Context) (Reconfigured, error) { return g.reloads.wait(ctx) }

// reconfigure does it, and logs what became of it. Runs on the goroutine of reloads.
func (g *Gateway) reconfigure(ctx context.Context) (Reconfigured, error) {
	if g.stopping.Load() {
		return Reconfigured{}, errStopping
	}
	result, err := g.tryReconfigure(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil || g.stopping.Load():
		return result, errStopping
	default:
		supervisor.LogStartup(g.log, err)
	}
	return result, err
}

func (g *Gateway) tryReconfigure(ctx context.Context) (Reconfigured, error) {
	var result Reconfigured
	if g.Operation.Load == nil {
		return result, errNoLoad
	}
	next, start, err := g.Operation.Load()
	if err != nil {
		return result, g.unchanged(err)
	}
	before := g.present.Load()
	now := before.With(next, config.AtOnce)
	if err := g.applyAtOnce(before, now); err != nil {
		return result, g.unchanged(err)
	}
	g.present.Store(now)
	// Between one with workers and one without there is no way but a restart.
	otherSite := next.WholeSite() != g.cfg.WholeSite()
	for _, c := range config.Changes(before, next) {
		if c.Applies == config.AtRestart || otherSite && c.Applies == config.AtReload {
			result.Restart = append(result.Restart, c.Key)
			g.log.Warn("this option has changed, and stays as it was until pyspeed-gw is started anew", "option", c.Key)
		} else {
			result.Applied = append(result.Applied, c.Key)
		}
	}
	if otherSite {
		return result, nil
	}
	then := now.With(next, config.AtReload)
	if err := g.Reload(ctx, then, start); err != nil {
		return result, fmt.Errorf("cannot reload, the workers are as they were: %w", err)
	}
	g.present.Store(then)
	if len(result.Applied) > 0 {
		g.log.Info("the configuration has changed", "options", result.Applied)
	}
	return result, nil
}

// unchanged says that a reload failed before it changed anything.
func (g *Gateway) unchanged(err error) error {
	if g.identity != nil && errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; the gateway is %s by now, who must be able to read it", err, g.identity)
	}
	return fmt.Errorf("cannot reload, all stays as it was: %w", err)
}

// applyAtOnce applies the options of config.AtOnce. On an error, which the opening of files may be, nothing has changed.
func (g *Gateway) applyAtOnce(before, now *config.Config) error {
	if err := g.access.Set(now.Log.Access, now.Log.AccessFile); err != nil {
		return err
	}
	if log := g.Operation.Log; log != nil {
		if now.Log.File != before.Log.File {
			if err := log.Move(now.Log.File); err != nil {
				return errors.Join(err, g.access.Set(before.Log.Access, before.Log.AccessFile))
			}
		}
		log.Set(now.Log.Format, now.Log.Level)
	}
	if now.Server.Backlog != before.Server.Backlog {
		for _, ln := range g.listeners {
			if err := setBacklog(ln, now.Server.Backlog); err != nil {
				g.log.Warn("cannot change how many connections may wait to be accepted", "address", url(ln), "cause", err)
			}
		}
	}
	g.budget.SetLimit(now.Server.BufferBudget)
	g.registry.SetMost(now.Server.Limits.Connections)
	g.dispatcher.SetQueue(now.Workers.Queue, now.Workers.QueueTimeout)
	g.dispatcher.SetRequestTimeouts(now.Server.Timeouts.RequestSoft, now.Server.Timeouts.Request)
	g.pool.setTimeout(now.Workers.Timeout)
	if !reflect.DeepEqual(now.RateLimits, before.RateLimits) {
		g.configureLimits(now)
	}
	g.applyToSessions(now)
	if now.Cache.Enabled != before.Cache.Enabled {
		g.purgeCache() // while it is off nobody tells it what has become invalid
	}
	return nil
}

// applyToSessions has connections go by a configuration, from their next requests on.
func (g *Gateway) applyToSessions(c *config.Config) {
	g.sessionsMu.Lock()
	defer g.sessionsMu.Unlock()
	g.applied = c
	g.sessions.Store(g.sessionConfig(c))
}

// renewSessions has them go by what has been found since, under the configuration that they go by.
func (g *Gateway) renewSessions() {
	g.sessionsMu.Lock()
	defer g.sessionsMu.Unlock()
	g.sessions.Store(g.sessionConfig(g.applied))
}

// drain has every connection end with its next answer, and /ready say no; undo takes that back.
func (g *Gateway) drain(undo bool) {
	g.draining.Store(!undo)
	g.renewSessions()
}

// sessionConfig is what connections go by.
func (g *Gateway) sessionConfig(cfg *config.Config) *http1.Config {
	t, l := &cfg.Server.Timeouts, &cfg.Server.Limits
	return &http1.Config{
		Limits: http1.Limits{RequestLine: int(l.RequestLine), HeaderBytes: int(l.HeaderBytes), HeaderCount: l.HeaderCount},
		Body:   l.Body, BodyMemory: exchange.MaxBody,
		BufferBody: cfg.Server.BufferBody, Streaming: &g.streaming,
		HeaderTimeout: t.Header, BodyTimeout: t.Body, IdleTimeout: t.Idle, WriteTimeout: t.Write,
		Close:     g.draining.Load(),
		Responder: g.responder(cfg), Budget: g.budget, Clock: g.clock, Done: g.ended, Problem: g.problem,
	}
}

// problem is told that the disk for bodies fails.
func (g *Gateway) problem(err error) {
	g.log.Error("cannot serve a request", "cause", err)
	g.metrics.Failed(dispatch.FailBody.Metric())
}
