//go:build unix && !linux

package supervisor

// traced is whether any thread of a process is traced; the system has no portable way to tell.
func traced(int) bool { return false }
