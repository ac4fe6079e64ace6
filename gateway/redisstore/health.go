package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// kind says what is wrong with Redis.
type kind int

const (
	unreachable kind = iota // no connection, or it broke
	slow                    // no answer in time
	denied                  // user or password
	unfit                   // it answers that it cannot serve: it loads, is a replica, is full
	other                   // it refuses this call
	kinds
)

func (k kind) String() string {
	//exhaustive:enforce
	switch k {
	case unreachable:
		return "unreachable"
	case slow:
		return "timeout"
	case denied:
		return "denied"
	case unfit:
		return "unfit"
	case other, kinds:
	}
	return "error"
}

// remedy is what an operator can do.
func (k kind) remedy() string {
	//exhaustive:enforce
	switch k {
	case unreachable:
		return "see whether it runs, and whether redis.url names it"
	case slow:
		return "see what holds it up, or raise redis.timeout"
	case denied:
		return "correct the user and the password in redis.url, or what that user may do (ACL)"
	case unfit:
		return "have redis.url name one that takes writes and has room"
	case other, kinds:
	}
	return "see its log"
}

// kindOf finds the kind of an error.
func kindOf(err error) kind {
	var timeout net.Error
	var answer redis.Error
	switch {
	case redis.IsAuthError(err) || redis.IsPermissionError(err) || isPassword(err):
		return denied
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout):
		return slow
	case errors.As(err, &timeout) && timeout.Timeout():
		return slow
	case errors.As(err, &answer):
		for _, word := range unfitWords {
			if strings.Contains(err.Error(), word) {
				return unfit
			}
		}
		return other
	}
	return unreachable
}

// unfitWords are what Redis says that cannot serve anybody; before version 7 scripts have them in the middle of a longer text.
var unfitWords = []string{"LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "MISCONF ", "NOREPLICAS ", "BUSY ", "OOM ", "max number of clients"}

// isPassword is whether Redis refused to let us in; before ACLs it said so in other words.
func isPassword(err error) bool {
	text := err.Error()
	return strings.Contains(text, "invalid password") || strings.Contains(text, "without any password configured") || strings.Contains(text, "HELLO must be called with the client already authenticated")
}

// health is what is known of Redis. Guarded by Store.mu.
type health struct {
	late      int  // calls in a row that took too long
	announced bool // the log says that it is down, and not yet that it is back
	kind      kind // as the log says
	asking    bool // a goroutine asks for it
	pause     time.Duration
	falls     int       // how often it went down
	told      time.Time // when the log last said that a call was refused
}

const (
	// tooLate is how many calls in a row have to take too long: one alone may be the snapshot that Redis forks for.
	tooLate    = 3
	firstPause = 100 * time.Millisecond
	longest    = 5 * time.Second
	// steady is how long Redis has to be well for the log to say that it is back. One that comes and goes would fill it else.
	steady = time.Second
)

// answered notes that Redis is well.
func (s *Store) answered() {
	s.mu.Lock()
	s.health.late = 0
	s.mu.Unlock()
}

// failed notes that a call failed.
func (s *Store) failed(err error) {
	k := kindOf(err)
	s.failures[k].Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.health
	switch k {
	case other: // who called has the error; Redis is well
		if now := time.Now(); h.told.IsZero() || now.Sub(h.told) > time.Minute {
			h.told = now
			s.Log.Warn("Redis refused a call, which this gateway then did without; see whether something else uses its keys, or set redis.prefix", "redis", s.place, "cause", cause(err))
		}
		return
	case slow:
		if h.late++; h.late < tooLate {
			return
		}
	}
	s.fall(k, err)
}

// fall takes Redis for down. With mu held.
func (s *Store) fall(k kind, err error) {
	h := &s.health
	h.late = 0
	h.falls++
	s.up.Store(false)
	if s.closed {
		return
	}
	// While it is down it may come up with another password than we have: that is worth a line.
	if !h.announced || k == denied && h.kind != denied {
		s.Log.Warn("cannot use Redis, what is shared through it is this gateway's own until it is back; "+k.remedy(), "redis", s.place, "cause", cause(err))
		h.announced, h.kind = true, k
	}
	if !h.asking {
		h.asking = true
		s.spawn(s.ask)
	}
}

// ask asks for Redis until it is back.
func (s *Store) ask() {
	for {
		s.mu.Lock()
		pause := max(s.health.pause, firstPause)
		s.health.pause = min(2*pause, longest)
		s.mu.Unlock()
		if !s.sleep(pause) {
			return
		}
		err := s.ping()
		if err == nil {
			break
		}
		if s.ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.fall(kindOf(err), err)
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.up.Store(true)
	s.health.asking, s.health.late = false, 0
	falls := s.health.falls
	s.spawn(func() { s.settle(falls) })
	s.mu.Unlock()
}

// settle says that Redis is back once it has been for a while, since it went down for that many times.
func (s *Store) settle(falls int) {
	if !s.sleep(steady) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.health.falls == falls && s.health.announced {
		s.health.announced, s.health.pause = false, 0
		s.Log.Info("Redis is back", "redis", s.place)
	}
}

// sleep waits; false: the store was closed.
func (s *Store) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// cause is an error in a line's length. What Redis answers may repeat what it was sent, but never a password.
func cause(err error) string {
	text := err.Error()
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	const most = 200
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// WriteMetrics writes the store's series.
func (s *Store) WriteMetrics(w io.Writer) {
	up := 0
	if s.Up() {
		up = 1
	}
	fmt.Fprintf(w, "pyspeed_redis_up %d\npyspeed_redis_calls_total %d\npyspeed_redis_skipped_calls_total %d\n", up, s.calls.Load(), s.refused.Load())
	for k := range kinds {
		fmt.Fprintf(w, "pyspeed_redis_failures_total{kind=%q} %d\n", k, s.failures[k].Load())
	}
}
