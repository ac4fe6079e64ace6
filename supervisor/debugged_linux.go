package supervisor

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// traced is whether any thread of a process is traced, as debuggers do.
func traced(pid int) bool {
	statuses, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/status"))
	if err != nil {
		return false
	}
	for _, name := range statuses {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has just ended
		}
		_, rest, found := bytes.Cut(text, []byte("\nTracerPid:"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if tracer := bytes.TrimSpace(line); found && !bytes.Equal(tracer, []byte("0")) {
			return true
		}
	}
	return false
}
