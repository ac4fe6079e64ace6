package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on all of Linux' architectures that Go knows.
const tick = time.Second / 100

var errFormat = errors.New("the kernel's answer is not understood")

// Look reads a process's usage.
func Look(pid int) (Usage, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var u Usage
	if err == nil {
		u, err = parseStat(data, int64(os.Getpagesize()))
	}
	if err != nil {
		return Usage{}, fmt.Errorf("cannot look at process %d: %w", pid, err)
	}
	return u, nil
}

// parseStat reads /proc/PID/stat, see proc_pid_stat(5).
func parseStat(data []byte, page int64) (Usage, error) {
	// The second field is the name in parentheses, which may hold anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 22 {
		return Usage{}, errFormat
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	resident, err3 := strconv.ParseInt(string(fields[21]), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return Usage{}, errFormat
	}
	return Usage{CPU: time.Duration(user+system) * tick, Resident: resident * page}, nil
}

// Share is the process's part of the memory it has resident: what it shares with n processes counts as an nth.
// It costs the kernel a look at all its pages.
func Share(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot look at the memory of process %d: %w", pid, err)
	}
	n, err := parsePSS(data)
	if err != nil {
		return 0, fmt.Errorf("cannot look at the memory of process %d: %w", pid, err)
	}
	return n, nil
}

func parsePSS(data []byte) (int64, error) {
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			fields := bytes.Fields(rest)
			if len(fields) != 2 || string(fields[1]) != "kB" {
				return 0, errFormat
			}
			n, err := strconv.ParseInt(string(fields[0]), 10, 64)
			if err != nil || n < 0 || n >= 1<<50 {
				return 0, errFormat
			}
			return n << 10, nil
		}
	}
	return 0, errFormat
}
