package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"pyspeed/supervisor"
)

const (
	// lookEvery is how often workers are looked at.
	lookEvery = 250 * time.Millisecond
	// silent is how long a worker with requests may send nothing before it is asked for a sign of life,
	// and how long its loop may not turn before what it has not begun goes to others.
	silent = time.Second
	// dumpTime is how long the stack dump of a worker that is about to be killed may take.
	dumpTime = 2 * time.Second
)

// watch looks after workers that have requests and say nothing, until ctx ends. A request
// that sleeps or waits in a thread or task of its own does no harm; one that holds the
// event loop, or the last thread, holds all others.
func (p *pool) watch(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, id := range p.dispatcher.Silent(silent) {
			p.mu.Lock()
			e := p.workers[id]
			look := e != nil && !e.asked
			if look {
				e.asked = true
			}
			p.mu.Unlock()
			if look {
				go p.look(ctx, e, time.Duration(p.timeout.Load()))
			}
		}
	}
}

// look finds out whether a silent worker hangs, and does what follows. It ends when the worker turns
// again, or is gone.
func (p *pool) look(ctx context.Context, e *pooled, timeout time.Duration) {
	defer func() {
		p.mu.Lock()
		e.asked = false
		p.mu.Unlock()
	}()
	w := e.worker
	ping, cancel := context.WithTimeout(ctx, silent)
	pong, err := w.Ping(ping)
	cancel()
	if ctx.Err() != nil {
		return
	}
	held := time.Duration(pong.LoopMilliseconds) * time.Millisecond
	if err != nil {
		// Its control thread does not run either: it is stopped, or something holds the interpreter.
		if e.mute.IsZero() {
			e.mute = time.Now().Add(-silent)
		}
		held = time.Since(e.mute)
	} else {
		e.mute = time.Time{}
	}
	if held < silent {
		return
	}
	if p.dispatcher.Suspend(w.ID) {
		p.log.Warn("a worker does not turn: the application holds its event loop or all its threads, or it is stopped", "worker", w.ID, "for", held)
		go p.reclaim(w, slog.LevelWarn)
	}
	if held < timeout {
		e.dumped = false // it has turned since
		return
	}
	if !w.Attached() {
		if time.Since(e.debugged) < timeout {
			return
		}
		if w.Debugged(ctx) {
			e.debugged = time.Now() // the limit begins anew
			return
		}
	} else if e.dumped {
		return
	}
	e.dumped = true
	dump, cancel := context.WithTimeout(ctx, dumpTime)
	defer cancel()
	if err := w.Dump(dump); err != nil {
		p.log.Warn("cannot tell where a worker hangs", "cause", err)
	}
	if w.Attached() {
		// It is never killed: somebody may sit in a debugger. What waits for it does so for workers.queue_timeout.
		p.log.Warn("the application holds its event loop or all its threads; requests wait until it turns", "for", held, "worker", w.ID)
		return
	}
	p.dispatcher.Hung(w.ID)
	w.Kill(supervisor.ReasonHung, fmt.Sprintf("the application held its event loop or all its threads for %s (workers.timeout is %s)", held.Round(time.Millisecond), timeout))
}

// full is told that all threads of a worker run requests and others wait behind these, where other workers may have
// time for them.
func (p *pool) full(w *supervisor.Worker) {
	if p.dispatcher.Crowded(w.ID) {
		go p.reclaim(w, slog.LevelDebug)
	}
}

// reclaim gives to others what a worker has not begun. It waits for the worker's control thread.
func (p *pool) reclaim(w *supervisor.Worker, level slog.Level) {
	ids, err := w.Reclaim()
	if err != nil {
		return // it is gone, which Lost tells
	}
	if moved := p.dispatcher.Reclaimed(w.ID, ids); moved > 0 {
		p.log.Log(context.Background(), level, "what a worker had not begun goes to others", "worker", w.ID, "requests", moved)
	}
}
