// Package gateway assembles the chain, listeners → edges → dispatcher → workers, starts
// it in order, and stops it in order.
//
// In: a configuration. Out: a running server. Run blocks on the caller's
// goroutine; everything else says for itself where it runs.
package gateway
