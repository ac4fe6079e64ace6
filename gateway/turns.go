package gateway

import (
	"context"
	"errors"
	"sync"
)

var errStopping = errors.New("cannot reload: the gateway stops")

// turns lets one reload run at a time. Those who ask while one runs share the next: what it reads is as new as they want.
type turns struct {
	do   func(ctx context.Context) (Reconfigured, error)
	wake chan struct{} // has an element when next is set

	mu      sync.Mutex
	next    *turn // that has not begun
	running bool  // one is under way
	over    bool  // none will begin any more
}

type turn struct {
	done   chan struct{}
	result Reconfigured
	err    error
}

func newTurns(do func(ctx context.Context) (Reconfigured, error)) *turns {
	return &turns{do: do, wake: make(chan struct{}, 1)}
}

// ask has one begin, and does not wait for it.
func (t *turns) ask() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		n := &turn{done: make(chan struct{}), err: errStopping}
		close(n.done)
		return n
	}
	if t.next == nil {
		t.next = &turn{done: make(chan struct{})}
		t.wake <- struct{}{} // has room: run takes it before it takes next
	}
	return t.next
}

// wait waits for one that began after the call; it goes on when ctx ends the waiting.
func (t *turns) wait(ctx context.Context) (Reconfigured, error) {
	n := t.ask()
	select {
	case <-n.done:
		return n.result, n.err
	case <-ctx.Done():
		return Reconfigured{}, ctx.Err()
	}
}

// busy is whether one is under way or about to be.
func (t *turns) busy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running || t.next != nil
}

// run gives each its turn, from when started is closed until ctx ends.
func (t *turns) run(ctx context.Context, started <-chan struct{}) {
	select {
	case <-started:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		select {
		case <-t.wake:
		case <-ctx.Done():
			continue
		}
		t.mu.Lock()
		n := t.next
		t.next, t.running = nil, true
		t.mu.Unlock()
		n.result, n.err = t.do(ctx)
		t.mu.Lock()
		t.running = false
		t.mu.Unlock()
		close(n.done)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.next != nil {
		t.next.err = errStopping
		close(t.next.done)
	}
}
