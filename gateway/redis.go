package gateway

import "pyspeed/gateway/redisstore"

// openRedis makes what [redis] describes. Nothing is connected yet.
func (g *Gateway) openRedis() error {
	c := &g.cfg.Redis
	if c.URL == "" {
		return nil
	}
	var err error
	if g.redis, err = redisstore.New(redisstore.Settings{URL: c.URL, Timeout: c.Timeout, Prefix: c.Prefix, Log: g.log}); err != nil {
		return err
	}
	g.metrics.Writer(g.redis.WriteMetrics)
	return nil
}
