package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Listener hears what is published. Its functions are called on the subscription's goroutine, one at a time; while one waits,
// nothing is heard.
type Listener struct {
	// Began is called when from now on everything is heard, and again after each time that it was not.
	Began func()
	// Lost is called when messages may be missed, until Began is.
	Lost    func()
	Message func(message []byte)
}

// silence is how long a subscription hears nothing before it asks whether the connection is still one.
const silence = 10 * time.Second

// Subscribe hears a channel until ctx ends, and keeps coming back when Redis was away. It blocks.
func (s *Store) Subscribe(ctx context.Context, channel string, l Listener) {
	pause := firstPause
	for ctx.Err() == nil && s.ctx.Err() == nil {
		if s.listen(ctx, s.Prefix+channel, l) {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-s.ctx.Done():
		}
		pause = min(2*pause, longest)
	}
}

// listen hears a channel until the connection breaks; false: there was none.
func (s *Store) listen(ctx context.Context, channel string, l Listener) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	p := s.client.Subscribe(ctx)
	closing := context.AfterFunc(ctx, func() { _ = p.Close() }) // which ends the waiting
	defer func() {
		if closing() {
			_ = p.Close() // it has broken, or is not needed
		}
	}()
	if err := s.subscribe(ctx, p, channel); err != nil {
		s.heard(ctx, err)
		return false
	}
	l.Began()
	defer l.Lost()
	asked := false
	for {
		patience := silence
		if asked {
			patience = s.Timeout
		}
		m, err := p.ReceiveTimeout(ctx, patience)
		switch m := m.(type) {
		case *redis.Message:
			asked = false
			l.Message([]byte(m.Payload))
			continue
		case *redis.Pong:
			asked = false
			continue
		}
		switch {
		case err == nil:
		case kindOf(err) == slow && !asked && ctx.Err() == nil && p.Ping(ctx) == nil:
			asked = true
		default:
			s.heard(ctx, err)
			return true
		}
	}
}

// subscribe subscribes, and waits until Redis says that it has.
func (s *Store) subscribe(ctx context.Context, p *redis.PubSub, channel string) error {
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := p.Subscribe(limited, channel); err != nil {
		return err
	}
	_, err := p.ReceiveTimeout(limited, s.Timeout)
	return err
}

// heard notes why a subscription broke.
func (s *Store) heard(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, redis.ErrClosed) {
		s.failed(err)
	}
}
