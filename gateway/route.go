package gateway

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"pyspeed/dispatch"
	"pyspeed/gateway/exchange"
	"pyspeed/internal/config"
	"pyspeed/upstream"
)

// routes gives each request to the responder with the longest prefix of its path, in whole segments, and the rest
// to next. The path is the one that was decoded once, which the responders see too.
type routes struct {
	list []route // the longest prefix first
	next exchange.Responder
}

type route struct {
	prefix    string // no slash at its end, so "" for "/"
	responder exchange.Responder
}

func newRoutes(next exchange.Responder, list []route) routes {
	slices.SortStableFunc(list, func(a, b route) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return routes{list, next}
}

// Respond implements exchange.Responder.
func (r routes) Respond(x *exchange.Exchange) {
	path := x.Request.Path
	for i := range r.list {
		p := r.list[i].prefix
		if p == "" || len(path) >= len(p) && string(path[:len(p)]) == p && (len(path) == len(p) || path[len(p)] == '/') {
			r.list[i].responder.Respond(x)
			return
		}
	}
	r.next.Respond(x)
}

// newUpstreams makes what [[upstream]] describes.
func (g *Gateway) newUpstreams(version string) []*upstream.Upstream {
	list := make([]*upstream.Upstream, 0, len(g.cfg.Upstreams))
	for i := range g.cfg.Upstreams {
		u := &g.cfg.Upstreams[i]
		s := upstream.Settings{
			Route: u.Route, Params: u.Params, Software: "pyspeed/" + version,
			Files:       upstream.Files{Root: u.Root, Split: u.Split, Index: u.Index, Script: u.Script},
			Connections: u.Connections, KeepAlive: u.KeepAlive, Queue: u.Queue, QueueTimeout: u.QueueTimeout,
			BufferBody:     g.cfg.Server.BufferBody,
			ConnectTimeout: u.ConnectTimeout, FirstByteTimeout: u.FirstByteTimeout, ReadTimeout: u.ReadTimeout,
			MaxFails: u.MaxFails, FailTimeout: u.FailTimeout, Health: u.Health, HealthInterval: u.HealthInterval,
			Budget: g.budget, Now: g.clock.Now, Log: g.log,
			Failed: func(f upstream.Failure) { g.metrics.Failed(f.Metric()) },
		}
		switch u.CheckScript {
		case "on":
			s.Files.Check = upstream.CheckOn
		case "off":
			s.Files.Check = upstream.CheckOff
		}
		if u.StripPrefix && u.Route != "/" {
			s.Files.Prefix = u.Route
		}
		for _, a := range u.Addresses {
			s.Addresses = append(s.Addresses, upstream.Address{Network: a.Network, Address: a.Address})
		}
		list = append(list, upstream.New(s))
	}
	return list
}

// failureKinds are the labels that failures are counted under.
func failureKinds(cfg *config.Config) []string {
	var kinds []string
	for _, f := range dispatch.Failures() {
		kinds = append(kinds, f.Metric())
	}
	if len(cfg.Upstreams) > 0 {
		for _, f := range upstream.Failures() {
			kinds = append(kinds, f.Metric())
		}
	}
	return kinds
}

// writeUpstreams writes the series of [[upstream]].
func (g *Gateway) writeUpstreams(w io.Writer) {
	for _, u := range g.upstreams {
		waiting, loads := u.State()
		fmt.Fprintf(w, "pyspeed_upstream_queue_length{upstream=%q} %d\n", u.Route, waiting)
		for _, l := range loads {
			up := 0
			if l.Up {
				up = 1
			}
			labels := fmt.Sprintf("{upstream=%q,address=%q}", u.Route, l.Address)
			fmt.Fprintf(w, "pyspeed_upstream_in_flight%s %d\npyspeed_upstream_idle_connections%s %d\npyspeed_upstream_up%s %d\n",
				labels, l.Outstanding, labels, l.Idle, labels, up)
		}
	}
}
