package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
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

// spawn starts the worker process of a slot. Its descriptors are those of
// docs/internals.md, "The worker process".
func (s *Supervisor) spawn(id string, slotNumber int, g *generation) (w *Worker, err error) {
	var mine, theirs []*os.File // ends of the gateway, closed on error; of the worker, closed always
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
		if err != nil {
			for _, f := range mine {
				_ = f.Close()
			}
		}
	}()
	var conns [2]*net.UnixConn // data, control
	var fdFiles [4]*os.File    // descriptors 3, 4, 5, 6
	for i, name := range []string{"data", "control"} {
		gateway, worker, err := socketFiles(name)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, worker)
		fdFiles[i] = worker
		c, err := net.FileConn(gateway) // duplicates
		if err = errors.Join(err, gateway.Close()); err != nil {
			return nil, fmt.Errorf("cannot use the %s socket: %w", name, err)
		}
		conns[i] = c.(*net.UnixConn)
		defer func() {
			if w == nil {
				_ = c.Close()
			}
		}()
	}
	marks, marksFile, err := newMarks()
	if err != nil {
		return nil, err
	}
	defer func() {
		if w == nil {
			_ = unmapMarks(marks)
		}
	}()
	theirs = append(theirs, marksFile)
	fdFiles[2], fdFiles[3] = marksFile, s.archive.file

	cmd := exec.Command(g.Python, s.archive.path, "worker") // stdin nil: /dev/null
	cmd.Dir = g.Directory
	cmd.Env = append(os.Environ(), g.Env...)
	if g.Directory != "" {
		cmd.Env = append(cmd.Env, "PWD="+g.Directory)
	}
	cmd.Env = append(cmd.Env, "PYSPEED_WORKER_ID="+strconv.Itoa(slotNumber))
	cmd.ExtraFiles = fdFiles[:]
	cmd.SysProcAttr = processAttributes()
	var pipes [2]*os.File
	for i := range pipes {
		r, pw, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("cannot create a pipe for the worker's output: %w", err)
		}
		pipes[i] = r
		mine, theirs = append(mine, r), append(theirs, pw)
		if i == 0 {
			cmd.Stdout = pw
		} else {
			cmd.Stderr = pw
		}
	}
	if err := s.spawner.start(cmd); err != nil {
		return nil, fmt.Errorf("cannot run %s: %w; set app.python to a Python 3.9 or later", g.Python, err)
	}

	w = &Worker{
		ID: id, Slot: slotNumber, PID: cmd.Process.Pid, Started: time.Now(),
		Generation: g.number, Warmup: g.Warmup, MaxRequests: g.maxRequests(),
		Data: conns[0], Marks: marks,
		generation: g, lifetime: g.lifetime(), wishes: s.wishes, cmd: cmd, leaving: &s.leaving,
		exited: make(chan struct{}), gone: make(chan struct{}),
	}
	w.log = s.log.With(slog.String("worker", id))
	w.control = newControl(conns[1], w.applicationWants)
	w.output = newOutput(w.log)
	w.output.add("stdout", pipes[0])
	w.output.add("stderr", pipes[1])
	go w.wait()
	return w, nil
}

// socketFiles returns a connected pair: the gateway's end and the worker's.
func socketFiles(name string) (gateway, worker *os.File, err error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create the %s socket: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}
