package gateway

import (
	"maps"
	"slices"
	"strings"

	"pyspeed/gateway/cache"
	"pyspeed/gateway/compress"
	"pyspeed/gateway/exchange"
	"pyspeed/internal/config"
	"pyspeed/static"
)

// responder is what answers all requests: edge → serverWide → rate limits → routes, and the answers of applications back through the
// filters. What is off is not in the chain. It is made anew when a configuration is applied, and keeps nothing of its own
// from one request to the next.
func (g *Gateway) responder(cfg *config.Config) exchange.Responder {
	filtered := g.filters(cfg)
	var workers exchange.Responder = g.dispatcher
	live := func(r exchange.Responder) exchange.Responder { return r }
	if g.developer != nil {
		workers, live = g.developer, g.developer.hub.Responder
	}
	rest := g.withFound(filtered(workers)) // what the configuration has comes first, also on the way to the application's folders
	list := make([]route, 0, len(g.upstreams)+len(g.cfg.Statics))
	for _, u := range g.upstreams {
		list = append(list, route{strings.TrimSuffix(u.Route, "/"), filtered(u)})
	}
	if g.statics != nil {
		for i, r := range g.statics.Sites(rest) {
			list = append(list, route{strings.TrimSuffix(g.cfg.Statics[i].Route, "/"), r})
		}
	}
	if len(list) > 0 {
		rest = newRoutes(rest, list)
	}
	return serverWide{live(g.limits.Wrap(rest))}
}

// filters are what stands around each responder that runs applications: JSON's nearest to it, then the others.
func (g *Gateway) filters(cfg *config.Config) func(exchange.Responder) exchange.Responder {
	inner, outer := g.newJSON(&cfg.JSON).Wrap, g.outerFilters(cfg)
	return func(r exchange.Responder) exchange.Responder { return outer(inner(r)) }
}

// outerFilters are the cache, and what encodes, whose work is kept beside what is stored.
func (g *Gateway) outerFilters(cfg *config.Config) func(exchange.Responder) exchange.Responder {
	filtered := func(r exchange.Responder) exchange.Responder { return r }
	var encoder cache.Encoder
	if cfg.Compress.Enabled {
		f := newCompress(&cfg.Compress)
		filtered, encoder = f.Wrap, f
	}
	if cfg.Cache.Enabled {
		cached, err := g.caching(cfg, encoder)
		if err == nil {
			return cached
		}
		g.log.Error("serving without a cache", "cause", err)
	}
	return filtered
}

// openStatics opens what [[static]] describes.
func (g *Gateway) openStatics() error {
	if len(g.cfg.Statics) == 0 {
		return nil
	}
	list := make([]static.Settings, 0, len(g.cfg.Statics))
	for i := range g.cfg.Statics {
		s := &g.cfg.Statics[i]
		site := static.Settings{
			Route: strings.TrimSuffix(s.Route, "/"), Root: s.Root, Index: s.Index, Fallback: s.Fallback, NotFound: s.NotFound,
			Listing: s.Listing, Pass: s.Pass, CacheControl: s.CacheControl, Immutable: s.Immutable, Precompressed: s.Precompressed,
			Compress: s.Compress, Hidden: s.Hidden, Sources: s.Sources, FollowSymlinks: s.FollowSymlinks, Charset: s.Charset,
		}
		for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
			site.Fields = append(site.Fields, exchange.Field{Name: []byte(name), Value: []byte(s.Headers[name])})
		}
		list = append(list, site)
	}
	var err error
	g.statics, err = static.Open(list, g.cfg.Server.StaticMemory, g.log)
	return err
}

func newCompress(c *config.Compress) *compress.Filter {
	s := compress.Settings{
		Levels:  compress.Levels{Gzip: c.GzipLevel, Brotli: c.BrotliLevel, Zstd: c.ZstdLevel},
		MinSize: c.MinSize, Types: c.Types, Except: c.Except,
	}
	for _, name := range c.Encodings {
		if coding, ok := compress.ParseCoding(name); ok {
			s.Codings = append(s.Codings, coding)
		}
	}
	return compress.New(s)
}
