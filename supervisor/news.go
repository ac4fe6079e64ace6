package supervisor

import "sync/atomic"

// news is what a worker tells without having been asked. The goroutine that reads its control socket
// fills it and waits for nobody.
type news struct {
	stages   chan stage  // the parts of its start, in order
	debugger atomic.Bool // its application stands in a debugger that has the terminal
	recycle  func(reason string)
	told     atomic.Bool // the log has the last answer of Worker.Debugged
}

// stage is a part of a worker's start.
type stage struct {
	name string // import, hook, serve, lifespan; "" until the worker has told one; warmup, which the gateway knows
	what string // a hook's name, what the warm-up waits for
}

// stagesMost is how many parts of a start may wait to be looked at. There are fewer, and more that a worker
// tells are left alone.
const stagesMost = 16

func newNews(recycle func(reason string)) *news {
	return &news{stages: make(chan stage, stagesMost), recycle: recycle}
}

// take is false for an event that is no news.
func (n *news) take(e event) bool {
	switch e.text("event") {
	case "stage":
		select {
		case n.stages <- stage{e.text("stage"), e.text("what")}:
		default:
		}
	case "recycle":
		n.recycle(printable([]byte(e.text("reason"))))
	case "debugger":
		n.debugger.Store(e.flag("on"))
	default:
		return false
	}
	return true
}
