package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// forkPatience is how long a zygote may take to fork a worker. Nothing but that and what the application has
// registered with os.register_at_fork happens meanwhile.
const forkPatience = 30 * time.Second

// zygote imports the application of one generation and forks the workers from that process (`workers.preload`).
//
// The process is started when a worker is to be forked and there is none, so by the first launch, and again when it
// has died. Its workers are the gateway's children and go on without it. It ends when its generation has no
// workers any more (rest), or the supervisor stops.
type zygote struct {
	supervisor *Supervisor
	generation *generation

	forking sync.Mutex // held over one fork

	mu      sync.Mutex
	attempt *attempt // the process there is, or is about to be; nil: none
	wanted  bool     // workers were forked since rest
	back    backoff
}

// attempt is one zygote process from its start.
type attempt struct {
	ready   chan struct{} // closed when the application is imported, or that has failed
	process *Worker       // valid then
	err     error         // the same
	enough  chan struct{} // closed when the process is not needed any more
}

// fork is spawn for the workers of the zygote's generation. It waits until the application is imported, or ctx ends;
// why it cannot be imported is a *StartupError.
func (z *zygote) fork(ctx context.Context, id string, slotNumber int, g *generation) (*Worker, error) {
	for last := false; ; last = true {
		a, err := z.await(ctx)
		if err != nil {
			return nil, err
		}
		w, err := z.supervisor.newWorker(id, slotNumber, g, func(e *wires) (subprocess, error) {
			z.forking.Lock()
			defer z.forking.Unlock()
			pid, err := z.supervisor.children.begin(func() (int, error) { return a.process.fork(ctx, slotNumber, e.theirs[:]) })
			return forked(pid), err
		})
		if last || !errors.Is(err, errControlEnded) {
			return w, err
		}
		<-a.process.gone
		z.forget(a)
	}
}

// fork has a zygote fork a worker, whose process id it returns. The process is a child of the gateway then.
func (w *Worker) fork(ctx context.Context, slotNumber int, files []*os.File) (int, error) {
	patience := min(forkPatience, w.generation.StartupTimeout)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	descriptors := make([]int, len(files))
	for i, f := range files {
		descriptors[i] = int(f.Fd())
	}
	command := map[string]any{"cmd": "fork", "slot": strconv.Itoa(slotNumber)}
	e, err := w.control.askWith(ctx, command, "forked", syscall.UnixRights(descriptors...))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		w.Kill(ReasonHung, fmt.Sprintf("it did not fork a worker within %v", patience))
		return 0, fmt.Errorf("%s did not fork a worker within %v", w, patience)
	case err != nil:
		return 0, fmt.Errorf("cannot fork a worker from %s: %w", w, err)
	case e.number("pid") <= 0:
		return 0, fmt.Errorf("%s cannot fork a worker: %s", w, e.text("error"))
	}
	pid := e.number("pid")
	if err := checkChild(pid); err != nil {
		return 0, fmt.Errorf("cannot use the worker that %s has forked: %w", w, err)
	}
	return pid, nil
}

// await returns the zygote's process when the application is imported; it starts one where there is none.
func (z *zygote) await(ctx context.Context) (*attempt, error) {
	z.mu.Lock()
	z.wanted = true
	a := z.attempt
	if a == nil {
		if z.supervisor.active.Err() != nil {
			z.mu.Unlock()
			return nil, fmt.Errorf("cannot fork a worker: %w", errToldToStop)
		}
		a = &attempt{ready: make(chan struct{}), enough: make(chan struct{})}
		z.attempt = a
		z.supervisor.changes.Go(func() { z.run(a) })
	}
	z.mu.Unlock()
	select {
	case <-a.ready:
		return a, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot fork a worker: %w", errToldToStop)
	}
}

// run sees one process from its start to its end, and has another started where that was an accident.
func (z *zygote) run(a *attempt) {
	s := z.supervisor
	life, cancel := context.WithCancelCause(s.active)
	defer cancel(nil)
	go func() {
		select {
		case <-a.enough:
			cancel(givenUp{ending{reason: ReasonReload}})
		case <-life.Done():
		}
	}()
	a.process, a.err = s.preload(life, z.generation)
	if a.err != nil {
		z.forget(a)
		close(a.ready)
		return
	}
	w := a.process
	defer w.Release()
	close(a.ready)
	select {
	case <-w.gone:
	case <-life.Done():
		z.forget(a)
		w.stopFor(endingOf(life))
		w.quit(s.life)
		w.log.Debug(w.cause.Error())
		return
	}
	z.forget(a)
	z.mu.Lock()
	wait := z.back.next(true, time.Since(w.Readied))
	z.mu.Unlock()
	s.log.Error(w.cause.Error()+"; its workers go on", "reason", w.reason.Label(), "replaced_in", wait.Round(time.Millisecond))
	again := time.NewTimer(wait)
	defer again.Stop()
	select {
	case <-again.C:
	case <-life.Done():
		return
	}
	z.mu.Lock()
	wanted := z.wanted
	z.mu.Unlock()
	if !wanted {
		return
	}
	s.changes.Go(func() { // a launch may have started another by now
		if _, err := z.await(s.active); err != nil && !errors.Is(err, errToldToStop) {
			LogStartup(s.log, fmt.Errorf("the next worker that is started tries again: %w", err))
		}
	})
}

// forget makes room for another process.
func (z *zygote) forget(a *attempt) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.attempt == a {
		z.attempt = nil
	}
}

// rest ends the process, until a worker is wanted again. It does not wait.
func (z *zygote) rest() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.wanted = false
	if z.attempt != nil {
		close(z.attempt.enough)
		z.attempt = nil
	}
}

// restZygotes ends those of generations that have no workers any more.
func (s *Supervisor) restZygotes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[*generation]bool{s.generation: true}
	for _, sl := range s.going() {
		used[sl.generationNow()] = true
	}
	s.zygotes = slices.DeleteFunc(s.zygotes, func(z *zygote) bool {
		if !used[z.generation] {
			z.rest()
		}
		return !used[z.generation]
	})
}

// preload starts a zygote and waits until it has imported the application. On an error it is gone.
func (s *Supervisor) preload(ctx context.Context, g *generation) (*Worker, error) {
	w, err := s.newWorker("zygote", 0, g, func(e *wires) (subprocess, error) { return s.execute(g, "zygote", e) })
	if err != nil {
		return nil, &StartupError{ExitCode: ExitCannotStart, Worker: "zygote", Stage: "spawn", Summary: err.Error()}
	}
	w.log.Info("importing the application, to fork workers from", "pid", w.PID, "generation", g.number)
	clock := newStartTime(&g.Launch)
	defer clock.stop()
	err = s.await(ctx, w, clock)
	if err == nil && !w.compareAndSwap(Starting, Ready) {
		<-w.gone
		err = w.diedStarting()
	}
	if err != nil {
		w.Release()
		return nil, err
	}
	w.log.Info("application imported", "pid", w.PID, "interface", w.Info.Interface, "python", w.Info.Python,
		"after", time.Since(w.Started).Round(time.Millisecond))
	return w, nil
}

// forked is a worker's process that a zygote has made.
type forked int

func (p forked) pid() int { return int(p) }

func (p forked) wait() (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(int(p), &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			return status, os.NewSyscallError("wait4", err)
		}
	}
}
