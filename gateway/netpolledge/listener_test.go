//go:build linux

package netpolledge

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A listener without a descriptor is refused, and nothing waits for ever then.
func TestNewRefusesOtherListeners(t *testing.T) {
	if _, err := New(struct{ net.Listener }{}, nil, nil, nil); err == nil {
		t.Error("it was taken")
	}
}

// Shutdown ends accepting by the poller, and by the goroutine that netpoll has for it while
// descriptors are short.
func TestListenerShutdown(t *testing.T) {
	for name, detached := range map[string]bool{"by the poller": false, "while descriptors are short": true} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l, err := newListener(ln, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if c, err := l.Accept(); c != nil || err != nil {
				t.Errorf("nobody waits, but got %v, %v", c, err)
			}
			l.detached.Store(detached)
			l.shutdown()
			l.shutdown()
			ready := make([]unix.EpollEvent, 4)
			if n, err := unix.EpollWait(l.Fd(), ready, 0); n != 1 || err != nil {
				t.Errorf("the poller was not woken: %d, %v", n, err)
			}
			if detached {
				if c, err := l.Accept(); c != nil || err != nil {
					t.Errorf("want the goroutine to end, got %v, %v", c, err)
				}
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			l.shutdown()
		})
	}
}
