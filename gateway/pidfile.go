package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"pyspeed/internal/logfile"
)

// pidFile is the file of server.pid; "": there is none.
type pidFile string

// write puts our process id into the file, whole from the first moment. A file that another gateway which runs has
// written is left alone.
func (p pidFile) write(owner logfile.Owner) error {
	if p == "" {
		return nil
	}
	if pid := p.read(); pid > 0 && pid != os.Getpid() && isGateway(pid) {
		return fmt.Errorf("cannot write the pid file %s: a gateway runs already as process %d; stop it (kill %d), or choose another file with --pid", string(p), pid, pid)
	}
	dir, name := filepath.Split(string(p))
	temporary := filepath.Join(dir, fmt.Sprintf(".%s.%d", name, os.Getpid()))
	if err := p.writeTo(temporary, owner); err != nil {
		_ = os.Remove(temporary) // it may not be there
		return fmt.Errorf("cannot write the pid file: %w", err)
	}
	return nil
}

func (p pidFile) writeTo(temporary string, owner logfile.Owner) error {
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // one that a process with our number left behind
	}
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	if err == nil && owner.Set {
		err = f.Chown(owner.UID, owner.GID)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, string(p))
}

// read is the process id in the file; 0: there is none.
func (p pidFile) read() int {
	b, err := os.ReadFile(string(p))
	if err != nil || len(b) > 32 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return n
}

// remove removes the file if it still is ours.
func (p pidFile) remove() error {
	if p == "" || p.read() != os.Getpid() {
		return nil
	}
	if err := os.Remove(string(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isGateway is whether a process runs, and runs the same program as we do, as far as can be told.
func isGateway(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	ours, _ := program("self")
	if ours == "" {
		return true // without /proc nothing tells it from a gateway
	}
	theirs, state := program(strconv.Itoa(pid))
	return theirs == ours && state != "Z" // a zombie holds nothing any more
}

// program is the name of a process's program, as proc(5) has it, and its state; "" where there is none.
func program(pid string) (name, state string) {
	b, err := os.ReadFile("/proc/" + pid + "/stat") // pid (name) state …
	if err != nil {
		return "", ""
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return "", ""
	}
	if rest := strings.Fields(string(b[end+1:])); len(rest) > 0 {
		state = rest[0]
	}
	return string(b[open+1 : end]), state
}
