// Package metrics counts what the gateway does, once for all workers, and writes it in
// Prometheus' text format.
//
// In: exchanges that ended, from their connections' owners; failures, from the dispatcher. Out:
// Write, for the admin listener. Safe for concurrent use; nothing blocks.
package metrics
