package dispatch

import "net/http"

// Failure is one way for a request to end without an answer of the
// application. This table says what follows from each.
type Failure uint8

// The kinds.
const (
	FailQueueFull Failure = iota
	FailOverload
	FailQueueTime
	FailStopping
	FailNoWorker
	FailApplication
	FailAnswerHead
	FailBody
	FailWorkerDied
	FailWorkerHung
	FailRequestTimeout
	FailProtocol
	failures
)

type consequence struct {
	metric string // label of pyspeed_failures_total
	status int    // to the client, if no head was sent; else the connection is cut
	reason string
	worker string // what becomes of the worker; documentation
}

var consequences = [failures]consequence{
	FailQueueFull:      {"queue_full", http.StatusServiceUnavailable, "", "none"},
	FailOverload:       {"overload", http.StatusServiceUnavailable, "", "none"},
	FailQueueTime:      {"queue_timeout", http.StatusServiceUnavailable, "", "none"},
	FailStopping:       {"stopping", http.StatusServiceUnavailable, "", "none"},
	FailNoWorker:       {"no_worker", http.StatusServiceUnavailable, "", "could not be started; the reason is in the log"},
	FailApplication:    {"application", http.StatusInternalServerError, "", "lives; the traceback is in the log"},
	FailAnswerHead:     {"answer_head", http.StatusInternalServerError, "", "lives; the request is aborted"},
	FailBody:           {"request_body", http.StatusInternalServerError, "", "lives; the request is aborted"},
	FailWorkerDied:     {"worker_died", http.StatusBadGateway, "", "is replaced; requests that had not begun move to another"},
	FailWorkerHung:     {"worker_hung", http.StatusGatewayTimeout, "", "is killed, with its stacks in the log, and replaced; requests that had not begun move to another"},
	FailRequestTimeout: {"request_timeout", http.StatusGatewayTimeout, "", "is replaced, once its other requests have ended; the request is aborted"},
	FailProtocol:       {"protocol", http.StatusBadGateway, "", "is killed and replaced"},
}

// Metric is the label under which the kind is counted.
func (f Failure) Metric() string { return consequences[f].metric }

// Status is what the client gets.
func (f Failure) Status() int { return consequences[f].status }

// Failures lists all kinds.
func Failures() []Failure {
	all := make([]Failure, failures)
	for i := range all {
		all[i] = Failure(i)
	}
	return all
}
