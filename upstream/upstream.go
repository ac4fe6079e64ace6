package upstream

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
)

// Settings of an Upstream.
type Settings struct {
	// Route names it in the log and in metrics.
	Route     string
	Addresses []Address
	Files     Files
	// Params are further parameters; they win over ours, and an empty value takes one of ours away.
	Params map[string]string
	// Software is SERVER_SOFTWARE.
	Software string
	// Connections is the most to each address, and so the most requests it has at once.
	Connections int
	KeepAlive   bool
	// Queue is the most requests that wait for a connection, for at most QueueTimeout; then 503.
	Queue        int
	QueueTimeout time.Duration
	// BufferBody: bodies up to this are complete before a connection is taken; and those that are chunked always,
	// since CGI has to be told the length.
	BufferBody int64
	// ConnectTimeout bounds one attempt to connect; FirstByteTimeout the time from the request's end to the answer's
	// begin; ReadTimeout the time in which nothing more of either comes or goes.
	ConnectTimeout, FirstByteTimeout, ReadTimeout time.Duration
	// MaxFails failures within FailTimeout take an address out for that long; 0: they do not.
	MaxFails    int
	FailTimeout time.Duration
	// Health is how addresses are looked at every HealthInterval: "off", "connect", or a path to ask for.
	Health         string
	HealthInterval time.Duration

	Budget *exchange.Budget
	// Now is the clock Exchange.Accepted was taken from.
	Now func() time.Duration
	Log *slog.Logger
	// Failed is told of each failure. Must not block.
	Failed func(Failure)
}

// Upstream is the Responder in front of one group of responders. Safe for concurrent use.
type Upstream struct {
	Settings
	pool    *pool
	params  parameters
	output  output
	running sync.WaitGroup // requests
}

// New makes an upstream; nothing is connected to before the first request, or look.
func New(s Settings) *Upstream {
	if s.Failed == nil {
		s.Failed = func(Failure) {}
	}
	u := &Upstream{Settings: s}
	u.Log = s.Log.With("upstream", s.Route)
	u.pool = newPool(&u.Settings)
	u.params = parameters{software: s.Software, root: s.Files.Root, own: s.Params}
	u.output = newOutput(u.Log)
	return u
}

// Respond implements exchange.Responder.
func (u *Upstream) Respond(x *exchange.Exchange) {
	r := &request{u: u, x: x, body: x.Body, drained: make(chan struct{}, 1), arrived: make(chan struct{}, 1)}
	r.ctx, r.leave = context.WithCancel(context.Background())
	x.Source = r
	if r.body != nil {
		r.body.Notify(r.wake)
	}
	u.running.Go(r.run)
}

// Run looks after addresses and writes to the log until ctx ends.
func (u *Upstream) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { u.output.run(ctx) })
	all.Go(func() { u.watch(ctx) })
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			return
		case <-t.C:
			u.pool.turn()
		}
	}
}

// Stop refuses what waits for a connection and whatever comes; requests that have one go on.
func (u *Upstream) Stop() { u.pool.stop() }

// Wait returns when the last request has ended. No more may come.
func (u *Upstream) Wait() { u.running.Wait() }

// State returns how many requests wait for a connection, and each address's load.
func (u *Upstream) State() (waiting int, loads []Load) { return u.pool.state() }
