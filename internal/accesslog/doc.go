// Package accesslog writes a line for every exchange.
//
// In: exchanges that ended, on their connections' owners' goroutines, which only append to a
// buffer. Out: a file or standard output, written by one goroutine (Run) many lines at a
// time. A disk that does not keep up costs lines, which are counted, never memory or
// time of a request.
package accesslog
