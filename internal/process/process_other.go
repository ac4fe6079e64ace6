//go:build !linux

package process

import "errors"

var errNotLinux = errors.New("cannot look at a process: there is no /proc on this system")

// Look reads a process's usage.
func Look(int) (Usage, error) { return Usage{}, errNotLinux }

// Share is the process's part of the memory it has resident.
func Share(int) (int64, error) { return 0, errNotLinux }
