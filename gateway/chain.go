package gateway

import (
	"pyspeed/gateway/compress"
	"pyspeed/gateway/exchange"
	"pyspeed/internal/config"
)

// responder is what answers all requests: edge → serverWide → routes, and the answers back through the filters. What
// is off is not in the chain.
func (g *Gateway) responder() exchange.Responder {
	r := g.routed()
	if g.cfg.Compress.Enabled {
		r = newCompress(&g.cfg.Compress).Wrap(r)
	}
	return serverWide{r}
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
