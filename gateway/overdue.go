package gateway

import (
	"context"
	"time"

	"pyspeed/dispatch"
	"pyspeed/supervisor"
)

// dumpPause is the time between two stack dumps of a worker because of slow requests. What becomes slow meanwhile
// shares the second.
const dumpPause = time.Second

// slow is told of requests that have taken server.timeouts.request_soft. It implements dispatch.Settings.Slow.
func (p *pool) slow(id string, requests []dispatch.Slow) {
	p.mu.Lock()
	e := p.workers[id]
	start := e != nil && !e.telling
	if e != nil {
		e.slow = append(e.slow, requests...)
		e.telling = true
	}
	p.mu.Unlock()
	if start {
		go p.tell(e)
	}
}

// tell logs slow requests, and where their worker is, until there are no more.
func (p *pool) tell(e *pooled) {
	w := e.worker
	for {
		p.mu.Lock()
		slow := e.slow
		e.slow = nil
		e.telling = len(slow) > 0
		p.mu.Unlock()
		if len(slow) == 0 {
			return
		}
		for _, s := range slow {
			p.log.Warn("a request takes long; the stacks of its worker follow", "method", s.Method, "target", s.Target,
				"for", s.Age, "client_left", s.Left, "worker", w.ID)
		}
		ctx, cancel := context.WithTimeout(context.Background(), dumpTime)
		if err := w.Dump(ctx); err != nil {
			p.log.Warn("cannot tell where the requests are", "cause", err)
		}
		cancel()
		pause := time.NewTimer(dumpPause)
		select {
		case <-pause.C:
		case <-e.lost:
		}
		pause.Stop()
	}
}

// overdue is told of requests that have taken server.timeouts.request, and were ended. It implements
// dispatch.Settings.Overdue.
func (p *pool) overdue(id string, requests []dispatch.Slow) {
	p.mu.Lock()
	e := p.workers[id]
	p.mu.Unlock()
	for _, s := range requests {
		p.log.Error("a request took too long (server.timeouts.request): it was answered with 504 and is aborted", "method", s.Method,
			"target", s.Target, "for", s.Age, "client_left", s.Left, "worker", id)
	}
	if e == nil || e.worker.Attached() {
		return // that one lives as long as its process wants
	}
	if err := p.recycle(id, supervisor.ReasonRequestTimeout); err != nil {
		p.log.Debug("a worker is not replaced", "worker", id, "cause", err) // it goes already
	}
}

// debugged implements dispatch.Settings.Debugged.
func (p *pool) debugged(id string) bool {
	p.mu.Lock()
	e := p.workers[id]
	p.mu.Unlock()
	return e != nil && e.worker.Debugged(context.Background())
}
