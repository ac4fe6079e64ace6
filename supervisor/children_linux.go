package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children tells the gateway's own children, each of which somebody waits for, from orphans: processes
// that workers have left behind, and that fall to the gateway where it is a subreaper, or the first process of
// a container. Those it reaps.
type children struct {
	look chan struct{} // has an element when there may be an orphan to reap

	watching sync.Once

	mu        sync.Mutex
	own       map[int]struct{}
	beginning int // children that are being made
}

func newChildren() *children {
	return &children{look: make(chan struct{}, 1), own: make(map[int]struct{})}
}

// begin runs start, which returns the process id of a child that the caller is going to wait for.
func (c *children) begin(start func() (int, error)) (int, error) {
	c.mu.Lock()
	c.beginning++
	c.mu.Unlock()
	pid, err := start()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginning--
	if err == nil {
		c.own[pid] = struct{}{}
	}
	poke(c.look)
	return pid, err
}

// reaped is told of each of them when it has been waited for.
func (c *children) reaped(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.own, pid)
}

// inheritDescendants makes this process a subreaper: what its descendants leave behind becomes its children.
func inheritDescendants() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// checkChild is an error unless the process is a child of this one.
func checkChild(pid int) error {
	err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if errors.Is(err, unix.ECHILD) {
		return fmt.Errorf("process %d has not become the gateway's child", pid)
	}
	return nil
}

// watchOrphans has those reaped that fall to the gateway, where any do.
func (s *Supervisor) watchOrphans(g *generation) {
	if g.zygote != nil || os.Getpid() == 1 {
		s.children.watching.Do(func() { s.changes.Go(func() { s.children.watch(s.active) }) })
	}
}

// watch reaps orphans until ctx ends.
func (c *children) watch(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
		case <-c.look:
		}
		c.reapOrphans()
	}
}

// reapOrphans waits for those that have ended.
func (c *children) reapOrphans() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.beginning > 0 {
		return // one of them may be among those that are found; begin has us look again
	}
	// Who loses its parent becomes a child of the first thread; Go never ends that one.
	self := os.Getpid()
	list, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", self))
	if err != nil {
		return // a kernel without that file: they stay until the gateway ends
	}
	group := syscall.Getpgrp()
	for _, field := range bytes.Fields(list) {
		pid, err := strconv.Atoi(string(field))
		if _, own := c.own[pid]; own || err != nil {
			continue
		}
		// What this process has started by itself, for whatever reason, is in its group; what a worker has left, never.
		if of, err := syscall.Getpgid(pid); err != nil || of == group {
			continue
		}
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}
