package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// spawner forks on one OS thread that lives as long as the supervisor: the kernel
// sends a worker its parent-death signal when the thread that forked it ends, not
// when the process does.
type spawner struct {
	jobs chan spawnJob
}

type spawnJob struct {
	cmd  *exec.Cmd
	done chan error
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan spawnJob)}
	go s.run()
	return s
}

func (s *spawner) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for job := range s.jobs {
		job.done <- job.cmd.Start()
	}
}

func (s *spawner) start(cmd *exec.Cmd) error {
	job := spawnJob{cmd, make(chan error, 1)}
	s.jobs <- job
	return <-job.done
}

// close ends the thread. Every worker must have been reaped: those that live
// would be killed.
func (s *spawner) close() { close(s.jobs) }

// wires are what connects the gateway with one worker process.
type wires struct {
	data, control  *net.UnixConn // ours, as what follows
	stdout, stderr *os.File
	marks          []byte
	theirs         [5]*os.File // data, control, marks, stdout, stderr
}

func newWires() (e *wires, err error) {
	e = &wires{}
	defer func() {
		if err != nil {
			e.closeTheirs()
			e.closeOurs()
		}
	}()
	for i, name := range []string{"data", "control"} {
		gateway, worker, err := socketFiles(name)
		if err != nil {
			return nil, err
		}
		e.theirs[i] = worker
		c, err := net.FileConn(gateway) // duplicates
		if err = errors.Join(err, gateway.Close()); err != nil {
			return nil, fmt.Errorf("cannot use the %s socket: %w", name, err)
		}
		if i == 0 {
			e.data = c.(*net.UnixConn)
		} else {
			e.control = c.(*net.UnixConn)
		}
	}
	if e.marks, e.theirs[2], err = newMarks(); err != nil {
		return nil, err
	}
	for i, ours := range []**os.File{&e.stdout, &e.stderr} {
		if *ours, e.theirs[3+i], err = os.Pipe(); err != nil {
			return nil, fmt.Errorf("cannot create a pipe for the worker's output: %w", err)
		}
	}
	return e, nil
}

func (e *wires) closeTheirs() {
	for _, f := range e.theirs {
		_ = f.Close() // an error where there is none
	}
}

func (e *wires) closeOurs() {
	for _, c := range []*net.UnixConn{e.data, e.control} {
		if c != nil {
			_ = c.Close()
		}
	}
	_, _ = e.stdout.Close(), e.stderr.Close()
	if e.marks != nil {
		_ = unmapMarks(e.marks)
	}
}

// subprocess is a worker's process, a child of the gateway.
type subprocess interface {
	pid() int
	// wait reaps it.
	wait() (syscall.WaitStatus, error)
}

// spawn starts the worker process of a slot.
func (s *Supervisor) spawn(_ context.Context, id string, slotNumber int, g *generation) (*Worker, error) {
	return s.newWorker(id, slotNumber, g, func(e *wires) (subprocess, error) {
		return s.execute(g, "worker", e, "PYSPEED_WORKER_ID="+strconv.Itoa(slotNumber))
	})
}

// newWorker is the worker whose process begin makes.
func (s *Supervisor) newWorker(id string, slotNumber int, g *generation, begin func(*wires) (subprocess, error)) (*Worker, error) {
	e, err := newWires()
	if err != nil {
		return nil, err
	}
	p, err := begin(e)
	e.closeTheirs()
	if err != nil {
		e.closeOurs()
		return nil, err
	}
	w := &Worker{
		ID: id, Slot: slotNumber, PID: p.pid(), Started: time.Now(),
		Generation: g.number, Warmup: g.Warmup, MaxRequests: g.maxRequests(),
		Data: e.data, Marks: e.marks,
		generation: g, lifetime: g.lifetime(), wishes: s.wishes, process: p, children: s.children,
		leaving: &s.leaving,
		exited:  make(chan struct{}), gone: make(chan struct{}),
	}
	w.log = s.log.With(slog.String("worker", id))
	w.control = newControl(e.control, listener{
		recycle: w.applicationWants, full: func() { s.settings.Full(w) }, stands: func(on bool) { s.settings.Debugging(w, on) },
	})
	w.output = newOutput(w.log)
	w.output.add("stdout", e.stdout)
	w.output.add("stderr", e.stderr)
	go w.wait()
	return w, nil
}

// execute runs the shim for a generation. The descriptors of its process are those of docs/internals.md, "The
// worker process".
func (s *Supervisor) execute(g *generation, command string, e *wires, env ...string) (subprocess, error) {
	cmd := exec.Command(g.Python, s.archive.path, command) // stdin nil: /dev/null
	cmd.Dir = g.Directory
	cmd.Env = append(os.Environ(), g.Env...)
	if g.Directory != "" {
		cmd.Env = append(cmd.Env, "PWD="+g.Directory)
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.ExtraFiles = append(e.theirs[:3:3], s.archive.file)
	cmd.Stdout, cmd.Stderr = e.theirs[3], e.theirs[4]
	cmd.SysProcAttr = processAttributes()
	_, err := s.children.begin(func() (int, error) {
		if err := s.spawner.start(cmd); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w; set app.python to a Python 3.9 or later", g.Python, err)
	}
	return spawned{cmd}, nil
}

// spawned is a process that os/exec has started.
type spawned struct{ cmd *exec.Cmd }

func (p spawned) pid() int { return p.cmd.Process.Pid }

func (p spawned) wait() (syscall.WaitStatus, error) {
	err := p.cmd.Wait()
	if p.cmd.ProcessState == nil { // somebody else waited for it
		return 0, err
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus), nil
}

// socketFiles returns a connected pair: the gateway's end and the worker's.
func socketFiles(name string) (gateway, worker *os.File, err error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create the %s socket: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}
