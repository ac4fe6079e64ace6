//go:build unix && !linux

package supervisor

import "errors"

// children: on this system no process but the gateway's own falls to it.
type children struct{}

func newChildren() *children { return &children{} }

func (c *children) begin(start func() (int, error)) (int, error) { return start() }

func (c *children) reaped(int) {}

func inheritDescendants() error {
	return errors.New("only Linux lets a process become the parent of its descendants")
}

func checkChild(int) error { return nil }

func (s *Supervisor) watchOrphans(*generation) {}
