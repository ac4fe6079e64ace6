package supervisor

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// State is where a worker is in its life:
//
//	           warmed up               Drain             exit as asked
//	┌──────────┐        ┌───────┐          ┌──────────┐         ┌─────────┐
//	│ starting │ ─────> │ ready │ ───────> │ draining │ ──────> │ stopped │
//	└──────────┘        └───────┘          └──────────┘         └─────────┘
//	  │      │              │                   │                    ^
//	  │      └──────────────┼───────────────────┼────────────────────┘
//	  │  told to stop       v                   v
//	  │  while starting  ┌───────────────────────┐
//	  └────────────────> │        failed         │  any other end
//	                     └───────────────────────┘
//
// stopped and failed are final: the process was reaped.
type State uint8

const (
	Starting State = iota // spawned; imports the application, runs lifespan startup, answers warm-up requests
	Ready                 // serves; or waits, as a successor, until it is given its slot
	Draining              // is given no more; finishes, then stops
	Stopped               // ended as asked
	Failed                // ended otherwise
)

func (s State) String() string {
	//exhaustive:enforce
	switch s {
	case Starting:
		return "starting"
	case Ready:
		return "ready"
	case Draining:
		return "draining"
	case Stopped:
		return "stopped"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Final reports whether the worker's process is gone.
func (s State) Final() bool { return s == Stopped || s == Failed }

// next holds the diagram's arrows.
var next = [...][]State{
	Starting: {Ready, Stopped, Failed},
	Ready:    {Draining, Failed},
	Draining: {Stopped, Failed},
	Stopped:  nil,
	Failed:   nil,
}

// lifecycle holds a State and lets goroutines wait for its changes. The zero
// value is Starting.
type lifecycle struct {
	mu      sync.Mutex
	state   State
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// State returns the present state.
func (l *lifecycle) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// compareAndSwap moves from one state to another; false when the worker is not
// in from, or the diagram has no such arrow.
func (l *lifecycle) compareAndSwap(from, to State) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != from || !slices.Contains(next[from], to) {
		return false
	}
	l.set(to)
	return true
}

// finish moves to Stopped where orderly and the diagram allows it, else to
// Failed, and returns the state the worker had.
func (l *lifecycle) finish(orderly bool) (from State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.state
	if from.Final() {
		return from
	}
	if orderly && slices.Contains(next[from], Stopped) {
		l.set(Stopped)
	} else {
		l.set(Failed)
	}
	return from
}

func (l *lifecycle) set(to State) {
	l.state = to
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// WaitFor waits until the worker is in one of the states. It fails when ctx
// ends, or when the worker reached a final state that is not among them.
func (l *lifecycle) WaitFor(ctx context.Context, states ...State) error {
	for {
		l.mu.Lock()
		now := l.state
		if slices.Contains(states, now) {
			l.mu.Unlock()
			return nil
		}
		if now.Final() {
			l.mu.Unlock()
			return fmt.Errorf("cannot wait for %v: the worker is %v", states, now)
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for %v: the worker is %v: %w", states, now, ctx.Err())
		}
	}
}
