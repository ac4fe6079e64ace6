package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name that Redis has for a script
	"encoding/hex"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// All calls wait for Redis, up to the timeout, and fail with ErrDown at once while it is down. Keys and channels get the prefix.

// Get returns a value; found is false where there is none.
func (s *Store) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		value, err = s.client.Get(ctx, s.Prefix+key).Bytes()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Set keeps a value for a time, which must not be 0.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.call(ctx, func(ctx context.Context) error {
		return s.client.Set(ctx, s.Prefix+key, value, max(ttl, time.Millisecond)).Err()
	})
}

// Delete removes keys, and returns how many there were.
func (s *Store) Delete(ctx context.Context, keys ...string) (n int64, err error) {
	if len(keys) == 0 {
		return 0, nil
	}
	err = s.call(ctx, func(ctx context.Context) error {
		n, err = s.client.Del(ctx, s.keys(keys)...).Result()
		return err
	})
	return n, err
}

// Publish tells all that are subscribed to a channel, this gateway too.
func (s *Store) Publish(ctx context.Context, channel string, message []byte) error {
	return s.call(ctx, func(ctx context.Context) error { return s.client.Publish(ctx, s.Prefix+channel, message).Err() })
}

func (s *Store) keys(keys []string) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = s.Prefix + k
	}
	return all
}

// Script is a Lua script that Redis runs as one step.
type Script struct{ source, name string }

// NewScript makes a script of its source.
func NewScript(source string) *Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return &Script{source, hex.EncodeToString(sum[:])}
}

// Run is one run of a script.
type Run struct {
	Keys []string
	Args []any
	// Result is what the script returned, as the library gives it: int64, string, []any or nil.
	Result any
	Err    error
}

// Eval runs a script once.
func (s *Store) Eval(ctx context.Context, script *Script, keys []string, args ...any) (any, error) {
	runs := []Run{{Keys: keys, Args: args}}
	s.EvalAll(ctx, script, runs)
	return runs[0].Result, runs[0].Err
}

// EvalAll runs a script for each of runs, all of them in one round trip, or two where Redis does not know the script (any more).
// None runs twice: where time ran out, or the connection broke, it is not known which have run.
func (s *Store) EvalAll(ctx context.Context, script *Script, runs []Run) {
	left := make([]*Run, len(runs))
	for i := range runs {
		left[i] = &runs[i]
	}
	if left = s.evalAll(ctx, script, left, redis.Pipeliner.EvalSha, script.name); len(left) > 0 {
		// Redis has refused these without running them.
		s.evalAll(ctx, script, left, redis.Pipeliner.Eval, script.source)
	}
}

type evaluate func(p redis.Pipeliner, ctx context.Context, script string, keys []string, args ...any) *redis.Cmd

// evalAll returns the runs that Redis refused, as it does not know the script.
func (s *Store) evalAll(ctx context.Context, _ *Script, runs []*Run, eval evaluate, script string) (unknown []*Run) {
	cmds := make([]*redis.Cmd, len(runs))
	err := s.call(ctx, func(ctx context.Context) error {
		p := s.client.Pipeline()
		for i, r := range runs {
			cmds[i] = eval(p, ctx, script, s.keys(r.Keys), r.Args...)
		}
		_, err := p.Exec(ctx)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			return nil
		}
		return err
	})
	for i, r := range runs {
		r.Err = err
		if cmds[i] == nil {
			continue // it was not sent
		}
		switch r.Result, r.Err = cmds[i].Result(); {
		case redis.HasErrorPrefix(r.Err, "NOSCRIPT"):
			unknown = append(unknown, r)
		case errors.Is(r.Err, redis.Nil):
			r.Err = nil // the script returned nothing
		}
	}
	return unknown
}
