package gateway

import (
	"context"
	"errors"
	"sync"

	"pyspeed/gateway/scaling"
	"pyspeed/internal/config"
	"pyspeed/internal/logline"
)

// Operation is what can be operated of a running gateway, besides its stop. What is nil or empty cannot.
type Operation struct {
	// Log is the log that the gateway's own messages go to.
	Log *logline.Log
	// Load reads the configuration again, and what workers are started from. On the goroutine that runs reloads.
	Load func() (*config.Config, Start, error)
	// Control is the path of the control socket.
	Control string
}

// Order is what a signal asks for.
type Order uint8

// The orders.
const (
	OrderReload Order = iota // Reconfigure
	OrderReopen              // open the logs anew
	OrderMore                // one worker more
	OrderFewer               // one worker fewer
)

// orders are those that were not obeyed yet; equal ones are one, and more and fewer add up.
type orders struct {
	wake chan struct{} // has an element when there is one

	mu             sync.Mutex
	reload, reopen bool
	workers        int
}

// Order takes an order and returns at once. It is obeyed while Run runs; from any goroutine.
func (g *Gateway) Order(what Order) {
	o := &g.orders
	o.mu.Lock()
	switch what {
	case OrderReload:
		o.reload = true
	case OrderReopen:
		o.reopen = true
	case OrderMore:
		o.workers++
	case OrderFewer:
		o.workers--
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// takeReopen is whether the logs are to be opened anew.
func (o *orders) takeReopen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	reopen := o.reopen
	o.reopen = false
	return reopen
}

// takeWorkers are the orders that concern the workers.
func (o *orders) takeWorkers() (reload bool, workers int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	reload, workers = o.reload, o.workers
	o.reload, o.workers = false, 0
	return reload, workers
}

// obey carries orders out until ctx ends; those that concern the workers once these have started. It waits for nothing that may
// take long.
func (g *Gateway) obey(ctx context.Context) {
	started := g.started
	running := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-started:
			started, running = nil, true
		case <-g.orders.wake:
		}
		if g.orders.takeReopen() {
			g.reopenLogs()
		}
		if !running {
			continue
		}
		reload, workers := g.orders.takeWorkers()
		if reload {
			g.reloads.ask()
		}
		if workers != 0 {
			if _, err := g.changeWorkers(workers); err != nil {
				g.log.Error(err.Error())
			}
		}
	}
}

// reopenLogs opens the logs' files anew, as after a rotation. One that cannot be opened goes on in its old file.
func (g *Gateway) reopenLogs() {
	errs := []error{g.access.Reopen()}
	if g.Operation.Log != nil {
		errs = append(errs, g.Operation.Log.Reopen())
	}
	for _, err := range errs {
		if err != nil {
			g.log.Error(err.Error())
		}
	}
	if errors.Join(errs...) == nil {
		g.log.Info("logs opened anew")
	}
}

// changeWorkers makes it n workers more, or fewer where n is negative, and returns how many there may be now; see
// scaling.Bounds.Shift.
func (g *Gateway) changeWorkers(n int) (scaling.Bounds, error) {
	switch {
	case g.cfg.WholeSite():
		return scaling.Bounds{}, errors.New("cannot change the number of workers: there are none, an upstream takes every request")
	case g.attached:
		return scaling.Bounds{}, errors.New("cannot change the number of workers: the process that started the gateway is the only one")
	}
	b := g.scaler.shift(n)
	g.log.Info("the number of workers was changed", "by", n, "min", b.Min, "max", b.Max)
	return b, nil
}
