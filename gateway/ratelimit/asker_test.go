package ratelimit

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/redisstore"
)

// remote is a Redis, whose clock is the test's.
type remote struct {
	*miniredis.Miniredis
	held atomic.Pointer[chan struct{}] // what all but the handshake waits for; nil: nothing is held
}

var epoch = time.Unix(1_790_000_000, 123_456_000)

func newRemote(t *testing.T) *remote {
	t.Helper()
	m := &remote{Miniredis: miniredis.RunT(t)}
	m.SetTime(epoch)
	m.Server().SetPreHook(m.before)
	return m
}

func (m *remote) before(_ *server.Peer, cmd string, _ ...string) bool {
	if hold := m.held.Load(); hold != nil && cmd != "HELLO" {
		<-*hold
	}
	return false
}

// hold has Redis say nothing until release is called.
func (m *remote) hold() (release func()) {
	hold := make(chan struct{})
	m.held.Store(&hold)
	return sync.OnceFunc(func() { m.held.Store(nil); close(hold) })
}

func (m *remote) store(t *testing.T, timeout time.Duration) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(redisstore.Settings{URL: "redis://" + m.Addr(), Timeout: timeout, Prefix: "p:", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestScript: in Redis a bucket does exactly what it does here, whatever the rate, also when that changes.
func TestScript(t *testing.T) {
	m := newRemote(t)
	store := m.store(t, patience)
	for i, r := range rates() {
		rnd := rand.New(rand.NewPCG(5, uint64(i)))
		table := newTable(r, 256)
		now := int64(0) // microseconds
		for n := range 200 {
			now += max(0, step(rnd, r)) / 1000 // a clock that goes back is another test's
			if now > 1<<52 {
				break // Redis counts from 1970
			}
			m.SetTime(epoch.Add(time.Duration(now) * time.Microsecond))
			if n == 100 {
				r = Rate{r.Count, r.Period, max(1, r.Burst/2)}
				table.configure(r, 256)
			}
			result, err := store.Eval(t.Context(), takeScript, []string{fmt.Sprint("k", i)}, r.Count, r.Period.Microseconds(), r.Burst, n%2)
			if err != nil {
				t.Fatal(err)
			}
			got := result.([]any)[0].(int64)
			here := table.take(key{1, 2}, now*1000)
			want := here.level / 1000
			if !here.taken {
				want = -want - 1
			}
			if got != want {
				t.Fatalf("%v: request %d at %d: Redis says %d, the table %d", r, n, now, got, want)
			}
		}
		if ttl := m.TTL(fmt.Sprint("p:k", i)); ttl <= 0 || ttl > time.Duration(r.window()+2)*time.Second {
			t.Errorf("%v: the bucket lives for %v", r, ttl)
		}
	}
}

// TestScriptSeveral: all that must have a token have one, or nothing is taken; what need not have one keeps nobody from it.
func TestScriptSeveral(t *testing.T) {
	m := newRemote(t)
	store := m.store(t, patience)
	f := func(want string, musts ...int) {
		t.Helper()
		keys, args := []string{}, []any{}
		for i, must := range musts {
			keys = append(keys, fmt.Sprint(i))
			args = append(args, 1, 1_000_000, i+1, must) // of 1, 2 and 3 tokens
		}
		if got, err := store.Eval(t.Context(), takeScript, keys, args...); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%v: %v, %v, want %s", musts, got, err, want)
		}
	}
	f("[0 1000000 2000000]", 1, 1, 1)
	f("[-1 -1000001 -2000001]", 1, 1, 1)
	f("[-1 0 1000000]", 0, 1, 1)
	f("[-1 -1 0]", 0, 0, 1)
	f("[-1 -1 -1]", 0, 1, 1)
	f("[-1 -1 -1]", 0, 0, 0)
	m.SetTime(epoch.Add(-time.Hour)) // a clock that was put back gives nothing, and takes nothing
	f("[-1 -1 -1]", 1, 1, 1)
	m.SetTime(epoch.Add(time.Second))
	f("[0 0 0]", 1, 1, 1)
	if err := m.Set("p:0", "what is this"); err != nil {
		t.Fatal(err)
	}
	f("[0]", 1)
}

// TestShared: two gateways have one bucket, and each tells the truth about it.
func TestShared(t *testing.T) {
	m := newRemote(t)
	rule := Rule{Name: "a", Rate: Rate{1, time.Minute, 5}, Shared: true, Fields: true}
	one, other := newRig(t, m.store(t, patience), rule), newRig(t, m.store(t, patience), rule)
	for i, r := range []*rig{one, other, one, other, one} {
		if a := r.get("192.0.2.1", "GET /"); a.status != 200 || a.get("RateLimit") != fmt.Sprintf(`"a";r=%d;t=60`, 4-i) || a.ends != 1 {
			t.Errorf("%d: %d\n%s", i, a.status, a.text)
		}
	}
	before := m.CommandCount()
	for range 3 {
		for _, r := range []*rig{one, other} {
			if a := r.get("192.0.2.1", "GET /"); a.status != 429 || a.get("Retry-After") != "60" {
				t.Errorf("%d\n%s", a.status, a.text)
			}
		}
	}
	// The one had Redis say that nothing is left; the other had to ask once.
	if n := m.CommandCount() - before; n > 1+5 { // what the script calls counts too
		t.Errorf("Redis was asked %d times by who is refused", n)
	}
	if a := one.get("192.0.2.2", "GET /"); a.status != 200 {
		t.Errorf("another address gets %d", a.status)
	}
	m.SetTime(epoch.Add(time.Minute))
	one.pass(time.Minute)
	if a := one.get("192.0.2.1", "GET /"); a.status != 200 {
		t.Errorf("after a minute: %d\n%s", a.status, a.text)
	}
	if keys := m.Keys(); strings.Join(keys, " ") != "p:limit:a:a:192.0.2.1 p:limit:a:a:192.0.2.2" {
		t.Errorf("keys are %q", keys)
	}
	m.FlushAll()
	one.metric(`pyspeed_rate_limit_local_decisions_total{rule="a"} 0`)
	other.metric(`pyspeed_rate_limit_requests_total{rule="a",result="limited"} 3`)
}

// TestSharedAndLocal: rules of both kinds are one decision.
func TestSharedAndLocal(t *testing.T) {
	m := newRemote(t)
	r := newRig(t, m.store(t, patience),
		Rule{Name: "local", Rate: Rate{1, time.Hour, 3}, Fields: true},
		Rule{Name: "shared", Rate: Rate{1, time.Minute, 2}, Shared: true, Fields: true},
		Rule{Name: "dry", Rate: Rate{1, time.Hour, 1}, Shared: true, LogOnly: true, Fields: true},
	)
	f := func(status int, limit string) {
		t.Helper()
		if a := r.get("192.0.2.1", "GET /"); a.status != status || a.get("RateLimit") != limit {
			t.Errorf("%d\n%s", a.status, a.text)
		}
	}
	f(200, `"local";r=2;t=3600, "shared";r=1;t=60`)
	f(200, `"local";r=1;t=3600, "shared";r=0;t=60`)
	for range 5 {
		f(429, `"local";r=1;t=3600, "shared";r=0;t=60`) // nothing is taken from the first
	}
	r.metric(`pyspeed_rate_limit_requests_total{rule="dry",result="allowed"} 1`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="dry",result="would_limit"} 1`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="shared",result="limited"} 5`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="local",result="limited"} 0`)
	m.FlushAll()
	r.pass(time.Minute)
	f(200, `"local";r=0;t=3540, "shared";r=1;t=60`)
	f(429, `"local";r=0;t=3540`) // Redis is not asked
}

// TestRedisRefuses: what only Redis knows, that another gateway has used all, takes nothing from what is counted here.
func TestRedisRefuses(t *testing.T) {
	m := newRemote(t)
	local, shared := Rule{Name: "local", Rate: Rate{1, time.Hour, 3}, Fields: true}, Rule{Name: "shared", Rate: Rate{1, time.Minute, 1}, Shared: true, Fields: true}
	one, other := newRig(t, m.store(t, patience), local, shared), newRig(t, m.store(t, patience), shared)
	if a := other.get("192.0.2.1", "GET /"); a.status != 200 {
		t.Fatal(a.status)
	}
	if a := one.get("192.0.2.1", "GET /"); a.status != 429 || a.get("RateLimit") != `"local";r=3;t=0, "shared";r=0;t=60` || one.runs() != 0 {
		t.Errorf("%d\n%s", a.status, a.text)
	}
}

// TestRedisDies: what Redis said last is where this gateway goes on, alone, and nobody waits.
func TestRedisDies(t *testing.T) {
	m := newRemote(t)
	store := m.store(t, patience)
	r := newRig(t, store, Rule{Name: "a", Rate: Rate{1, time.Minute, 5}, Shared: true, Fields: true})
	f := func(status int, limit string) {
		t.Helper()
		if a := r.get("192.0.2.1", "GET /"); a.status != status || a.get("RateLimit") != limit || a.ends != 1 {
			t.Errorf("%d\n%s", a.status, a.text)
		}
	}
	f(200, `"a";r=4;t=60`)
	f(200, `"a";r=3;t=60`)
	m.Close()
	f(200, `"a";r=2;t=60`) // which finds out
	r.until("down", func() bool { return !store.Up() })
	f(200, `"a";r=1;t=60`)
	f(200, `"a";r=0;t=60`)
	f(429, `"a";r=0;t=60`)
	r.metric(`pyspeed_rate_limit_local_decisions_total{rule="a"} 4`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="a",result="allowed"} 5`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="a",result="limited"} 1`)
	if r.runs() != 5 {
		t.Errorf("%d ran", r.runs())
	}
}

// TestRedisSlow: a request waits for the timeout and no longer, is decided once, and the application has it once.
func TestRedisSlow(t *testing.T) {
	m := newRemote(t)
	r := newRig(t, m.store(t, 30*time.Millisecond), Rule{Name: "a", Rate: Rate{1, time.Minute, 3}, Shared: true})
	release := m.hold()
	defer release()
	passed := 0
	for range 10 {
		if a := r.get("192.0.2.1", "GET /"); a.status == 200 {
			passed++
		}
	}
	if passed != 3 || r.runs() != 3 {
		t.Errorf("%d passed, %d ran", passed, r.runs())
	}
	r.metric(`pyspeed_rate_limit_requests_total{rule="a",result="allowed"} 3`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="a",result="limited"} 7`)
}

