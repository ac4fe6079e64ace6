package gateway

import (
	"net/netip"
	"strings"

	"pyspeed/gateway/ratelimit"
	"pyspeed/internal/config"
)

// limitRules are the rules of [[rate_limit]].
func (g *Gateway) limitRules(cfg *config.Config) []ratelimit.Rule {
	rules := make([]ratelimit.Rule, 0, len(cfg.RateLimits))
	for i := range cfg.RateLimits {
		c := &cfg.RateLimits[i]
		r := ratelimit.Rule{
			Name: c.Name, Methods: c.Methods, Rate: ratelimit.Rate{Count: c.Rate.Count, Period: c.Rate.Period, Burst: int64(c.Burst)},
			IPv6Prefix: c.IPv6Prefix, LogOnly: c.LogOnly, Shared: c.Shared, Fields: c.Headers, Keys: c.Keys,
		}
		if c.Burst == 0 {
			r.Rate.Burst = c.Rate.Count
		}
		for _, p := range c.Paths {
			r.Paths = append(r.Paths, strings.TrimSuffix(p, "/"))
		}
		for _, s := range c.Allow {
			network, err := config.ParseNetwork(s)
			if err != nil {
				network = netip.Prefix{} // it was checked, and this one has nobody in it
			}
			r.Allow = append(r.Allow, network)
		}
		switch name, isHeader := strings.CutPrefix(c.Key, "header:"); {
		case isHeader:
			r.Kind, r.Header = ratelimit.ByHeader, name
		case c.Key == "route":
			r.Kind = ratelimit.ByRoute
		}
		rules = append(rules, r)
	}
	return rules
}

// openLimits makes the limiter, which is there without rules too, as they may come while the gateway runs.
func (g *Gateway) openLimits() {
	g.limits = ratelimit.New(g.redis, g.clock.Now, g.log)
	g.metrics.Writer(g.limits.WriteMetrics)
	g.configureLimits(g.cfg)
}

// configureLimits has the limiter go by a configuration, from the next requests of each connection on.
func (g *Gateway) configureLimits(cfg *config.Config) {
	g.limits.Configure(g.limitRules(cfg))
	for _, a := range cfg.Server.Bind {
		for i := range cfg.RateLimits {
			if r := &cfg.RateLimits[i]; a.Network == "unix" && r.Key == "address" {
				g.log.Warn("clients on a unix socket have no address, so that this rate limit lets all of them pass; where a proxy is before it, count by a field that it sets, such as key = \"header:X-Real-IP\"",
					"rule", r.Name, "address", a.String())
			}
		}
	}
}
