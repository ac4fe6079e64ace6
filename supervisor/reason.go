package supervisor

import "fmt"

// Reason is why a worker ends, or has ended. The table says what follows from each.
type Reason uint8

// The reasons. Those up to ReasonRequestTimeout are the supervisor's: the worker is asked to stop, with its
// requests answered, and where the slot goes on a successor is there before. The others find a worker that
// is lost already, or has to be killed.
const (
	noReason             Reason = iota
	ReasonStopped               // the gateway stops
	ReasonReload                // a reload put another generation in its place, or gave up the one it belongs to
	ReasonScaledDown            // fewer workers are wanted
	ReasonMaxRequests           // workers.max_requests
	ReasonMaxLifetime           // workers.max_lifetime
	ReasonMaxRSS                // workers.max_rss
	ReasonApplication           // pyspeed.recycle()
	ReasonControl               // pyspeed-gw ctl
	ReasonRequestTimeout        // server.timeouts.request
	ReasonHung                  // workers.timeout
	ReasonStartupTimeout        // workers.startup_timeout
	ReasonFailedStart           // it said why it cannot start, or its warm-up failed
	ReasonProtocol              // it broke the protocol, or a socket of it
	ReasonKilled                // pyspeed-gw ctl kill
	ReasonCrashed               // a signal, not the gateway's
	ReasonExited                // it exited without being asked
	reasons
)

// ExitRequestTimeout is the exit code of a worker that was replaced because of a request that took too long.
const ExitRequestTimeout = 5

type reasonFacts struct {
	label string // of pyspeed_worker_ends_total, and the log's "reason"
	words string // for the log: "worker 2 (pid 77) stopped as asked: WORDS"
	code  int    // that a worker which is asked to stop exits with
}

var reasonTable = [reasons]reasonFacts{
	noReason:             {"none", "", 0},
	ReasonStopped:        {"stopped", "the server stops", 0},
	ReasonReload:         {"reload", "the workers were reloaded", 0},
	ReasonScaledDown:     {"scaled_down", "fewer workers are wanted", 0},
	ReasonMaxRequests:    {"max_requests", "it has had its requests (workers.max_requests)", 0},
	ReasonMaxLifetime:    {"max_lifetime", "it has reached its age (workers.max_lifetime)", 0},
	ReasonMaxRSS:         {"max_rss", "it has grown too large (workers.max_rss)", 0},
	ReasonApplication:    {"application", "the application asked for it", 0},
	ReasonControl:        {"control", "pyspeed-gw ctl asked for it", 0},
	ReasonRequestTimeout: {"request_timeout", "a request took too long (server.timeouts.request)", ExitRequestTimeout},
	ReasonHung:           {"hung", "the application held its event loop or all its threads (workers.timeout)", 0},
	ReasonStartupTimeout: {"startup_timeout", "it was not ready in time (workers.startup_timeout)", 0},
	ReasonFailedStart:    {"failed_start", "it could not start", 0},
	ReasonProtocol:       {"protocol", "it broke the protocol", 0},
	ReasonKilled:         {"killed", "pyspeed-gw ctl killed it", 0},
	ReasonCrashed:        {"crashed", "a signal ended it", 0},
	ReasonExited:         {"exited", "it exited without being asked", 0},
}

// Label is the reason's name in the metric and in the log.
func (r Reason) Label() string { return reasonTable[r].label }

// ExitCode is what a worker that is asked to stop for this reason exits with.
func (r Reason) ExitCode() int { return reasonTable[r].code }

// String is the reason in words.
func (r Reason) String() string {
	if r >= reasons {
		return fmt.Sprintf("Reason(%d)", uint8(r))
	}
	return reasonTable[r].words
}

// Reasons lists all that a worker can end for.
func Reasons() []Reason {
	var all []Reason
	for r := noReason + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}