// TestClientLeaves: whoever leaves while Redis is asked is nobody's request.
func TestClientLeaves(t *testing.T) {
	m := newRemote(t)
	r := newRig(t, m.store(t, patience), Rule{Name: "a", Rate: Rate{1, time.Minute, 3}, Shared: true})
	release := m.hold()
	defer release()
	a, stays := r.ask("192.0.2.1", "GET /"), r.ask("192.0.2.1", "GET /")
	if a.x.Source == nil {
		t.Fatal("nobody hears that the client leaves")
	}
	a.x.Source.Drained(0)
	a.x.Source.Cancelled()
	release()
	if out := a.wait(t); out.status != 0 || out.ends != 1 {
		t.Errorf("%+v", out)
	}
	if out := stays.wait(t); out.status != 200 {
		t.Errorf("%+v", out)
	}
	if r.runs() != 1 {
		t.Errorf("%d ran", r.runs())
	}
}

// TestManyShared: however many ask at once, exactly the burst passes, over all gateways, and each has one answer.
func TestManyShared(t *testing.T) {
	m := newRemote(t)
	rule := Rule{Name: "a", Rate: Rate{1, time.Hour, 100}, Shared: true}
	rigs := []*rig{newRig(t, m.store(t, patience), rule), newRig(t, m.store(t, patience), rule)}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			list := make([]*asked, 0, 50)
			for i := range 50 {
				list = append(list, rigs[(g+i)%2].ask("192.0.2.1", "GET /"))
			}
			for _, a := range list {
				if out := a.wait(t); out.status == 200 {
					passed.Add(1)
				} else if out.status != 429 {
					t.Errorf("status %d", out.status)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 || rigs[0].runs()+rigs[1].runs() != 100 {
		t.Errorf("%d passed, %d ran", passed.Load(), rigs[0].runs()+rigs[1].runs())
	}
	for _, r := range rigs {
		r.Close()
		if r.asker.askers != 0 || len(r.asker.waiting) != 0 {
			t.Errorf("%d goroutines, %d wait", r.asker.askers, len(r.asker.waiting))
		}
	}
}

// TestTooManyWait: beyond a bound nobody waits for Redis.
func TestTooManyWait(t *testing.T) {
	m := newRemote(t)
	r := newRig(t, m.store(t, patience), Rule{Name: "a", Rate: Rate{1, time.Hour, 1_000_000}, Shared: true})
	r.asker.most = 100
	release := m.hold()
	defer release()
	list := make([]*asked, 0, 100+mostAskers*mostAsked+10)
	for range cap(list) {
		list = append(list, r.ask("192.0.2.1", "GET /"))
	}
	if n := r.asker.limiter.states["a"].local.Load(); n < 10 {
		t.Errorf("%d did not wait", n)
	}
	release()
	for _, a := range list {
		if out := a.wait(t); out.status != 200 {
			t.Fatalf("status %d", out.status)
		}
	}
	if r.runs() != len(list) {
		t.Errorf("%d of %d ran", r.runs(), len(list))
	}
}

// TestStrangeAnswer: what is no answer to the question counts for nothing.
func TestStrangeAnswer(t *testing.T) {
	f := func(result any, want bool) {
		t.Helper()
		l := New(nil, func() time.Duration { return 0 }, nil)
		l.Configure([]Rule{{Name: "a", Rate: Rate{1, time.Second, 5}, Keys: 256}})
		v := newVisit(&limited{l, *l.present.Load(), nil})
		rule := v.limited.rules[0]
		v.hits = append(v.hits, hit{rule: rule, key: key{1, 2}, state: rule.state.table.look(key{1, 2}, 0), ask: true})
		if got := v.heard(result, 0); got != want || want == v.hits[0].ask {
			t.Errorf("%v: %t, to be asked %t", result, got, v.hits[0].ask)
		}
		if level := v.hits[0].state.level; level < 0 || level > rule.Rate.full() {
			t.Errorf("%v: level %d", result, level)
		}
	}
	f([]any{int64(1)}, true)
	f([]any{int64(-1)}, true)
	f([]any{int64(1 << 62)}, true)
	f([]any{int64(-1 << 63)}, true)
	f([]any{}, false)
	f([]any{"1"}, false)
	f([]any{int64(1), int64(1)}, false)
	f("OK", false)
	f(nil, false)
}

var _ exchange.Responder = (*rig)(nil)
