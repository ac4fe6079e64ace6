package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestTurns: one runs at a time; who asks while one runs shares the next, which begins after that.
func TestTurns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, release := make(chan int), make(chan error)
	n := 0
	turns := newTurns(func(context.Context) (Reconfigured, error) {
		n++
		begun <- n
		err := <-release
		return Reconfigured{Applied: []string{fmt.Sprint(n)}}, err
	})
	started := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { turns.run(ctx, started) })
	first := turns.ask()
	if turns.ask() != first {
		t.Error("two wait for the first turn")
	}
	select {
	case <-begun:
		t.Fatal("a turn began before the start was over")
	case <-time.After(10 * time.Millisecond):
	}
	close(started)
	if got := <-begun; got != 1 {
		t.Fatalf("turn %d", got)
	}
	var waiting sync.WaitGroup
	failure := errors.New("no")
	asked := make(chan struct{}, 10)
	for range 10 {
		waiting.Go(func() {
			shared := turns.ask()
			asked <- struct{}{}
			<-shared.done
			if !errors.Is(shared.err, failure) || shared.result.Applied[0] != "2" {
				t.Errorf("the second turn: %v, %v", shared.result, shared.err)
			}
		})
	}
	for range 10 {
		<-asked
	}
	release <- nil
	<-first.done
	if first.err != nil || first.result.Applied[0] != "1" {
		t.Errorf("the first turn: %v, %v", first.result, first.err)
	}
	if got := <-begun; got != 2 {
		t.Fatalf("turn %d", got)
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	if _, err := turns.wait(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits no more gets %v", err)
	}
	release <- failure
	waiting.Wait()
	if got := <-begun; got != 3 { // asked for by who left
		t.Fatalf("turn %d", got)
	}
	late := turns.ask()
	cancel()
	release <- nil
	running.Wait()
	<-late.done
	if _, err := turns.wait(t.Context()); !errors.Is(err, errStopping) || !errors.Is(late.err, errStopping) {
		t.Errorf("after the end: %v, %v", err, late.err)
	}
}
