package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	r := newRig(t, Settings{Prefix: "p:"})
	ctx := t.Context()
	if _, found, err := r.Get(ctx, "a"); found || err != nil {
		t.Errorf("nothing: %t, %v", found, err)
	}
	if err := r.Set(ctx, "a", []byte("1\x00\xff"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if v, found, err := r.Get(ctx, "a"); string(v) != "1\x00\xff" || !found || err != nil {
		t.Errorf("got %q, %t, %v", v, found, err)
	}
	if ttl := r.redis.TTL("p:a"); ttl != time.Minute {
		t.Errorf("it lives for %v", ttl)
	}
	if n, err := r.Delete(ctx, "a", "b"); n != 1 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if n, err := r.Delete(ctx); n != 0 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if r.log.String() != "" {
		t.Errorf("the log is %s", r.log)
	}
}

func TestScripts(t *testing.T) {
	r := newRig(t, Settings{Prefix: "p:"})
	script := NewScript("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}")
	want := int64(0)
	f := func(runs int, evals int) {
		t.Helper()
		before := r.count("EVAL")
		all := make([]Run, runs)
		for i := range all {
			all[i] = Run{Keys: []string{"n"}, Args: []any{i + 1}}
		}
		r.EvalAll(t.Context(), script, all)
		for i, run := range all {
			want += int64(i + 1)
			if got := fmt.Sprint(run.Result); run.Err != nil || got != fmt.Sprintf("[p:n %d]", want) {
				t.Errorf("run %d: %s, %v; want %d", i, got, run.Err, want)
			}
		}
		if n := r.count("EVAL") - before; n != evals {
			t.Errorf("EVAL %d times, want %d", n, evals)
		}
	}
	f(3, 3) // Redis does not know it
	f(5, 0)
	if _, err := r.client.ScriptFlush(t.Context()).Result(); err != nil {
		t.Fatal(err)
	}
	f(2, 2)
	if got, err := r.Eval(t.Context(), NewScript("return nil"), nil); got != nil || err != nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

// TestRefusedCall: an error of one call is the caller's, and Redis is not down for it.
func TestRefusedCall(t *testing.T) {
	r := newRig(t, Settings{})
	if err := r.redis.Set("text", "no number"); err != nil {
		t.Fatal(err)
	}
	script := NewScript("return redis.call('INCR', KEYS[1])")
	runs := []Run{{Keys: []string{"a"}}, {Keys: []string{"text"}}, {Keys: []string{"a"}}}
	r.EvalAll(t.Context(), script, runs)
	r.EvalAll(t.Context(), script, runs[1:2])
	if runs[0].Err != nil || runs[1].Err == nil || runs[2].Err != nil || fmt.Sprint(runs[2].Result) != "2" {
		t.Errorf("got %+v", runs)
	}
	if !r.Up() || r.log.count("refused a call") != 1 || r.failures[other].Load() != 2 {
		t.Errorf("up %t; the log is\n%s", r.Up(), r.log)
	}
}

// TestDown: one warning, nothing is asked while it lasts, one line when it is back, and then it is used again.
func TestDown(t *testing.T) {
	r := newRig(t, Settings{})
	r.redis.Close()
	r.Start()
	r.until("warned", func() bool { return r.log.count("cannot use Redis") == 1 })
	for range 100 {
		if err := r.Set(t.Context(), "a", nil, time.Second); !errors.Is(err, ErrDown) {
			t.Fatalf("error is %v", err)
		}
		if r.Go(func(context.Context) { t.Error("run while down") }) {
			t.Fatal("Go takes jobs")
		}
	}
	if err := r.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	r.redis.Server().SetPreHook(r.before)
	r.until("back", func() bool { return r.log.count("Redis is back") == 1 })
	if err := r.Set(t.Context(), "a", nil, time.Second); err != nil {
		t.Error(err)
	}
	if n := r.log.count("cannot use Redis"); n != 1 {
		t.Errorf("%d warnings in\n%s", n, r.log)
	}
	// And once more, with a connection that is open.
	r.redis.Close()
	r.until("noticed", func() bool { return r.Set(t.Context(), "a", nil, time.Second) != nil && !r.Up() })
	if n := r.log.count("cannot use Redis"); n != 2 {
		t.Errorf("%d warnings in\n%s", n, r.log)
	}
}

// TestSlow: a call takes the timeout and no longer; several in a row mean that it is down.
func TestSlow(t *testing.T) {
	r := newRig(t, Settings{Timeout: 50 * time.Millisecond})
	r.until("a first answer in time", func() bool { return r.Set(t.Context(), "a", nil, time.Second) == nil })
	release := r.block()
	defer release()
	for i := range tooLate {
		if !r.Up() {
			t.Fatalf("down after %d", i)
		}
		if err := r.Set(t.Context(), "a", nil, time.Second); err == nil || errors.Is(err, ErrDown) {
			t.Fatalf("error is %v", err)
		}
	}
	if r.Up() || r.log.count("raise redis.timeout") != 1 {
		t.Errorf("up %t; the log is\n%s", r.Up(), r.log)
	}
	release()
	r.until("back", r.Up)
}

// TestClientLeaves: whoever gives up on a call says nothing about Redis.
func TestClientLeaves(t *testing.T) {
	r := newRig(t, Settings{Timeout: 300 * time.Millisecond}) // which such a call takes, as the library waits for an answer
	release := r.block()
	defer release()
	for range tooLate + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		n := r.count("SET")
		go func() {
			for r.count("SET") == n { // the server has no way to tell when it is asked
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if err := r.Set(ctx, "a", nil, time.Second); err == nil {
			t.Error("no error")
		}
		if ctx.Err() == nil {
			// The call ended before its caller could give up: what this is about did not happen.
			t.Skip("this machine is too slow for the timeout")
		}
		if err := r.Set(ctx, "a", nil, time.Second); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	}
	if !r.Up() || r.log.String() != "" {
		t.Errorf("up %t; the log is\n%s", r.Up(), r.log)
	}
}

// TestPassword: what is wrong is said, without the password.
func TestPassword(t *testing.T) {
	f := func(userinfo, user, want string) {
		t.Helper()
		r := newRig(t, Settings{})
		if user == "" {
			r.redis.RequireAuth("right")
		} else {
			r.redis.RequireUserAuth(user, "right")
		}
		st, err := New(Settings{URL: "redis://" + userinfo + r.redis.Addr() + "/0", Timeout: patience, Log: r.Log})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		err = st.Set(t.Context(), "a", nil, time.Second)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", userinfo, err)
			}
			return
		}
		if err == nil || st.Up() || r.log.count(want) != 1 || strings.Contains(r.log.String(), "s3cret") {
			t.Errorf("%s: error is %v, up %t, the log is\n%s", userinfo, err, st.Up(), r.log)
		}
	}
	f("", "", "correct the user and the password in redis.url")
	f(":s3cret@", "", "correct the user and the password in redis.url")
	f("joe:s3cret@", "joe", "correct the user and the password in redis.url")
	f(":right@", "", "")
	f("joe:right@", "joe", "")
}

func TestURL(t *testing.T) {
	f := func(url, place string, ok bool) {
		t.Helper()
		st, err := New(Settings{URL: url, Timeout: time.Second})
		if (err == nil) != ok {
			t.Errorf("%s: error is %v", url, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: error is %v", url, err)
			}
			return
		}
		st.Close()
		if st.place != place {
			t.Errorf("%s: is at %s", url, st.place)
		}
	}
	f("redis://h:1/2", "redis://h:1/2", true)
	f("redis://u:s3cret@h/0", "redis://h/0", true)
	f("rediss://:s3cret@h:6380", "rediss://h:6380", true)
	f("unix://u:s3cret@/run/r.sock?db=3", "unix:///run/r.sock", true)
	f("http://u:s3cret@h", "", false)
	f("redis://u:s3cret@h:port", "", false)
	f("redis://u:s3cret@h/a/b", "", false)
	f("redis://u:s3cret@h?nothing=1", "", false)
	f("unix://u:s3cret@", "", false)
}

// TestGo: jobs run beside each other within a bound, each with the deadline of when it was given.
func TestGo(t *testing.T) {
	r := newRig(t, Settings{})
	var ran, now, most atomic.Int64
	hold := make(chan struct{})
	var done sync.WaitGroup
	given := 0
	job := func(ctx context.Context) {
		defer done.Done()
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		<-hold
		now.Add(-1)
		ran.Add(1)
	}
	for {
		done.Add(1)
		if !r.Go(job) {
			done.Done()
			break
		}
		given++
		if given == mostJobs {
			r.until("all run", func() bool { return now.Load() == mostJobs })
		}
	}
	if given != mostJobs+mostWaiting {
		t.Errorf("%d were taken, want %d", given, mostJobs+mostWaiting)
	}
	close(hold)
	done.Wait()
	if ran.Load() != int64(given) || most.Load() > mostJobs {
		t.Errorf("%d ran, at most %d at once", ran.Load(), most.Load())
	}
	r.until("no goroutine is left", func() bool { r.Store.mu.Lock(); defer r.Store.mu.Unlock(); return r.jobs.running == 0 })
}

// TestClose: it ends what waits, and jobs that were taken are called all the same.
func TestClose(t *testing.T) {
	r := newRig(t, Settings{})
	release := r.block()
	defer release()
	var called atomic.Int64
	for range 2 * mostJobs {
		if !r.Go(func(ctx context.Context) {
			if err := r.Set(ctx, "a", nil, time.Second); err == nil {
				t.Error("no error")
			}
			called.Add(1)
		}) {
			t.Fatal("not taken")
		}
	}
	r.until("held", func() bool { return r.count("SET") > 0 })
	r.Close()
	if called.Load() != 2*mostJobs {
		t.Errorf("%d were called", called.Load())
	}
	if r.Go(func(context.Context) {}) {
		t.Error("a closed store takes jobs")
	}
	if r.log.String() != "" {
		t.Errorf("the log is %s", r.log)
	}
}

// TestSubscribe: all is heard, in order; a break is told, and so is that it is over.
func TestSubscribe(t *testing.T) {
	r := newRig(t, Settings{Prefix: "p:"})
	events := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Subscribe(ctx, "news", Listener{
			Began: func() { events <- "began" }, Lost: func() { events <- "lost" }, Message: func(m []byte) { events <- string(m) },
		})
	}()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-events:
			if got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("heard nothing, want %q; the log is\n%s", want, r.log)
		}
	}
	next("began")
	for i := range 100 {
		if err := r.Publish(t.Context(), "news", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		next(fmt.Sprint(i))
	}
	r.redis.Close()
	next("lost")
	if err := r.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	next("began")
	r.until("up", r.Up)
	if err := r.Publish(t.Context(), "news", []byte("again")); err != nil {
		t.Fatal(err)
	}
	next("again")
	cancel()
	next("lost")
	<-ended
}

func TestMetrics(t *testing.T) {
	r := newRig(t, Settings{})
	_ = r.Set(t.Context(), "a", nil, time.Second)
	r.redis.SetError("LOADING Redis is loading the dataset in memory")
	_ = r.Set(t.Context(), "a", nil, time.Second)
	_ = r.Set(t.Context(), "a", nil, time.Second)
	var b bytes.Buffer
	r.WriteMetrics(&b)
	for _, want := range []string{
		"pyspeed_redis_up 0\n", "pyspeed_redis_calls_total 2\n", "pyspeed_redis_skipped_calls_total 1\n",
		`pyspeed_redis_failures_total{kind="unfit"} 1` + "\n", `pyspeed_redis_failures_total{kind="denied"} 0` + "\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	r.redis.SetError("")
	r.until("back", r.Up)
}
