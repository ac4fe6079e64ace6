// Package admin answers operators on a listener of its own, without asking a worker: /live, /ready and
// /metrics.
//
// In: a listener. Out: answers by net/http, on its goroutines.
package admin
