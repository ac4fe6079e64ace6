//go:build !linux

package dispatch

import "testing"

// eachLoop runs f with workers driven by goroutines, the only loop here.
func eachLoop(t *testing.T, f func(t *testing.T, s Settings)) {
	t.Run("goroutines", func(t *testing.T) { f(t, Settings{}) })
}
