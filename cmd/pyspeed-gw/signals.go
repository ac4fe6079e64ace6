package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"pyspeed/gateway"
)

const (
	// hangUpTime is how long the system mostly takes at most to part us from a terminal that is gone.
	hangUpTime = 200 * time.Millisecond
	// lateHangUpTime is when we look again, on a machine that has much else to do.
	lateHangUpTime = 5 * time.Second
)

// signals is where signals wait from the start of the program on; some of them would end it otherwise.
type signals chan os.Signal

// notifySignals begins to take signals. One that has a caller leaves those alone that a terminal sends to jobs in
// the background: it is one.
func notifySignals(called bool) signals {
	ch := make(signals, 16)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1,
		syscall.SIGPIPE) // the reader of a log is gone: no reason to die
	if !called {
		signal.Notify(ch, syscall.SIGTTIN, syscall.SIGTTOU)
	}
	return ch
}

// orderOf is what the gateway is asked for by a signal that does not stop it.
func orderOf(sig os.Signal) (what gateway.Order, ok bool) {
	switch sig {
	case syscall.SIGHUP:
		return gateway.OrderReload, true
	case syscall.SIGUSR1:
		return gateway.OrderReopen, true
	case syscall.SIGTTIN:
		return gateway.OrderMore, true
	case syscall.SIGTTOU:
		return gateway.OrderFewer, true
	}
	return 0, false
}

// hasTerminal is whether there is a terminal whose keys send us signals.
func hasTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	_ = tty.Close() // nothing was read
	return true
}

// follow gives orders on, which must not block. It returns what is done at the first TERM or INT, and what is done
// at QUIT or a second INT, which also ends the first. Whoever the gateway works for being gone is as TERM; and so is, where
// somebody sits at a terminal (attended), a HUP that comes because that was closed: the server would go on unseen, and keep
// its address.
func (ch signals) follow(gone <-chan struct{}, attended bool, order func(gateway.Order)) (stop, hurry context.Context) {
	hurry, hurryNow := context.WithCancel(context.Background())
	stop, stopNow := context.WithCancel(hurry)
	go func() {
		interrupted := false
		for {
			select {
			case sig := <-ch:
				what, isOrder := orderOf(sig)
				switch {
				case sig == syscall.SIGHUP && attended:
					time.AfterFunc(hangUpTime, func() {
						if !hasTerminal() {
							ch <- syscall.SIGTERM
							return
						}
						order(what)
						time.AfterFunc(lateHangUpTime, func() {
							if !hasTerminal() {
								ch <- syscall.SIGTERM
							}
						})
					})
					continue
				case isOrder:
					order(what)
					continue
				case sig == syscall.SIGPIPE:
					continue
				}
				if sig == syscall.SIGQUIT || sig == syscall.SIGINT && interrupted {
					hurryNow()
				}
				interrupted = interrupted || sig == syscall.SIGINT
			case <-gone:
				gone = nil
			}
			stopNow()
		}
	}()
	return stop, hurry
}
