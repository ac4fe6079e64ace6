package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/livereload"
	"pyspeed/hotreload"
	"pyspeed/internal/config"
	"pyspeed/supervisor"
)

const (
	// developmentDrain is how long a worker may finish what it has begun once its successor serves; under
	// reload.enabled nobody wants to wait for old code.
	developmentDrain = 2 * time.Second
	// streamGrace is how long its event streams go on; then they end, and browsers connect again.
	streamGrace = 100 * time.Millisecond
	// mostGivenUp is how often in a row a reload is given up because there is newer code: whoever edits all the time
	// is to see something, too.
	mostGivenUp = 3

	forever = time.Duration(math.MaxInt64)
)

// developer replaces the workers when their source changes (reload.enabled). It is the Responder of what goes to the
// workers: a request that comes when a change was seen waits for the new code, and where that does not start
// it is answered by a page that says why.
//
// The watcher's goroutine calls Noticed and Changed, which leave work for reloads; that one alone asks the supervisor.
type developer struct {
	g       *Gateway
	cfg     *config.Config // the one at the start, as is all that concerns reload
	log     *slog.Logger
	hub     *livereload.Hub
	watcher *hotreload.Watcher // from begin on
	folders []string           // that are watched

	page atomic.Pointer[livereload.ErrorPage] // what answers everything; nil: the workers do
	held atomic.Bool                          // requests wait

	mu      sync.Mutex
	noticed time.Duration      // since when a file is known to be different; 0: none is
	pending *edit              // to be loaded next
	present context.CancelFunc // gives up what is being loaded; nil: nothing is, or it has to go on
	busy    bool
	shown   []hotreload.Change // of what is being loaded
	givenUp int                // reloads in a row
	wake    chan struct{}
}

// edit is what changed.
type edit struct {
	since   time.Duration // when the first of the code was seen; 0: none of it is code
	changes []hotreload.Change
	shown   []hotreload.Change // that need no other workers
	config  bool               // the configuration is among the changes
}

// first is the earlier of since and t, which both may be 0 for never.
func (e *edit) first(t time.Duration) time.Duration {
	if e.since == 0 || t != 0 && t < e.since {
		return t
	}
	return e.since
}

// newDeveloper is nil where there is nothing to do.
func (g *Gateway) newDeveloper(cfg *config.Config, start Start) *developer {
	if !cfg.Reload.Enabled || cfg.WholeSite() {
		return nil
	}
	if start.Attached != nil {
		g.log.Warn("reload.enabled has no effect: the process that started the gateway is the worker, and cannot be replaced; " +
			`name the application, as in run_app("main:app", reload=True)`)
		return nil
	}
	return &developer{
		g: g, cfg: cfg, log: g.log, folders: watchedFolders(cfg), wake: make(chan struct{}, 1),
		hub: livereload.NewHub(livereload.Settings{Browser: cfg.Reload.Browser, Now: g.clock.Now, Log: g.log}),
	}
}

// Respond implements exchange.Responder.
func (d *developer) Respond(x *exchange.Exchange) {
	if page := d.page.Load(); page != nil && !d.held.Load() {
		page.Respond(x)
		return
	}
	d.g.dispatcher.Respond(x)
	if page := d.page.Load(); page != nil && !d.held.Load() {
		d.g.dispatcher.Divert(forever, page.Answer) // the page came between
	}
}

// begin watches the files and starts the first workers; their failure is told to whoever asks, and waits for its end.
func (d *developer) begin(ctx context.Context) error {
	d.watch()
	err := d.g.supervisor.Start(ctx)
	if failure, ok := errors.AsType[*supervisor.StartupError](err); ok && ctx.Err() == nil && d.g.supervisor.Count() > 0 {
		d.failed(failure, &edit{}, false)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.settle()
		return nil
	}
	if err != nil {
		d.watcher.Close()
	}
	return err
}

// runBeside does what is left on goroutines of its own, until ctx ends or end, which waits for them, is called.
func (d *developer) runBeside(ctx context.Context, running *sync.WaitGroup) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		d.run(ctx)
	})
	return func() { cancel(); <-ended }
}

// run does it until ctx ends. It blocks.
func (d *developer) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { d.hub.Run(ctx) })
	running.Go(func() { d.watcher.Run(ctx, d) })
	d.reloads(ctx)
	running.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noticed, d.pending = 0, nil
	d.settle()
}

// watchedFolders are those of the options.
func watchedFolders(cfg *config.Config) []string {
	if len(cfg.Reload.Directories) == 0 {
		return []string{cfg.App.Directory}
	}
	var folders []string
	for _, path := range cfg.Reload.Directories {
		if !filepath.IsAbs(path) {
			path = filepath.Join(cfg.App.Directory, path)
		}
		folders = append(folders, filepath.Clean(path))
	}
	return folders
}

