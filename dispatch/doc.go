// Package dispatch decides which worker answers a request, and when: one bounded
// queue, a window of requests in flight per worker, the least busy worker first.
//
// In: exchanges, from the edges (Respond), and workers, from the supervisor (Add, Drain, Lost).
// Out: FastCGI records of profile pyspeed/1 to the workers, and their answers into
// each exchange's Writer.
//
// Goroutines: Respond runs on the edge's goroutine, answers on the goroutine of the worker's
// reader (Serve), the queue's timeouts on one of their own (Run). Nothing here
// blocks: one mutex guards who has which request, and no callback into an
// exchange is made while it is held.
//
// No request is ever run twice. A request moves to another worker only if the first is dead for
// certain, answered nothing of it, and never set its start mark.
package dispatch
