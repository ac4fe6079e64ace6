package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"pyspeed/gateway/exchange"
)

// Warm asks one worker, which may be Held, for each path in turn and throws the answers away. The first that is 500
// or more, or does not come, is the error; so is the end of ctx.
func (d *Dispatcher) Warm(ctx context.Context, id string, paths []string) error {
	for _, path := range paths {
		if err := d.warm(ctx, id, path); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dispatcher) warm(ctx context.Context, id, target string) error {
	path, query, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return fmt.Errorf("cannot warm up with %q: %w; set workers.warmup", target, err)
	}
	answer := &discarded{ended: make(chan int, 1)}
	x := &exchange.Exchange{
		Request: exchange.Request{
			Method: []byte(http.MethodGet), Target: []byte(target), RawPath: []byte(path), Path: []byte(decoded), Minor: 1,
			Authority: []byte("localhost"),
			Fields: []exchange.Field{
				{Name: []byte("Host"), Value: []byte("localhost")},
				{Name: []byte("User-Agent"), Value: []byte("pyspeed-warmup")},
			},
		},
		Peer: &exchange.Peer{
			RemoteAddr: "127.0.0.1", RemotePort: "0",
			ServerName: d.Encoder.ServerName, ServerPort: d.Encoder.ServerPort,
		},
		Writer: answer, Accepted: d.Now(),
	}
	if query != "" {
		x.Request.Query = []byte(query)
	}
	c := &call{d: d, bound: true}
	c.wake = c.pump
	c.begin(x)
	answer.source = c
	w := d.find(id)
	if w == nil || !w.opened || w.lost || w.eof || w.ended || len(w.free) == 0 && w.ids >= len(w.calls) {
		d.finish(c)
		d.mu.Unlock()
		return fmt.Errorf("cannot warm up with %s: worker %s takes no requests", target, id)
	}
	c.since = x.Accepted
	w.send(c, c.since)
	d.mu.Unlock()
	w.mux.Flush(true)
	select {
	case status := <-answer.ended:
		switch {
		case status == 0:
			return fmt.Errorf("the warm-up request %s got no answer", target)
		case status >= http.StatusInternalServerError:
			return fmt.Errorf("the warm-up request %s was answered with %d; what the application said is in the log", target, status)
		}
		return nil
	case <-ctx.Done():
		c.Cancelled() // whatever comes of it comes to the discarded answer
		return fmt.Errorf("the warm-up request %s was not answered in time", target)
	}
}

// discarded is the Writer of an answer that nobody reads.
type discarded struct {
	source exchange.Source
	status int
	ended  chan int // gets the status, 0 when there is no whole answer
}

func (w *discarded) Head(status int, _ []exchange.Field) error {
	w.status = status
	return nil
}

func (w *discarded) Answer(status int, _ []exchange.Field, _ []byte) error {
	w.ended <- status
	return nil
}

func (w *discarded) Body(p []byte) { w.source.Drained(len(p)) }

func (w *discarded) Flush() {}

func (w *discarded) End() { w.ended <- w.status }

func (w *discarded) Abort(status int, _ string) {
	if w.status < http.StatusOK {
		w.ended <- status
		return
	}
	w.ended <- 0
}
