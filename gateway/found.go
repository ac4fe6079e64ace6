package gateway

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"pyspeed/gateway/exchange"
	"pyspeed/static"
	"pyspeed/supervisor"
)

// found are the folders that workers have found with app.static = "auto". They are served as [[static]] with pass = true is: what
// is no file of theirs goes to the application.
type found struct {
	opening sync.WaitGroup
	told    atomic.Int64 // how often a worker said what it found

	turn   sync.Mutex // held while folders are opened
	last   int64      // of told, that was gone by; guarded by turn, as the next ones
	of     int        // its generation
	wanted wanted     // what is open
	said   string     // to the operator

	mu     sync.Mutex
	set    *foundSet // nil: none
	routes []string  // of its sites
	sets   []*foundSet
}

// wanted is what sets of folders differ by.
type wanted struct {
	folders  supervisor.StaticFolders // without reasons, which are only to be read
	compress bool
}

// foundBy is told what a worker that is about to serve has found. It does not block: until the folders are open the
// application serves its files itself.
func (g *Gateway) foundBy(w *supervisor.Worker) {
	f := w.Info.Static
	if !f.Asked && g.found.told.Load() == 0 {
		return
	}
	call := g.found.told.Add(1)
	g.found.opening.Go(func() { g.openFound(call, f, w.Generation) })
}

// sites are the folders, and their routes; nil: there are none.
func (f *found) sites() (*foundSet, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set, f.routes
}

// openFound opens folders in the place of those that were open before, if they are others. The last worker to serve decides, also where
// that is one of the generation before, as after a reload that failed.
func (g *Gateway) openFound(call int64, f supervisor.StaticFolders, generation int) {
	o := &g.found
	o.turn.Lock()
	defer o.turn.Unlock()
	if call < o.last {
		return
	}
	f = g.reached(f)
	renewed := o.of != generation
	o.last, o.of = call, generation
	says := ""
	if f.Asked {
		says = f.String()
	}
	if says != "" && says != o.said {
		g.log.Info(says)
	}
	o.said = says
	f.Not = nil
	want := wanted{f, g.present.Load().Compress.Enabled}
	if reflect.DeepEqual(o.wanted, want) {
		if set, _ := o.sites(); set != nil && renewed {
			if err := set.Reopen(); err != nil { // a new release
				g.log.Error("serving on from the folder before", "cause", err)
			}
		}
		return
	}
	o.wanted = want
	set, routes, err := g.openFolders(&want)
	if err != nil {
		g.log.Warn("the application serves its files itself", "cause", err)
		o.wanted = wanted{} // the next worker has it tried again
	}
	o.mu.Lock()
	before := o.set
	o.set, o.routes = set, routes
	if set != nil {
		o.sets = append(o.sets, set)
	}
	o.mu.Unlock()
	g.renewSessions()
	if before != nil {
		before.Retire()
		before.leave()
	}
}

// openFolders opens what is wanted; a nil set: nothing is.
func (g *Gateway) openFolders(want *wanted) (set *foundSet, routes []string, err error) {
	var list []static.Settings
	f := &want.folders
	for i, route := range f.Routes {
		if slices.Contains(routes, route) {
			continue // which of them it is, is the application's affair; the first is asked first
		}
		routes = append(routes, route)
		list = append(list, static.Settings{
			Route: route, Root: f.Folders[i], Pass: true, CacheControl: f.Caching[i], Types: f.Types, Compress: want.compress,
		})
	}
	if len(list) == 0 {
		return nil, nil, nil
	}
	folders, err := static.Open(list, g.present.Load().Server.StaticMemory, g.log)
	if err != nil {
		return nil, nil, err
	}
	return newFoundSet(folders, g.found.forget), routes, nil
}

// forget takes a set off the list of those that are open.
func (f *found) forget(set *foundSet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sets = slices.DeleteFunc(f.sets, func(s *foundSet) bool { return s == set })
}

// close lets go of all folders. No request may be under way.
func (f *found) close() {
	f.opening.Wait()
	f.mu.Lock()
	sets := slices.Clone(f.sets)
	f.mu.Unlock()
	for _, set := range sets {
		set.close()
	}
}

// withFound is the application with the folders that were found in front of it.
func (g *Gateway) withFound(app exchange.Responder) exchange.Responder {
	set, routes := g.found.sites()
	if set == nil {
		return app
	}
	list := make([]route, len(routes))
	for i, r := range set.sites(app) {
		list[i] = route{routes[i], r}
	}
	return newRoutes(app, list)
}

// reached is f less the folders that requests do not come to the application for.
func (g *Gateway) reached(f supervisor.StaticFolders) supervisor.StaticFolders {
	all := f
	f.Routes, f.Folders, f.Caching, f.Not = nil, nil, nil, slices.Clone(f.Not)
	for i, route := range all.Routes {
		if by := g.elsewhere(route); by != "" {
			f.Not = append(f.Not, route+": requests for it go to "+by)
			continue
		}
		f.Routes, f.Folders, f.Caching = append(f.Routes, route), append(f.Folders, all.Folders[i]), append(f.Caching, all.Caching[i])
	}
	return f
}

// elsewhere is the entry of the configuration that keeps all requests below a path from the application; "": they come to it.
func (g *Gateway) elsewhere(path string) string {
	by, longest := "", -1
	consider := func(table, route string, passes bool) {
		prefix := strings.TrimSuffix(route, "/")
		if len(prefix) > longest && strings.HasPrefix(path+"/", prefix+"/") {
			by, longest = table+" "+route, len(prefix)
			if passes {
				by = ""
			}
		}
	}
	for i := range g.cfg.Upstreams {
		consider("[[upstream]]", g.cfg.Upstreams[i].Route, false)
	}
	for i := range g.cfg.Statics {
		consider("[[static]]", g.cfg.Statics[i].Route, g.cfg.Statics[i].Pass)
	}
	return by
}
