package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Settings of a Store.
type Settings struct {
	// URL is redis://, rediss:// (TLS) or unix://, with user, password and number of the database where they are needed.
	URL     string
	Timeout time.Duration // of each call, with the connection that it may need
	Prefix  string        // of every key and channel
	Log     *slog.Logger
}

// ErrDown is the error of calls that were not made, as Redis is down.
var ErrDown = errors.New("redis is down")

// mostConnections bounds what is open to Redis at once, besides subscriptions.
const mostConnections = 32

// Store is one Redis. Safe for concurrent use.
type Store struct {
	Settings
	client *redis.Client
	place  string // where it is, without what is secret

	ctx context.Context // done with Close
	end context.CancelFunc
	// running are the goroutines of health and of Go. Adding to it is guarded by mu, with closed.
	running sync.WaitGroup

	up       atomic.Bool
	calls    atomic.Uint64
	failures [kinds]atomic.Uint64
	refused  atomic.Uint64 // calls that were not made

	mu     sync.Mutex
	closed bool
	health health
	jobs   jobs
}

// New makes a store. Nothing is connected yet. The error has no password in it.
func New(s Settings) (*Store, error) {
	o, err := redis.ParseURL(s.URL)
	if err != nil {
		return nil, errors.New("cannot use redis.url: expected redis://HOST:PORT/DB, rediss:// for TLS, or unix:///PATH?db=DB")
	}
	// The library writes to standard error what callers are told anyway.
	logging.Disable()
	o.MaxRetries = -1 // what may have run must not run again
	o.DialerRetries = 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = s.Timeout, s.Timeout, s.Timeout, s.Timeout
	o.ContextTimeoutEnabled = true
	o.PoolSize, o.MaxActiveConns = mostConnections, mostConnections
	o.Protocol = 2 // every Redis, and what stands in for it, speaks that
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.PipelinePoolSize = -1
	st := &Store{Settings: s, client: redis.NewClient(o), place: Place(s.URL)}
	st.ctx, st.end = context.WithCancel(context.Background())
	st.up.Store(true) // until somebody finds out
	return st, nil
}

// Place is a URL without what is secret in it.
func Place(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "redis.url"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Up is whether it is worth to ask. Anybody may look, it costs nothing.
func (s *Store) Up() bool { return s.up.Load() }

// Start looks whether Redis is there, so that the log says it before the first call does. It returns at once.
func (s *Store) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spawn(func() {
		if err := s.ping(); err != nil {
			s.failed(err)
		}
	})
}

// Close ends everything. Calls that are under way fail.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	_ = s.client.Close() // which also ends the waiting for answers
	s.running.Wait()
}

// spawn starts a goroutine that Close waits for. With mu held.
func (s *Store) spawn(f func()) {
	if !s.closed {
		s.running.Go(f)
	}
}

// call makes one call to Redis within the timeout. do gets the deadline; its error is looked at and returned.
func (s *Store) call(ctx context.Context, do func(ctx context.Context) error) error {
	if !s.Up() {
		s.refused.Add(1)
		return ErrDown
	}
	if err := ctx.Err(); err != nil {
		return err // Redis has nothing to do with that
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	s.calls.Add(1)
	err := do(ctx)
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		s.answered()
	case s.ctx.Err() == nil && !errors.Is(caller.Err(), context.Canceled):
		s.failed(err)
	}
	return err
}

func (s *Store) ping() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.Timeout)
	defer cancel()
	return s.client.Ping(ctx).Err()
}
