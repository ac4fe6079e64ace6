package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"pyspeed/gateway/cache"
	"pyspeed/gateway/exchange"
	"pyspeed/internal/config"
	"pyspeed/internal/ctl"
)

// caching puts the cache in front of responders, around the filter that encodes, which may be nil. The cache is made when it is
// first turned on, and what it keeps outlives configurations. With sessionsMu held, or by New.
func (g *Gateway) caching(cfg *config.Config, encoder cache.Encoder) (func(exchange.Responder) exchange.Responder, error) {
	c := g.cache.Load()
	if c == nil {
		var err error
		if c, err = g.newCache(cfg); err != nil {
			return nil, err
		}
	}
	c.SetSize(cfg.Cache.Size)
	s := g.cacheSettings(cfg)
	s.Encoder = encoder
	return func(next exchange.Responder) exchange.Responder { return c.Wrap(s, next) }, nil
}

func (g *Gateway) newCache(cfg *config.Config) (*cache.Cache, error) {
	r := cache.Runtime{
		Budget: g.budget, Now: g.clock.Now, Count: g.metrics.Counters("pyspeed_cache_requests_total", "result", cache.Results()...), Log: g.log,
	}
	if g.cfg.Cache.Shared {
		r.Redis = g.redis
	}
	c, err := cache.New(cfg.Cache.Size, r)
	if err != nil {
		return nil, err
	}
	g.metrics.Gauge("pyspeed_cache_answers", func() float64 {
		answers, _ := c.Counts()
		return float64(answers)
	})
	g.metrics.Gauge("pyspeed_cache_bytes", func() float64 {
		_, bytes := c.Counts()
		return float64(bytes)
	})
	g.metrics.Writer(func(w io.Writer) {
		counted := c.Shared()
		for _, what := range slices.Sorted(maps.Keys(counted)) {
			fmt.Fprintf(w, "pyspeed_cache_shared_total{what=%q} %d\n", what, counted[what])
		}
	})
	g.cache.Store(c)
	return c, nil
}

// openSharedCache makes the cache where it is shared, whether or not it is turned on: it hears what others purge from the start.
func (g *Gateway) openSharedCache() error {
	if !g.cfg.Cache.Shared {
		return nil
	}
	_, err := g.newCache(g.cfg)
	return err
}

func (g *Gateway) cacheSettings(cfg *config.Config) *cache.Settings {
	s := &cache.Settings{
		Policy: cache.Policy{Heuristic: cfg.Cache.Heuristic, ShareCookies: cfg.Cache.ShareCookies, ClientControl: cfg.Cache.ClientControl},
		Strip:  cache.Strip{Tags: cfg.Cache.StripTags}, MaxEntry: cfg.Cache.MaxEntry, Wait: cfg.Cache.Wait, Status: cfg.Cache.Status,
	}
	for i := range g.cfg.CacheRoutes {
		r := &g.cfg.CacheRoutes[i]
		rule := cache.Rule{
			Path: r.Path, Off: r.Off, TTL: r.TTL, Override: r.Override, StaleWhileRevalidate: r.StaleWhileRevalidate, StaleIfError: r.StaleIfError,
			Statuses: r.Statuses, QueryOnly: r.QueryOnly, Headers: r.Headers, RemoveCookies: r.RemoveCookies, RemoveSetCookie: r.RemoveSetCookie,
		}
		for _, name := range r.QueryIgnore {
			if rule.NoQuery = rule.NoQuery || name == "*"; name != "*" {
				rule.QueryIgnore = append(rule.QueryIgnore, name)
			}
		}
		s.Rules = append(s.Rules, rule)
	}
	return s
}

// purgeCache forgets all answers, and those that are on their way.
func (g *Gateway) purgeCache() {
	if c := g.cache.Load(); c != nil {
		if _, err := c.Purge(cache.Purge{All: true}); err != nil {
			g.log.Warn("the cache is not empty everywhere", "cause", err)
		}
	}
}

// purgeForReload is told that new workers have taken over.
func (g *Gateway) purgeForReload(cfg *config.Config) {
	if g.developer != nil || cfg.Cache.PurgeOnReload {
		g.purgeCache()
	}
}

func (g *Gateway) ctlPurge(_ context.Context, r ctl.Request, _ func(string)) (any, error) {
	c := g.cache.Load()
	if c == nil || !g.present.Load().Cache.Enabled {
		return nil, errors.New("cannot purge: there is no cache; turn it on with cache.enabled")
	}
	p := cache.Purge{URL: r.URL, Prefix: r.Prefix, Tag: r.Tag, All: r.All}
	if (p == cache.Purge{}) {
		return nil, errors.New("cannot purge: the request names nothing")
	}
	n, err := c.Purge(p)
	result := &ctl.Purged{Answers: n}
	if err != nil {
		result.Pending = err.Error()
	}
	return result, nil
}
