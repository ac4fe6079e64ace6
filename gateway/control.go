package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"pyspeed/internal/ctl"
	"pyspeed/internal/process"
	"pyspeed/supervisor"
)

const (
	// progressEvery is how often who waits for a reload hears of it, and more often when it gets on.
	progressEvery = 5 * time.Second
	lookForward   = 250 * time.Millisecond
	// dumpPatience is how long a worker may take to write its stacks.
	dumpPatience = 5 * time.Second
)

// listenControl makes the control socket; nil: there is none, for which nothing stops.
func (g *Gateway) listenControl() *ctl.Socket {
	if g.Operation.Control == "" {
		return nil
	}
	socket, err := ctl.Listen(g.Operation.Control, g.identity.Owner())
	if err != nil {
		g.log.Warn("pyspeed-gw ctl will not work: "+err.Error(), "option", "admin.control")
		return nil
	}
	g.log.Info("control socket at " + g.Operation.Control)
	return socket
}

// serveControl answers pyspeed-gw ctl until ctx ends.
func (g *Gateway) serveControl(ctx context.Context, socket *ctl.Socket) {
	s := ctl.Server{Log: g.log, Commands: map[string]ctl.Command{
		"status":  g.ctlStatus,
		"workers": g.ctlWorkers,
		"reload":  g.told(g.ctlReload),
		"drain":   g.told(g.ctlDrain),
		"add":     g.told(g.ctlAdd),
		"remove":  g.told(g.ctlRemove),
		"dump":    g.told(g.ctlDump),
		"kill":    g.told(g.ctlKill),
		"purge":   g.told(g.ctlPurge),
	}}
	s.Serve(ctx, socket)
}

// told has the log tell of a command that changes something.
func (g *Gateway) told(c ctl.Command) ctl.Command {
	return func(ctx context.Context, r ctl.Request, progress func(string)) (any, error) {
		var more []any
		if r.Worker != "" {
			more = append(more, "of", r.Worker)
		}
		if r.Count > 0 {
			more = append(more, "count", r.Count)
		}
		for _, what := range [...]string{r.URL, r.Prefix, r.Tag} {
			if what != "" {
				more = append(more, "what", what)
			}
		}
		if r.Undo {
			more = append(more, "undo", true)
		}
		g.log.Info("pyspeed-gw ctl: "+r.Command, more...)
		return c(ctx, r, progress)
	}
}

func (g *Gateway) ctlStatus(context.Context, ctl.Request, func(string)) (any, error) {
	waiting, loads := g.dispatcher.State()
	cfg := g.present.Load()
	s := ctl.Status{
		Version: g.version, PID: os.Getpid(), Uptime: time.Since(g.born).Seconds(),
		Generation: g.supervisor.Generation(), Reloading: g.reloads.busy(),
		Addresses: []string{}, Admin: g.adminURL,
		Workers: ctl.WorkerCount{Ready: g.dispatcher.Ready()},
		Queue:   ctl.Level{Now: waiting, Most: cfg.Workers.Queue},
		Clients: ctl.Level{Now: g.registry.Len(), Most: cfg.Server.Limits.Connections},
	}
	for _, ln := range g.listeners {
		s.Addresses = append(s.Addresses, url(ln))
	}
	s.State, s.Reason = g.state()
	for _, l := range loads {
		s.Requests.InFlight += l.Outstanding
	}
	s.Requests.ByStatus = g.metrics.Requests()
	for _, n := range s.Requests.ByStatus {
		s.Requests.Total += n
	}
	if !g.cfg.WholeSite() {
		b := g.scaler.bounds()
		s.Workers.Wanted, s.Workers.Min, s.Workers.Max = g.supervisor.Count(), b.Min, b.Max
	}
	if u, err := process.Look(os.Getpid()); err == nil {
		s.Memory.Gateway = u.Resident
	}
	for _, w := range g.supervisor.Workers() {
		s.Memory.Workers += w.RSS
	}
	return &s, nil
}

// state is where the gateway is in its life, and why, in words.
func (g *Gateway) state() (state, why string) {
	ready, why := g.ready()
	select {
	case <-g.started:
	default:
		return "starting", ""
	}
	switch {
	case g.stopping.Load():
		return "stopping", ""
	case g.draining.Load():
		return "drained", ""
	case !ready:
		return "not ready", why
	}
	return "ready", ""
}

