package dispatch

import (
	"sync"
	"testing"

	"pyspeed/gateway/netpolledge"
)

// poller is the loop that the gateway uses here; as there it lives as long as the process.
var poller = sync.OnceValues(netpolledge.NewLoop)

// eachLoop runs f with workers driven by goroutines, and by the poller.
func eachLoop(t *testing.T, f func(t *testing.T, s Settings)) {
	t.Run("goroutines", func(t *testing.T) { f(t, Settings{}) })
	t.Run("netpoll", func(t *testing.T) {
		loop, err := poller()
		if err != nil {
			t.Fatal(err)
		}
		f(t, Settings{Loop: loop})
	})
}
