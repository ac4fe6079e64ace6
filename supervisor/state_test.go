package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

func TestLifecycleFollowsTheDiagram(t *testing.T) {
	states := []State{Starting, Ready, Draining, Stopped, Failed}
	arrows := map[[2]State]bool{
		{Starting, Ready}: true, {Starting, Stopped}: true, {Starting, Failed}: true,
		{Ready, Draining}: true, {Ready, Failed}: true,
		{Draining, Stopped}: true, {Draining, Failed}: true,
	}
	for _, from := range states {
		for _, to := range states {
			l := lifecycle{state: from}
			if got := l.compareAndSwap(from, to); got != arrows[[2]State{from, to}] {
				t.Errorf("%v to %v: %v", from, to, got)
			}
			if l := (lifecycle{state: from}); from != Ready && l.compareAndSwap(Ready, to) {
				t.Errorf("a worker that is %v went from ready to %v", from, to)
			}
		}
	}
}

func TestLifecycleFinish(t *testing.T) {
	f := func(from State, orderly bool, want State) {
		t.Helper()
		l := lifecycle{state: from}
		if was := l.finish(orderly); was != from || l.State() != want {
			t.Errorf("finish(%v) from %v: was %v, is %v", orderly, from, was, l.State())
		}
	}
	f(Starting, true, Stopped)
	f(Starting, false, Failed)
	f(Ready, true, Failed) // it was not asked by way of draining
	f(Ready, false, Failed)
	f(Draining, true, Stopped)
	f(Draining, false, Failed)
	f(Stopped, false, Stopped)
	f(Failed, true, Failed)
}

func TestStateString(t *testing.T) {
	seen := map[string]bool{}
	for s := Starting; s <= Failed; s++ {
		name := s.String()
		if seen[name] || strings.Contains(name, "(") {
			t.Errorf("state %d is called %q", s, name)
		}
		seen[name] = true
	}
	if got := State(9).String(); got != "State(9)" {
		t.Errorf("state 9 is called %q", got)
	}
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lifecycle
		results := make(chan error, 3)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { results <- l.WaitFor(t.Context(), Ready, Draining) }()
		synctest.Wait()
		l.compareAndSwap(Starting, Ready)
		if err := <-results; err != nil {
			t.Errorf("waiting for ready: %v", err)
		}
		go func() { results <- l.WaitFor(ctx, Draining) }()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting without time: %v", err)
		}
		go func() { results <- l.WaitFor(t.Context(), Draining) }()
		synctest.Wait()
		l.compareAndSwap(Ready, Failed)
		if err := <-results; err == nil || !strings.Contains(err.Error(), "the worker is failed") {
			t.Errorf("waiting for what cannot come: %v", err)
		}
	})
}
