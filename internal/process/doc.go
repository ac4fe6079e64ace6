// Package process tells what the system knows about a running process: its memory and its CPU time.
//
// In: a process id. Out: numbers, or an error; on systems without /proc always an error. Nothing is kept, no goroutine is
// started, and nothing blocks longer than the kernel needs to answer.
package process

import "time"

// Usage is what a process has taken so far.
type Usage struct {
	CPU      time.Duration // of all its threads; in steps of the kernel's clock, mostly 10 ms
	Resident int64         // bytes of memory, with all that it shares with others
}
