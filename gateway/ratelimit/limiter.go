package ratelimit

import (
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/redisstore"
)

// Limiter has the buckets of all rules. Safe for concurrent use.
type Limiter struct {
	log   *slog.Logger
	seeds seeds
	asker *asker // nil: there is no Redis
	now   func() time.Duration

	mu      sync.Mutex // held while states changes
	states  map[string]*ruleState
	present atomic.Pointer[[]*rule]
}

// ruleState is what stays of a rule when the configuration is read again. Rules of the same name have the same, where they
// count the same.
type ruleState struct {
	rule  Rule // that it was made for
	table *table
	// Requests, by what became of them.
	allowed, limited, wouldLimit atomic.Uint64
	local                        atomic.Uint64 // of a shared rule, decided without Redis
	toldAt                       atomic.Int64  // when the log last had a line; monotonic
	untold                       atomic.Uint64 // since
}

// New makes a limiter without rules. now is the monotonic clock of exchanges; store is nil where there is no Redis. Close it.
func New(store *redisstore.Store, now func() time.Duration, log *slog.Logger) *Limiter {
	l := &Limiter{log: log, now: now, seeds: seeds{maphash.MakeSeed(), maphash.MakeSeed()}, states: map[string]*ruleState{}}
	if store != nil {
		l.asker = &asker{limiter: l, store: store, most: mostWait}
	}
	l.present.Store(&[]*rule{})
	return l
}

// Configure takes other rules. What was counted under those that count the same goes on.
func (l *Limiter) Configure(list []Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	states := make(map[string]*ruleState, len(list))
	rules := make([]*rule, 0, len(list))
	for _, one := range list {
		st := l.states[one.Name]
		if st == nil || !st.rule.same(&one) {
			st = &ruleState{rule: one, table: newTable(one.Rate, one.Keys)}
		} else {
			st.table.configure(one.Rate, one.Keys)
		}
		if one.Shared && l.asker == nil {
			l.log.Warn("this rate limit is this gateway's own: there is no Redis to share it through; set redis.url and start pyspeed-gw anew", "rule", one.Name)
			one.Shared = false
		}
		states[one.Name] = st
		rules = append(rules, &rule{
			Rule: one, state: st, policy: fmt.Sprintf("%q;q=%d;w=%d", one.Name, one.Rate.Burst, one.Rate.window()),
		})
	}
	l.states = states
	l.present.Store(&rules)
}

// Close waits for what is being asked. No request may come any more.
func (l *Limiter) Close() {
	if l.asker != nil {
		l.asker.running.Wait()
	}
}

// Wrap puts the present rules before next; without any it is next.
func (l *Limiter) Wrap(next exchange.Responder) exchange.Responder {
	rules := *l.present.Load()
	if len(rules) == 0 {
		return next
	}
	return &limited{l, rules, next}
}

// limited is what Wrap makes.
type limited struct {
	*Limiter
	rules []*rule
	next  exchange.Responder
}

// Respond implements exchange.Responder.
func (l *limited) Respond(x *exchange.Exchange) {
	var c client
	var v *visit
	for _, r := range l.rules {
		if of, ok := r.subject(x, &c); ok {
			if v == nil {
				v = newVisit(l)
			}
			v.hits = append(v.hits, hit{rule: r, subject: of, key: l.seeds.key(&of)})
		}
	}
	if v == nil {
		l.next.Respond(x)
		return
	}
	v.now = int64(x.Accepted)
	if v.decide() {
		l.asker.ask(v, x)
		return
	}
	v.Respond(x)
}

// WriteMetrics writes the series of all rules.
func (l *Limiter) WriteMetrics(w io.Writer) {
	for _, r := range *l.present.Load() {
		st := r.state
		keys, evicted := st.table.size()
		fmt.Fprintf(w, "pyspeed_rate_limit_requests_total{rule=%[1]q,result=\"allowed\"} %[2]d\n"+
			"pyspeed_rate_limit_requests_total{rule=%[1]q,result=\"limited\"} %[3]d\n"+
			"pyspeed_rate_limit_requests_total{rule=%[1]q,result=\"would_limit\"} %[4]d\n"+
			"pyspeed_rate_limit_keys{rule=%[1]q} %[5]d\npyspeed_rate_limit_evicted_keys_total{rule=%[1]q} %[6]d\n",
			r.Name, st.allowed.Load(), st.limited.Load(), st.wouldLimit.Load(), keys, evicted)
		if r.Shared {
			fmt.Fprintf(w, "pyspeed_rate_limit_local_decisions_total{rule=%q} %d\n", r.Name, st.local.Load())
		}
	}
}

// tellEvery is how often the log may have a line of one rule's.
const tellEvery = int64(time.Second)

// told is told of a request that would have been refused. It logs one line a second, at most.
func (l *Limiter) told(r *rule, of *subject, x *exchange.Exchange, now int64) {
	st := r.state
	last := st.toldAt.Load()
	if last != 0 && now-last < tellEvery || !st.toldAt.CompareAndSwap(last, max(now, 1)) {
		st.untold.Add(1)
		return
	}
	// The values of fields may be secrets.
	who := "/"
	switch of.kind {
	case ByAddress:
		who = of.address.String()
	case ByHeader:
		who = "a value of " + r.Header
	case ByRoute:
		if len(r.Paths) > 0 {
			who = r.Paths[of.route]
		}
	}
	const most = 200
	path := x.Request.Path
	l.log.Info("this rate limit would have refused a request; it only logs", "rule", r.Name, "key", who, "method", string(x.Request.Method),
		"path", string(path[:min(len(path), most)]), "others since the last line", st.untold.Swap(0))
}
