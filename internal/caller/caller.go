package caller

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Variable is where the caller says who it is.
const Variable = "PYSPEED_CALLER"

// patience is how long the caller may leave what it is told unread.
const patience = time.Second

// statement is what Variable holds.
type statement struct {
	Version string `json:"version"` // of the Python package
	Python  string `json:"python"`  // sys.executable
	PID     int    `json:"pid"`
	// Descriptors; 0 for none.
	Tether  int `json:"tether"`
	Data    int `json:"data"`
	Control int `json:"control"`
	Marks   int `json:"marks"`
}

// Caller is the Python process that started the gateway. A nil *Caller is nobody: all methods work.
type Caller struct {
	said   statement
	tether *net.UnixConn // nil: the gateway runs in the caller's place
	worker *Worker
	gone   chan struct{}
}

// Worker is the caller's offer to run the application itself. Whoever takes it owns its parts.
type Worker struct {
	PID           int
	Data, Control *net.UnixConn
	Marks         *os.File
}

// Take reads and removes Variable, so that no child of the gateway takes it for its own; nil, nil when it is
// not set. It makes a gateway that is a child the leader of a process group, out of reach of the terminal's Ctrl-C: what
// that means is for the caller to decide.
func Take() (*Caller, error) {
	text := os.Getenv(Variable)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(Variable); err != nil {
		return nil, fmt.Errorf("cannot remove %s from the environment: %w", Variable, err)
	}
	c := &Caller{gone: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &c.said); err != nil {
		return nil, fmt.Errorf("cannot understand %s, which only the Python package pyspeed sets: %w", Variable, err)
	}
	if c.said.Tether == 0 {
		return c, nil
	}
	if err := c.becomeChild(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Caller) becomeChild() error {
	if syscall.Getpgrp() != os.Getpid() {
		if err := syscall.Setpgid(0, 0); err != nil {
			return fmt.Errorf("cannot leave the caller's process group: %w", err)
		}
	}
	// A log on the terminal is that of a background job from here on, and must not stop it.
	signal.Ignore(syscall.SIGTTOU)
	var err error
	if c.tether, err = inherit("tether", c.said.Tether); err != nil {
		return err
	}
	go c.wait()
	if c.said.Control == 0 {
		return nil
	}
	w := &Worker{PID: c.said.PID}
	if w.Data, err = inherit("data", c.said.Data); err != nil {
		return err
	}
	if w.Control, err = inherit("control", c.said.Control); err != nil {
		return err
	}
	syscall.CloseOnExec(c.said.Marks)
	w.Marks = os.NewFile(uintptr(c.said.Marks), "pyspeed-marks")
	c.worker = w
	return nil
}

// inherit makes a connection of a descriptor.
func inherit(name string, fd int) (*net.UnixConn, error) {
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return nil, fmt.Errorf("cannot use the caller's %s socket: %d is no descriptor", name, fd)
	}
	conn, err := net.FileConn(file) // duplicates
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("cannot use the caller's %s socket: %w", name, err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("cannot use the caller's %s socket: descriptor %d is a %T", name, fd, conn)
	}
	return unix, nil
}

// wait sees the caller's end: it writes nothing, so all there is to read is EOF.
func (c *Caller) wait() {
	defer close(c.gone)
	buf := make([]byte, 64)
	for {
		if _, err := c.tether.Read(buf); err != nil {
			return
		}
	}
}

// CheckVersion compares the package's version with that of the shim inside the binary.
func (c *Caller) CheckVersion(own string) error {
	if c == nil || c.said.Version == own {
		return nil
	}
	return fmt.Errorf("cannot work for the Python package pyspeed %s: this pyspeed-gw has version %s; install the same version of both, or name another binary with PYSPEED_GW",
		c.said.Version, own)
}

// Python is the interpreter that the caller runs on; "" for nobody.
func (c *Caller) Python() string {
	if c == nil {
		return ""
	}
	return c.said.Python
}

// PID is the caller's process id; 0 for nobody.
func (c *Caller) PID() int {
	if c == nil {
		return 0
	}
	return c.said.PID
}

// Worker is the caller as a worker; nil when workers are to be spawned.
func (c *Caller) Worker() *Worker {
	if c == nil {
		return nil
	}
	return c.worker
}

// Gone is closed when the caller is dead, or needs the gateway no more; nil, which is never closed, without one.
func (c *Caller) Gone() <-chan struct{} {
	if c == nil || c.tether == nil {
		return nil
	}
	return c.gone
}

// Listening tells that clients can connect, and where.
func (c *Caller) Listening(addresses []string) {
	c.tell(map[string]any{"event": "listening", "addresses": addresses})
}

// Failed tells why the gateway ends, which the caller shows; false when there is nobody to tell.
func (c *Caller) Failed(err error, code int) bool {
	return c.tell(map[string]any{"event": "failed", "error": strings.ToValidUTF8(err.Error(), "\ufffd"), "code": code})
}

// tell sends one line of JSON.
func (c *Caller) tell(event map[string]any) bool {
	if c == nil || c.tether == nil {
		return false
	}
	line, err := json.Marshal(event)
	if err != nil {
		return false
	}
	if err := c.tether.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	_, err = c.tether.Write(append(line, '\n'))
	return err == nil
}
