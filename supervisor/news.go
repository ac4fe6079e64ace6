package supervisor

import "sync/atomic"

// news is what a worker tells without having been asked. The goroutine that reads its control socket
// fills it and waits for nobody.
type news struct {
	stages   chan stage  // the parts of its start, in order
	debugger atomic.Bool // its application stands in a debugger that has the terminal
	told     atomic.Bool // the log has the last answer of Worker.Debugged
	listener
}

// listener is who has to know of some news at once. Its functions are called on the goroutine that reads the control
// socket, so they must not block.
type listener struct {
	recycle func(reason string) // the application asks for another worker in its own's place
	full    func()              // all threads run requests, and others wait behind these
	stands  func(on bool)       // the application stands in a debugger that has the terminal, or has left it
}

// stage is a part of a worker's start.
type stage struct {
	name string // import, hook, serve, lifespan; "" until the worker has told one; warmup, which the gateway knows
	what string // a hook's name, what the warm-up waits for
}

// stagesMost is how many parts of a start may wait to be looked at. There are fewer, and more that a worker
// tells are left alone.
const stagesMost = 16

func newNews(l listener) *news {
	return &news{stages: make(chan stage, stagesMost), listener: l}
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
	case "full":
		n.full()
	case "debugger":
		n.debugger.Store(e.flag("on"))
		n.stands(e.flag("on"))
	default:
		return false
	}
	return true
}
