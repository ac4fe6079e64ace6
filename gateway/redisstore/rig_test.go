package redisstore

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// patience is for what happens soon, on any machine.
const patience = 30 * time.Second

// rig is a store, a Redis of its own, and the log.
type rig struct {
	*Store
	t     *testing.T
	redis *miniredis.Miniredis
	log   *log
	// hold, when it is closed or gets something, lets a call that was held go on; nil: none is held. Guarded by mu.
	mu   sync.Mutex
	hold chan struct{}
	seen map[string]int // commands
}

// newRig makes them. URL and timeout are set where they are not given.
func newRig(t *testing.T, s Settings) *rig {
	t.Helper()
	r := &rig{t: t, redis: miniredis.RunT(t), log: &log{}, seen: map[string]int{}}
	r.redis.Server().SetPreHook(r.before)
	if s.URL == "" {
		s.URL = "redis://" + r.redis.Addr()
	}
	if s.Timeout == 0 {
		s.Timeout = patience
	}
	s.Log = slog.New(slog.NewTextHandler(r.log, nil))
	st, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	r.Store = st
	return r
}

// before is called with each command.
func (r *rig) before(_ *server.Peer, cmd string, _ ...string) bool {
	r.mu.Lock()
	r.seen[strings.ToUpper(cmd)]++
	hold := r.hold
	r.mu.Unlock()
	if hold != nil && cmd != "HELLO" {
		<-hold
	}
	return false
}

// block holds all that Redis is asked until the returned function is called.
func (r *rig) block() (release func()) {
	hold := make(chan struct{})
	r.mu.Lock()
	r.hold = hold
	r.mu.Unlock()
	return sync.OnceFunc(func() {
		r.mu.Lock()
		r.hold = nil
		r.mu.Unlock()
		close(hold)
	})
}

func (r *rig) count(cmd string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[cmd]
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not: %s; the log is\n%s", what, r.log)
		}
	}
}

// log is what was logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *log) count(text string) int { return strings.Count(l.String(), text) }
