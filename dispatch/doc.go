// Package dispatch decides which worker answers a request, and when: one bounded
// queue, a window of requests in flight per worker, the least busy worker first.
//
// In: exchanges, from the edges (Respond), and workers, from the supervisor (Serve, Drain, Lost).
// Out: FastCGI records of profile pyspeed/1 to the workers, and their answers into
// each exchange's Writer.
//
// Goroutines: Respond runs on the edge's goroutine, answers on the one that the
// worker's loop (Settings.Loop) feeds its connection from, one at a time, the queue's timeouts on
// one of their own (Run). Nothing here blocks: one mutex guards who has which request, and no callback into an
// exchange is made while it is held.
//
// No request is ever run twice. A request moves to another worker only if the first gave it back, or
// is dead for certain and answered nothing of it; and never if its start mark was set.
package dispatch
