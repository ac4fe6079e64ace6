package cache

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/redisstore"
)

const patience = 30 * time.Second

// gateways are rigs that share a Redis.
func gateways(t *testing.T, n int) (*miniredis.Miniredis, []*rig) {
	t.Helper()
	redis := miniredis.RunT(t)
	var all []*rig
	for range n {
		all = append(all, sharing(t, redis.Addr()))
	}
	return redis, all
}

func sharing(t *testing.T, address string) *rig {
	t.Helper()
	r := newRig(t)
	log := slog.New(slog.DiscardHandler)
	store, err := redisstore.New(redisstore.Settings{URL: "redis://" + address, Timeout: 5 * time.Second, Prefix: "p:", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	runtime := r.cache.Runtime
	runtime.Redis, runtime.Log = store, log
	if r.cache, err = New(16<<20, runtime); err != nil {
		t.Fatal(err)
	}
	r.next = r.cache.Wrap(r.settings, application{r})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.cache.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		store.Close()
		<-ended
	})
	r.until("connected", r.cache.shared.usable)
	return r
}

func (r *rig) until(what string, condition func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("not " + what)
		}
	}
}

// stored waits until n answers of this gateway have got into Redis.
func (r *rig) stored(n uint64) {
	r.t.Helper()
	r.until("stored in Redis", func() bool { return r.cache.Shared()["stored"] >= n })
}

// TestShared: what one gateway has asked for the others need not ask for, variants too, and it is as old there.
func TestShared(t *testing.T) {
	_, g := gateways(t, 3)
	fields := "Cache-Control: max-age=600, stale-while-revalidate=60\nVary: X-L\nETag: \"1\"\nAge: 100\nX-Own: \xe4\nCache-Tag: t"
	g[0].answers(200, fields, "of the first")
	first := g[0].ask("GET /a?b", "X-L: de")
	g[0].stored(1)
	for _, r := range g[1:] {
		got := r.ask("GET /a?b", "X-L: de")
		if string(got.body) != "of the first" || r.called() != 0 || !strings.HasSuffix(got.fields["cache-status"], "; detail=shared") {
			t.Errorf("%q after %d calls, %s", got.body, r.called(), got.fields["cache-status"])
		}
		for _, name := range []string{"etag", "x-own", "vary"} {
			if got.fields[name] != first.fields[name] {
				t.Errorf("%s is %q, want %q", name, got.fields[name], first.fields[name])
			}
		}
		if age := got.fields["age"]; len(age) != 3 || age < "100" || age > "160" {
			t.Errorf("its age is %s", age)
		}
		if got := r.ask("GET /a?b", "X-L: de"); !strings.HasPrefix(got.fields["cache-status"], "pyspeed; hit; ttl=") || strings.Contains(got.fields["cache-status"], "shared") {
			t.Errorf("the second time: %s", got.fields["cache-status"])
		}
		if r.ask("GET /a?b", "X-L: en"); r.called() != 1 {
			t.Error("another variant was not asked for")
		}
	}
}

// TestSharedStampede: many who wait while Redis is asked get one answer, from there or from one call.
func TestSharedStampede(t *testing.T) {
	_, g := gateways(t, 1)
	calls := g[0].held()
	var all []*recorder
	for range 200 {
		all = append(all, g[0].begin("GET /", ""))
	}
	answer(t, g[0].next1(calls), 200, "Cache-Control: max-age=60", "once")
	for _, w := range all {
		g[0].wait(w)
		if string(w.body) != "once" {
			t.Fatalf("got %q", w.body)
		}
	}
	if g[0].called() != 1 {
		t.Errorf("%d calls", g[0].called())
	}
}

