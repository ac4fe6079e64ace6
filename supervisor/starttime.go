package supervisor

import (
	"fmt"
	"time"
)

// startTime holds a start against its time limits: the whole of it, and each part that has one of its own.
type startTime struct {
	limits map[string]time.Duration // by stage; "" is the whole
	target any

	stage   stage
	entered time.Time
	spent   map[string]time.Duration // in stages before the present one

	whole, part *time.Timer
}

// newStartTime starts the clock.
func newStartTime(l *Launch) *startTime {
	t := &startTime{
		limits: map[string]time.Duration{"": l.StartupTimeout, "import": l.ImportTimeout, "lifespan": l.LifespanTimeout},
		target: l.Start["target"], entered: time.Now(), spent: map[string]time.Duration{},
		whole: time.NewTimer(l.StartupTimeout), part: time.NewTimer(time.Hour),
	}
	t.part.Stop()
	return t
}

func (t *startTime) stop() {
	t.whole.Stop()
	t.part.Stop()
}

// enter notes the next part of the start. An import that goes on after a hook has used some of its time.
func (t *startTime) enter(next stage) {
	now := time.Now()
	t.spent[t.stage.name] += now.Sub(t.entered)
	t.stage, t.entered = next, now
	t.part.Stop()
	if limit := t.limits[next.name]; next.name != "" && limit > 0 {
		t.part.Reset(max(0, limit-t.spent[next.name]))
	}
}

// again gives all of its time to a start that somebody debugs.
func (t *startTime) again() {
	clear(t.spent)
	t.entered = time.Now()
	t.whole.Reset(t.limits[""])
	t.enter(t.stage)
}

// exceeded says, once one of the timers has fired, what took too long. part: it was that of a part.
func (t *startTime) exceeded(w *Worker, part bool) (reason, summary string) {
	limit, option := t.limits[""], "workers.startup_timeout"
	if part {
		limit, option = t.limits[t.stage.name], "app."+t.stage.name+"_timeout"
	}
	doing := t.doing()
	return fmt.Sprintf("it was not ready after %v: it was %s (%s is %v)", limit, doing, option, limit),
		fmt.Sprintf("%s did not become ready within %v: it was %s, and its stack is in the log; raise %s if it only needs longer",
			w, limit, doing, option)
}

func (t *startTime) doing() string {
	switch t.stage.name {
	case "import":
		return fmt.Sprintf("importing %v", t.target)
	case "hook":
		return "running the application's hook " + t.stage.what
	case "serve":
		return "preparing to serve the application"
	case "lifespan":
		return "waiting for the application's lifespan startup"
	case "warmup":
		return "being warmed up: " + t.stage.what
	}
	return "starting Python"
}