// sources are the folders whose modules are the application's, also by their names without links.
func (d *developer) sources() []string {
	folders := append([]string{d.cfg.App.Directory}, d.folders...)
	for _, path := range folders {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, real)
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// watch begins to watch.
func (d *developer) watch() {
	r := &d.cfg.Reload
	s := hotreload.Settings{
		Files: map[string]hotreload.Kind{}, Include: r.Include, Exclude: r.Exclude, Gitignore: r.Gitignore, Delay: r.Delay, Log: d.log,
	}
	switch r.Poll {
	case "on":
		s.Poll = hotreload.PollOn
	case "off":
		s.Poll = hotreload.PollOff
	}
	s.Directories = d.folders
	for _, path := range r.Include {
		if filepath.IsAbs(path) && !strings.ContainsAny(path, `*?[\`) {
			s.Files[path] = hotreload.Workers
		}
	}
	// Either way the configuration is read again.
	for _, path := range []string{d.cfg.App.EnvFile, d.g.ConfigFile} {
		if path != "" {
			s.Files[path] = hotreload.Config
		}
	}
	for _, path := range []string{d.cfg.Server.PIDFile, d.cfg.Log.File, d.cfg.Log.AccessFile, d.g.Operation.Control} {
		if path != "" && path != "-" {
			s.Skip = append(s.Skip, path)
		}
	}
	d.watcher = hotreload.New(s)
	how := "events"
	if d.watcher.Polling() {
		how = "polling"
	}
	d.log.Info("reload: watching "+strings.Join(d.folders, ", "), "folders", d.watcher.Folders(), "by", how)
	for _, dir := range d.watcher.Missing() {
		d.log.Warn("reload: there is no folder " + dir + "; it is watched once it is there")
	}
}

// Noticed implements hotreload.Handler.
func (d *developer) Noticed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noticed != 0 {
		return
	}
	d.noticed = d.g.clock.Now()
	if !d.busy && d.pending == nil {
		d.settle()
	}
}

// settle has those requests wait that came after the first change of code that is not loaded; what came before goes to
// the workers, or gets the page. With d.mu held.
func (d *developer) settle() {
	since := d.noticed
	if d.pending != nil {
		since = d.pending.first(since)
	}
	d.held.Store(since != 0) // first: from now on the page is for what comes, or is not
	if page := d.page.Load(); page != nil {
		d.g.dispatcher.Hold() // whatever workers there are have no part in it
		if since == 0 {
			since = forever
		}
		d.g.dispatcher.Divert(since, page.Answer)
		return
	}
	if since != 0 {
		d.g.dispatcher.HoldFrom(since)
	} else {
		d.g.dispatcher.Release()
	}
}

// Changed implements hotreload.Handler.
func (d *developer) Changed(changes []hotreload.Change) {
	var loaded, shown []hotreload.Change
	reconfigure := false
	for _, c := range changes {
		switch c.Kind {
		case hotreload.Workers:
			loaded = append(loaded, c)
		case hotreload.Config:
			loaded = append(loaded, c)
			reconfigure = true
		case hotreload.Browser:
			shown = append(shown, c)
		case hotreload.Nothing:
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	since := d.noticed
	d.noticed = 0
	if loaded == nil {
		if !d.busy && d.pending == nil {
			d.settle()
		}
		d.show(shown)
		return
	}
	if d.pending == nil {
		d.pending = &edit{}
	}
	d.pending.since = d.pending.first(since)
	d.pending.config = d.pending.config || reconfigure
	d.pending.changes = merge(d.pending.changes, loaded)
	d.pending.shown = merge(d.pending.shown, shown)
	if d.present != nil {
		d.present() // what is being loaded is old already
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// show refreshes the pages that show files which the workers read anew by themselves.
func (d *developer) show(changes []hotreload.Change) {
	if changes != nil {
		d.log.Info("changed: " + list(changes))
		d.hub.Broadcast(livereload.Event{Kind: livereload.Changed, Paths: paths(changes)})
	}
}

// reloads loads what changed, until ctx ends.
func (d *developer) reloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		for e := d.take(ctx); e != nil; e = d.take(ctx) {
			d.load(e.ctx, e.edit)
			e.end()
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// loading is an edit that is being loaded.
type loading struct {
	*edit
	ctx context.Context
	end context.CancelFunc
}

// take returns what is to be loaded now, if there is something.
func (d *developer) take(ctx context.Context) *loading {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.pending
	d.pending = nil
	if e == nil {
		return nil
	}
	d.busy, d.shown = true, e.shown
	l := &loading{edit: e}
	l.ctx, l.end = context.WithCancel(ctx)
	if d.givenUp < mostGivenUp {
		d.present = l.end
	}
	return l
}

// load replaces the workers.
func (d *developer) load(ctx context.Context, e *edit) {
	began := d.g.clock.Now()
	logged, err := d.ask(ctx, e)
	failure, told := errors.AsType[*supervisor.StartupError](err)
	d.mu.Lock()
	newer := err != nil && d.pending != nil
	if newer {
		// It was given up, or it failed and there is newer code already: that is what counts.
		d.pending.since = d.pending.first(e.since)
		d.pending.config = d.pending.config || e.config
		d.pending.changes = merge(e.changes, d.pending.changes)
		d.pending.shown = merge(e.shown, d.pending.shown)
		d.givenUp++
	} else {
		d.givenUp = 0
	}
	d.present = nil
	d.mu.Unlock()
	switch {
	case newer:
		return
	case err == nil:
		if e.since != 0 {
			began = e.since
		}
		d.log.Info(fmt.Sprintf("reloaded in %d ms: %s", (d.g.clock.Now() - began).Milliseconds(), list(e.changes)))
	case ctx.Err() != nil:
	case told:
		d.failed(failure, e, logged)
	default:
		d.hub.Broadcast(livereload.Event{Kind: livereload.Failed, Text: err.Error()})
		if !logged {
			d.log.Error("reload: " + err.Error())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy, d.shown = false, nil
	d.settle()
}

// ask has the gateway replace the workers; logged says that it has logged the error.
func (d *developer) ask(ctx context.Context, e *edit) (logged bool, err error) {
	if e.config {
		if _, err = d.g.Reconfigure(ctx); err == nil {
			return false, nil
		}
		if _, ok := errors.AsType[*supervisor.StartupError](err); ok || e.since == 0 || ctx.Err() != nil {
			return ctx.Err() == nil, err
		}
		// The configuration is wrong, as the log says. The code has changed all the same.
	}
	return false, d.g.Reload(ctx, d.g.present.Load(), *d.g.from.Load())
}

// replaced is told that new workers serve, whoever asked for them.
func (d *developer) replaced() {
	d.page.Store(nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hub.Broadcast(livereload.Event{Kind: livereload.Replaced, Paths: paths(d.shown)})
	if !d.busy {
		d.settle()
	}
}

// failed tells everybody that new code does not start.
func (d *developer) failed(failure *supervisor.StartupError, e *edit, logged bool) {
	if !logged {
		supervisor.LogStartup(d.log, failure)
	}
	if d.cfg.Reload.OnError == "keep" && d.page.Load() == nil && d.g.dispatcher.Ready() > 0 {
		d.log.Warn("reload: the old code goes on: " + list(e.changes))
		d.hub.Broadcast(livereload.Event{Kind: livereload.Failed, Text: failure.Error()})
		d.show(e.shown)
		return
	}
	page := d.hub.ErrorPage(livereload.Failure{
		Error: failure, At: time.Now(), Changed: paths(e.changes), Directory: d.cfg.App.Directory, Folders: d.folders,
	})
	d.page.Store(page)
	d.hub.Broadcast(livereload.Event{Kind: livereload.Failed, Page: page})
}

// cannotStart is told that the first worker, which a request has asked for, does not start; false: that is not for a page.
func (d *developer) cannotStart(err error) bool {
	failure, ok := errors.AsType[*supervisor.StartupError](err)
	if !ok {
		return false
	}
	d.mu.Lock()
	newer := d.busy || d.pending != nil || d.noticed != 0
	d.mu.Unlock()
	if newer {
		return true // the requests that wait are for the newer code to answer
	}
	d.failed(failure, &edit{}, true)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	return true
}

// merge puts the changes of two edits together.
func merge(a, b []hotreload.Change) []hotreload.Change {
	seen := map[string]bool{}
	var all []hotreload.Change
	for _, c := range slices.Concat(a, b) {
		if !seen[c.Path] {
			seen[c.Path] = true
			all = append(all, c)
		}
	}
	return all
}

func paths(changes []hotreload.Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, c.Path)
	}
	return all
}

// list names what changed in a line.
func list(changes []hotreload.Change) string {
	const most = 3
	var names []string
	for i, c := range changes {
		if i == most && len(changes) > most+1 {
			names = append(names, fmt.Sprintf("and %d more files", len(changes)-most))
			break
		}
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}
