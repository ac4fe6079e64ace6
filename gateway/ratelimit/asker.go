package ratelimit

import (
	"context"
	_ "embed"
	"sync"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/redisstore"
)

// Bounds of the asker. Few goroutines make large batches.
const (
	mostAskers = 4
	mostAsked  = 64   // in one round trip
	mostWait   = 8192 // for an answer of Redis; more are decided here
)

//go:embed take.lua
var takeSource string

var takeScript = redisstore.NewScript(takeSource) // never written to

// asker asks Redis for all requests that need it.
type asker struct {
	limiter *Limiter
	store   *redisstore.Store
	most    int // requests that may wait
	running sync.WaitGroup

	mu      sync.Mutex
	waiting []question
	askers  int
}

// question is a request that waits.
type question struct {
	v     *visit
	d     *exchange.Detached
	since time.Time
}

// ask takes a request, inside Respond, and answers it later, from another goroutine; or at once, by what is known here, where too many
// wait already.
func (a *asker) ask(v *visit, x *exchange.Exchange) {
	a.mu.Lock()
	if len(a.waiting) >= a.most {
		a.mu.Unlock()
		v.decideHere()
		v.Respond(x)
		return
	}
	// With mu held, as nobody may answer before Detach is through.
	a.waiting = append(a.waiting, question{v, exchange.Detach(x), time.Now()})
	if a.askers < mostAskers {
		a.askers++
		a.running.Go(a.run)
	}
	a.mu.Unlock()
}

// run asks until nothing waits.
func (a *asker) run() {
	batch := make([]question, 0, mostAsked)
	for {
		a.mu.Lock()
		n := min(len(a.waiting), mostAsked)
		if n == 0 {
			a.waiting = nil
			a.askers--
			a.mu.Unlock()
			return
		}
		batch = append(batch[:0], a.waiting[:n]...)
		clear(a.waiting[:n])
		a.waiting = a.waiting[n:]
		a.mu.Unlock()
		a.askAll(batch)
		clear(batch)
	}
}

// askAll asks for some, the first of which has waited longest, and answers them.
func (a *asker) askAll(batch []question) {
	runs := make([]redisstore.Run, len(batch))
	for i := range batch {
		runs[i] = batch[i].v.question()
	}
	ctx, cancel := context.WithDeadline(context.Background(), batch[0].since.Add(a.store.Timeout))
	a.store.EvalAll(ctx, takeScript, runs)
	cancel()
	now := int64(a.limiter.now())
	for i, q := range batch {
		if runs[i].Err != nil || !q.v.heard(runs[i].Result, now) {
			q.v.decideHere()
		}
		q.v.gone = q.d.Gone()
		q.d.Give(q.v)
	}
}

// question is a run of the script for all of the visit's rules that Redis has to say something about.
func (v *visit) question() redisstore.Run {
	var run redisstore.Run
	for i := range v.hits {
		h := &v.hits[i]
		if !h.ask {
			continue
		}
		r := h.state.rate
		must := 1
		if h.rule.LogOnly {
			must = 0
		}
		run.Keys = append(run.Keys, h.rule.shared(&h.subject))
		run.Args = append(run.Args, r.Count, r.Period.Microseconds(), r.Burst, must)
	}
	return run
}

// heard takes what Redis said; false: that is no answer to the question.
func (v *visit) heard(result any, now int64) bool {
	list, _ := result.([]any)
	at := 0
	for i := range v.hits {
		if v.hits[i].ask {
			at++
		}
	}
	if len(list) != at {
		return false
	}
	at = 0
	for i := range v.hits {
		h := &v.hits[i]
		if !h.ask {
			continue
		}
		// The level, in units of microseconds; negative, less one, where there was no token to take.
		n, ok := list[at].(int64)
		if !ok {
			return false
		}
		at++
		taken := n >= 0
		if !taken {
			n = -n - 1
		}
		h.ask, h.decided, h.taken = false, true, false
		h.state.taken = taken
		h.state.level = min(n, h.state.rate.full()/1000) * 1000
		h.rule.state.table.put(h.key, now, h.state.level, h.state.rate)
		if n < h.state.rate.cost()/1000 && !taken && !h.rule.LogOnly && v.refused == nil {
			v.refuse(h)
		}
	}
	for i := range v.hits {
		if h := &v.hits[i]; v.refused == nil && h.rule.Shared && h.state.taken {
			h.taken = true
		}
	}
	return true
}
