package gateway

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"pyspeed/gateway/exchange"
	"pyspeed/static"
	"pyspeed/supervisor"
)

// found are the folders that workers have found with app.static = "auto". They are served as [[static]] with pass = true is: what
// is no file of theirs goes to the application.
type found struct {
	opening sync.WaitGroup
	turn    sync.Mutex               // held while folders are opened
	folders supervisor.StaticFolders // that were opened last, of a generation; guarded by turn
	of      int

	mu     sync.Mutex
	set    *static.Set // nil: none
	routes []string    // of its sites
	old    []*static.Set
}

// foundBy is told what a worker that is about to serve has found. It does not block: until the folders are open the
// application serves its files itself.
func (g *Gateway) foundBy(w *supervisor.Worker) {
	f := w.Info.Static
	if set, _ := g.found.sites(); f.Asked || set != nil {
		g.found.opening.Go(func() { g.openFound(f, w.Generation) })
	}
}

// sites are the folders, and their routes; nil: there are none.
func (f *found) sites() (*static.Set, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set, f.routes
}

// openFound opens folders in the place of those that were open before.
func (g *Gateway) openFound(f supervisor.StaticFolders, generation int) {
	g.found.turn.Lock()
	defer g.found.turn.Unlock()
	renewed := g.found.of != generation
	g.found.of = generation
	if reflect.DeepEqual(g.found.folders, f) {
		if set, _ := g.found.sites(); set != nil && renewed {
			if err := set.Reopen(); err != nil { // a new release
				g.log.Error("serving on from the folder before", "cause", err)
			}
		}
		return
	}
	g.found.folders = f
	if f.Asked {
		g.log.Info(f.String())
	}
	cfg := g.present.Load()
	var routes []string
	var list []static.Settings
	for i, route := range f.Routes {
		if slices.Contains(routes, route) {
			continue // which of them it is, is the application's affair; the first is asked first
		}
		routes = append(routes, route)
		list = append(list, static.Settings{
			Route: route, Root: f.Folders[i], Pass: true, CacheControl: f.Caching[i], Types: f.Types, Compress: cfg.Compress.Enabled,
		})
	}
	var set *static.Set
	if len(list) > 0 {
		var err error
		if set, err = static.Open(list, cfg.Server.StaticMemory, g.log); err != nil {
			g.log.Warn("the application serves its files itself", "cause", err)
			set, routes = nil, nil
		}
	}
	g.found.mu.Lock()
	if g.found.set != nil {
		g.found.set.Retire()
		g.found.old = append(g.found.old, g.found.set)
	}
	g.found.set, g.found.routes = set, routes
	g.found.mu.Unlock()
	g.renewSessions()
}

// close lets go of all folders. No request may be under way.
func (f *found) close() {
	f.opening.Wait()
	for _, set := range append(f.old, f.set) {
		if set != nil {
			set.Close()
		}
	}
}

// addFound adds the routes of folders that were found, less those that the configuration has. rest is the application.
func (g *Gateway) addFound(list []route, rest exchange.Responder) []route {
	set, routes := g.found.sites()
	if set == nil {
		return list
	}
	configured := list
	for i, r := range set.Sites(rest) {
		prefix := strings.TrimSuffix(routes[i], "/")
		if !slices.ContainsFunc(configured, func(o route) bool { return o.prefix == prefix }) {
			list = append(list, route{prefix, r})
		}
	}
	return list
}
