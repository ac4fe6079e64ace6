package gateway

import (
	"log/slog"
	"sync"
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
	log        *slog.Logger

	serving chan struct{} // has an element once a worker serves

	mu      sync.Mutex
	workers map[string]*pooled
}

func newPool(log *slog.Logger) *pool {
	return &pool{log: log, workers: map[string]*pooled{}, serving: make(chan struct{}, 1)}
}

func (p *pool) oneServes() {
	select {
	case p.serving <- struct{}{}:
	default:
	}
}

type pooled struct {
	worker *supervisor.Worker
	lost   chan struct{}
	asked  bool // a look at it is under way; of pool.mu
	// Of the look that is under way:
	dumped   bool      // it hangs, and its stacks were logged
	mute     time.Time // since when its control thread answers nothing; zero: it answers
	debugged time.Time // when somebody was last seen to debug it, as it hung
}

// Add implements supervisor.Pool. The worker serves on a goroutine of its own.
func (p *pool) Add(w *supervisor.Worker) {
	e := &pooled{worker: w, lost: make(chan struct{})}
	p.mu.Lock()
	p.workers[w.ID] = e
	p.mu.Unlock()
	go func() {
		err := p.dispatcher.Serve(dispatch.Worker{
			ID: w.ID, Conn: w.Data, Marks: w.Marks, Threads: w.Info.Threads, ASGI: onLoop(w.Info.Interface),
			Serving: p.oneServes,
		}, handshake)
		if err != nil {
			p.log.Error("cannot go on with a worker", "worker", w.ID, "cause", err)
			w.Kill(err.Error())
		}
		<-e.lost
		w.Release()
	}()
}

// Drain implements supervisor.Pool.
func (p *pool) Drain(w *supervisor.Worker) <-chan struct{} { return p.dispatcher.Drain(w.ID) }

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
		e.worker.Kill(cause.Error())
	}
}