// TestSharedPurge: what one gateway purges, or learns to be invalid, the others' memories do not have any more, nor Redis.
func TestSharedPurge(t *testing.T) {
	redis, g := gateways(t, 2)
	for name, purge := range map[string]func(r *rig){
		"unsafe":   func(r *rig) { r.ask("POST /a", "") },
		"location": func(r *rig) { r.answers(303, "Location: /a", ""); r.ask("POST /other", "") },
		"url":      func(r *rig) { r.purge(Purge{URL: "http://example.com/a"}) },
		"path":     func(r *rig) { r.purge(Purge{URL: "/a"}) },
		"prefix":   func(r *rig) { r.purge(Purge{Prefix: "http://EXAMPLE.com/"}) },
		"paths":    func(r *rig) { r.purge(Purge{Prefix: "/a"}) },
		"tag":      func(r *rig) { r.purge(Purge{Tag: "t"}) },
		"all":      func(r *rig) { r.purge(Purge{All: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			before := g[0].cache.Shared()["stored"]
			fields := "Cache-Control: max-age=600\nCache-Tag: t\nVary: X-L"
			g[0].answers(200, fields, "old")
			g[0].ask("GET /a", "X-L: 1")
			g[0].stored(before + 1)
			g[1].answers(200, fields, "new")
			if got := g[1].ask("GET /a", "X-L: 1"); string(got.body) != "old" {
				t.Fatalf("not shared: %q", got.body)
			}
			purge(g[0])
			g[0].until("gone", func() bool { return string(g[1].ask("GET /a", "X-L: 1").body) == "new" })
			heard := g[0].cache.Shared()["heard"]
			g[1].purge(Purge{All: true})
			g[0].until("told", func() bool { return g[0].cache.Shared()["heard"] > heard })
			for _, key := range redis.Keys() {
				if strings.HasPrefix(key, "p:cache:e:") {
					t.Errorf("%q is left", key)
				}
			}
		})
	}
}

// TestSharedPurgeUnderWay: an answer that was asked for before another gateway's purge gets neither into Redis nor into a memory,
// though the message of it comes late or never.
func TestSharedPurgeUnderWay(t *testing.T) {
	redis, g := gateways(t, 2)
	for name, purge := range map[string]Purge{"uri": {uri: "http://example.com/a"}, "tag": {Tag: "t"}, "all": {All: true}, "prefix": {Prefix: "/a"}} {
		t.Run(name, func(t *testing.T) {
			calls := g[1].held()
			w := g[1].begin("GET /a", "")
			x := g[1].next1(calls)
			if err := g[0].cache.shared.remove(t.Context(), &purge); err != nil { // without the message
				t.Fatal(err)
			}
			answer(t, x, 200, "Cache-Control: max-age=60\nCache-Tag: t", "old")
			g[1].wait(w)
			// Jobs of one store run in any order, but this one's value is there only after the other's chance.
			before := g[1].cache.Shared()["stored"]
			g[1].answers(200, "Cache-Control: max-age=60", "x")
			g[1].ask("GET /after/"+name, "")
			g[1].stored(before + 1)
			for _, key := range redis.Keys() {
				if strings.HasPrefix(key, "p:cache:e:") && strings.HasSuffix(key, "/a") {
					t.Errorf("%q was kept", key)
				}
			}
			g[1].purge(Purge{All: true})
		})
	}
}

// TestRedisAway: without Redis each gateway goes on with its own memory; a purge says that it is not done, and when Redis is back
// nothing of what it had is used.
func TestRedisAway(t *testing.T) {
	redis, g := gateways(t, 2)
	g[0].answers(200, "Cache-Control: max-age=600", "old")
	g[0].ask("GET /a", "")
	g[0].stored(1)
	redis.SetError("LOADING it is away")
	g[0].answers(200, "Cache-Control: max-age=600", "own")
	if got := g[0].ask("GET /a", ""); string(got.body) != "old" {
		t.Errorf("its memory has %q", got.body)
	}
	g[1].answers(200, "Cache-Control: max-age=600", "alone")
	for range 3 {
		if got := g[1].ask("GET /a", ""); string(got.body) != "alone" {
			t.Errorf("alone it gives %q", got.body)
		}
	}
	if _, err := g[0].cache.Purge(Purge{URL: "/a"}); err == nil || !strings.Contains(err.Error(), "not yet from Redis") {
		t.Errorf("the purge says %v", err)
	}
	if got := g[0].ask("GET /a", ""); string(got.body) != "own" {
		t.Errorf("after a purge: %q", got.body)
	}
	redis.SetError("")
	g[0].until("back", g[0].cache.shared.usable)
	third := sharing(t, redis.Addr())
	third.answers(200, "Cache-Control: max-age=600", "third")
	if got := third.ask("GET /a", ""); string(got.body) == "old" {
		t.Error("what was purged is in Redis again")
	}
}

// TestRefreshAsksRedis: of several gateways that have the same stale answer one asks the application.
func TestRefreshAsksRedis(t *testing.T) {
	redis, g := gateways(t, 2)
	g[0].answers(200, "Cache-Control: max-age=10, stale-while-revalidate=600", "old")
	g[0].ask("GET /", "")
	g[0].stored(1)
	g[1].ask("GET /", "")
	redis.FlushAll() // there time has not passed
	g[0].pass(20 * time.Second)
	g[1].pass(20 * time.Second)
	g[0].answers(200, "Cache-Control: max-age=10, stale-while-revalidate=600", "new")
	if got := g[0].ask("GET /", ""); string(got.body) != "old" {
		t.Errorf("stale: %q", got.body)
	}
	g[0].stored(2)
	g[1].ask("GET /", "")
	g[1].until("fresh", func() bool { return string(g[1].ask("GET /", "").body) == "new" })
	if g[1].called() != 0 {
		t.Errorf("%d calls", g[1].called())
	}
}

func TestCodec(t *testing.T) {
	e := &entry{
		key: "k\n\nx=1\n", uri: "u", varies: []string{"x"}, status: 200, body: []byte("\x00body\n"), etag: []byte(`"1"`), tags: []string{"a b"},
		fields:   []exchange.Field{{Name: []byte("X-A"), Value: []byte("\xe4")}},
		modified: time.Unix(784111777, 0).UTC(), hasModified: true, date: time.Unix(784111999, 0).UTC(),
		terms:    terms{store: true, fresh: time.Minute, while: 2, onError: 3, strict: true, bound: true, forCookies: true, forAuthorized: true},
		received: time.Second,
	}
	b, err := e.encode(3 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(b, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if age := got.age(time.Hour); age < 2*time.Second || age > time.Minute {
		t.Errorf("its age is %v", age)
	}
	got.initialAge, got.received = e.initialAge, e.received
	if want, is := fmt.Sprintf("%+v", plain(e)), fmt.Sprintf("%+v", plain(got)); is != want {
		t.Errorf("%s became\n%s", want, is)
	}
}

func plain(e *entry) []any {
	return []any{e.key, e.uri, e.names, e.varies, e.status, string(e.body), string(e.etag), e.tags, e.fields, e.modified.UTC(), e.hasModified, e.date.UTC(), e.terms}
}

// FuzzDecode: whatever is in Redis, it is an answer that may be sent, or none.
func FuzzDecode(f *testing.F) {
	e := &entry{key: "k", uri: "u", status: 200, body: []byte("b"), fields: []exchange.Field{{Name: []byte("A"), Value: []byte("b")}}}
	b, err := e.encode(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("PSC1\xff\xff\xff\xff"))
	f.Add([]byte("PSC1\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b, 0)
		if err == nil && e.names == nil && (e.status < 200 || !valid(e.fields)) {
			t.Errorf("%q is %+v", b, e)
		}
	})
}