func (g *Gateway) ctlWorkers(context.Context, ctl.Request, func(string)) (any, error) {
	_, loads := g.dispatcher.State()
	list := []ctl.Worker{}
	for _, w := range g.supervisor.Workers() {
		one := ctl.Worker{
			ID: w.ID, PID: w.PID, State: w.State.String(), Generation: w.Generation, Age: time.Since(w.Started).Seconds(),
			RSS: w.RSS, Interface: w.Info.Interface, Python: w.Info.Python, Reason: w.Ending,
		}
		for _, l := range loads {
			if l.ID == w.ID {
				one.Requests, one.InFlight = l.Requests, l.Outstanding
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// ctlReload waits for a reload and tells how it gets on. It goes on when who asked has left.
func (g *Gateway) ctlReload(ctx context.Context, _ ctl.Request, progress func(string)) (any, error) {
	t := g.reloads.ask()
	before, begun, last := "", time.Now(), time.Now()
	tick := time.NewTicker(lookForward)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-t.done:
			waiting = false
		case <-ctx.Done():
			return nil, ctx.Err()
		case now := <-tick.C:
			text := g.reloadProgress()
			if text == before && now.Sub(last) < progressEvery || now.Sub(begun) < time.Second {
				continue
			}
			before, last = text, now
			progress(fmt.Sprintf("%s, for %s", text, now.Sub(begun).Round(time.Second)))
		}
	}
	if t.err != nil {
		if e, ok := errors.AsType[*supervisor.StartupError](t.err); ok {
			return nil, &ctl.Failure{Err: t.err, Traceback: e.Traceback}
		}
		return nil, t.err
	}
	return &ctl.Reloaded{Generation: g.supervisor.Generation(), Applied: orNone(t.result.Applied), Restart: orNone(t.result.Restart)}, nil
}

func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// reloadProgress says how far the newest generation is.
func (g *Gateway) reloadProgress() string {
	newest, ready, all := 0, 0, 0
	for _, w := range g.supervisor.Workers() {
		if w.Generation > newest {
			newest, ready, all = w.Generation, 0, 0
		}
		if w.Generation == newest {
			all++
			if w.State == supervisor.Ready {
				ready++
			}
		}
	}
	if newest <= g.supervisor.Generation() {
		return "waiting for the reload to begin"
	}
	return fmt.Sprintf("waiting for generation %d: %d of the %d workers that were started are ready", newest, ready, all)
}

func (g *Gateway) ctlDrain(_ context.Context, r ctl.Request, _ func(string)) (any, error) {
	if r.Worker == "" {
		g.drain(r.Undo)
		return &ctl.Drained{Drained: !r.Undo}, nil
	}
	if err := g.supervisor.Recycle(r.Worker, supervisor.ReasonControl); err != nil {
		return nil, err
	}
	return &ctl.Drained{Worker: r.Worker, Drained: true}, nil
}

func (g *Gateway) ctlAdd(_ context.Context, r ctl.Request, _ func(string)) (any, error) {
	return g.ctlScale(r.Count)
}

func (g *Gateway) ctlRemove(_ context.Context, r ctl.Request, _ func(string)) (any, error) {
	return g.ctlScale(-r.Count)
}

func (g *Gateway) ctlScale(n int) (any, error) {
	if n == 0 {
		return nil, errors.New("cannot change the number of workers: the request names no count")
	}
	b, err := g.changeWorkers(n)
	if err != nil {
		return nil, err
	}
	return &ctl.Scaled{Min: b.Min, Max: b.Max}, nil
}

func (g *Gateway) ctlDump(ctx context.Context, r ctl.Request, _ func(string)) (any, error) {
	ids := []string{r.Worker}
	if r.Worker == "" {
		ids = g.living()
	}
	ctx, cancel := context.WithTimeout(ctx, dumpPatience)
	defer cancel()
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { errs[i] = g.supervisor.Dump(ctx, id) })
	}
	all.Wait()
	d := ctl.Dumped{Log: "the server's standard error", Dumped: []string{}}
	if file := g.present.Load().Log.File; file != "-" && g.Operation.Log != nil {
		d.Log = file
	}
	for i, id := range ids {
		switch err := errs[i]; {
		case err == nil:
			d.Dumped = append(d.Dumped, id)
		case r.Worker != "":
			return nil, err
		case !supervisor.Gone(err) && slices.Contains(g.living(), id): // else it has just ended
			if d.Failed == nil {
				d.Failed = map[string]string{}
			}
			d.Failed[id] = err.Error()
		}
	}
	return &d, nil
}

// living are the ids of the workers whose processes there are.
func (g *Gateway) living() []string {
	var ids []string
	for _, w := range g.supervisor.Workers() {
		if !w.State.Final() {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

func (g *Gateway) ctlKill(_ context.Context, r ctl.Request, _ func(string)) (any, error) {
	k := ctl.Killed{Worker: r.Worker}
	for _, w := range g.supervisor.Workers() {
		if w.ID == r.Worker {
			k.PID = w.PID
		}
	}
	if err := g.supervisor.Kill(r.Worker); err != nil {
		return nil, err
	}
	return &k, nil
}
