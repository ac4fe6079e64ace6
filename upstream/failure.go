package upstream

import "net/http"

// Failure is one way for a request to end without the responder's answer. This table says what
// follows from each.
type Failure uint8

// The kinds.
const (
	FailQueueFull Failure = iota
	FailQueueTime
	FailStopping
	FailUnreachable
	FailTimeout
	FailDied
	FailProtocol
	FailAnswerHead
	FailNoAnswer
	FailOverloaded
	FailRefused
	FailBody
	failures
)

type consequence struct {
	metric  string // label of pyspeed_failures_total
	status  int    // to the client, if no head was sent; else the connection is cut
	counted bool   // against the address (Settings.MaxFails)
	what    string // for the log
}

var consequences = [failures]consequence{
	FailQueueFull:   {"upstream_queue_full", http.StatusServiceUnavailable, false, "too many requests wait for a connection"},
	FailQueueTime:   {"upstream_queue_timeout", http.StatusServiceUnavailable, false, "it waited too long for a connection"},
	FailStopping:    {"upstream_stopping", http.StatusServiceUnavailable, false, "the server stops"},
	FailUnreachable: {"upstream_unreachable", http.StatusServiceUnavailable, true, "no responder can be reached"},
	FailTimeout:     {"upstream_timeout", http.StatusGatewayTimeout, true, "the responder took too long"},
	FailDied:        {"upstream_died", http.StatusBadGateway, true, "the connection ended without END_REQUEST"},
	FailProtocol:    {"upstream_protocol", http.StatusBadGateway, true, "the responder does not keep to FastCGI 1.0"},
	FailAnswerHead:  {"upstream_answer_head", http.StatusBadGateway, false, "the answer's head must not be sent"},
	FailNoAnswer:    {"upstream_no_answer", http.StatusBadGateway, false, "the responder ended the request without an answer"},
	FailOverloaded:  {"upstream_overloaded", http.StatusServiceUnavailable, false, "the responder is overloaded"},
	FailRefused:     {"upstream_refused", http.StatusBadGateway, false, "the responder refused the request"},
	FailBody:        {"upstream_request_body", http.StatusInternalServerError, false, "the request's body cannot be read back from disk"},
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
