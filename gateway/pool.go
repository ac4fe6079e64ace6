package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/dispatch"
	"pyspeed/supervisor"
)

// handshake is how long a ready worker may take to answer on its data socket.
const handshake = 10 * time.Second

// pool hands the supervisor's workers to the dispatcher. It implements
// supervisor.Pool.
type pool struct {
	dispatcher *dispatch.Dispatcher
	serving    func(w *supervisor.Worker) // told of each worker before it serves
	log        *slog.Logger
	// endStreams is how long after the draining of a worker began its event streams are ended; 0: shortly before its end.
	endStreams time.Duration
	// recycle has a worker replaced, its other requests answered first.
	recycle func(id string, why supervisor.Reason) error

	timeout atomic.Int64 // workers.timeout

	mu      sync.Mutex
	workers map[string]*pooled
}

func (p *pool) setTimeout(d time.Duration) { p.timeout.Store(int64(d)) }

func newPool(log *slog.Logger) *pool {
	return &pool{log: log, workers: map[string]*pooled{}}
}

type pooled struct {
	worker *supervisor.Worker
	lost   chan struct{}
	asked  bool // a look at it is under way; of pool.mu
	// Requests that take long and were not told of; telling: a goroutine does. Of pool.mu.
	slow    []dispatch.Slow
	telling bool
	// Of the look that is under way:
	dumped   bool      // it hangs, and its stacks were logged
	mute     time.Time // since when its control thread answers nothing; zero: it answers
	debugged time.Time // when somebody was last seen to debug it, as it hung
}

// Open implements supervisor.Pool. The worker's connection has a goroutine of its own, which ends after Lost.
func (p *pool) Open(ctx context.Context, w *supervisor.Worker) error {
	e := &pooled{worker: w, lost: make(chan struct{})}
	p.mu.Lock()
	p.workers[w.ID] = e
	p.mu.Unlock()
	opened, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		err := p.dispatcher.Serve(dispatch.Worker{
			ID: w.ID, Conn: w.Data, Marks: w.Marks, Threads: w.Info.Threads, ASGI: onLoop(w.Info.Interface),
			Held: true, Opened: func() { close(opened) }, MaxRequests: w.MaxRequests, Spent: w.Spent,
		}, handshake)
		select {
		case <-opened:
			if err != nil {
				p.log.Error("cannot go on with a worker", "worker", w.ID, "cause", err)
				w.Kill(supervisor.ReasonProtocol, err.Error())
			}
		default:
			ended <- err
		}
		<-e.lost
		w.Release()
	}()
	select {
	case <-opened:
		return p.dispatcher.Warm(ctx, w.ID, w.Warmup)
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cannot start serving with worker %s: %w", w.ID, ctx.Err())
	}
}

// Serve implements supervisor.Pool.
func (p *pool) Serve(w *supervisor.Worker) {
	p.serving(w)
	p.dispatcher.Activate(w.ID)
}

// streamsFirst is how long before its end the event streams of a worker, or of the gateway, end: their
// clients connect again, and the application has the time to see that they are gone.
const streamsFirst = 2 * time.Second

// streamsAt is when they end.
func streamsAt(until time.Time) time.Time { return until.Add(-min(streamsFirst, time.Until(until)/4)) }

// streamsAt is when those of a worker that begins to drain end; zero: never.
func (p *pool) streamsAt(until time.Time) (at time.Time) {
	if !until.IsZero() {
		at = streamsAt(until)
	}
	if p.endStreams > 0 {
		if soon := time.Now().Add(p.endStreams); at.IsZero() || soon.Before(at) {
			at = soon
		}
	}
	return at
}

// Drain implements supervisor.Pool. What the worker has not begun goes to the others; shortly before until its event
// streams end.
func (p *pool) Drain(w *supervisor.Worker, until time.Time) <-chan struct{} {
	empty := p.dispatcher.Drain(w.ID)
	select {
	case <-empty:
		return empty
	default:
	}
	if p.dispatcher.Ready() > 0 {
		go func() {
			if ids, err := w.Reclaim(); err == nil { // else it is gone, which Lost tells
				p.dispatcher.Reclaimed(w.ID, ids)
			}
		}()
	}
	if at := p.streamsAt(until); !at.IsZero() {
		go p.endStreamsOf(w.ID, at, empty)
	}
	return empty
}

// endStreamsOf ends a worker's event streams at that time, if it still has requests.
func (p *pool) endStreamsOf(id string, at time.Time, empty <-chan struct{}) {
	p.mu.Lock()
	e := p.workers[id]
	p.mu.Unlock()
	if e == nil {
		return // it is gone already
	}
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
	case <-empty:
		return
	case <-e.lost:
		return
	}
	if n := p.dispatcher.EndStreams(id); n > 0 {
		p.log.Info("ended the event streams of a worker that stops", "worker", id, "streams", n)
	}
}

// Lost implements supervisor.Pool.
func (p *pool) Lost(w *supervisor.Worker, _ error) {
	p.dispatcher.Lost(w.ID)
	p.mu.Lock()
	e := p.workers[w.ID]
	delete(p.workers, w.ID)
	p.mu.Unlock()
	close(e.lost)
}

// broken ends a worker that the dispatcher cannot use any more.
func (p *pool) broken(id string, cause error) {
	p.mu.Lock()
	e := p.workers[id]
	p.mu.Unlock()
	if e != nil {
		e.worker.Kill(supervisor.ReasonProtocol, cause.Error())
	}
}
