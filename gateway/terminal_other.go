//go:build unix && !linux

package gateway

// terminal is not offered to workers on this system.
type terminal struct{}

func openTerminal() *terminal        { return nil }
func (*terminal) offered() int       { return 0 }
func (*terminal) standing(int, bool) {}
func (*terminal) reclaim()           {}
func (*terminal) close()             {}
