// Package scaling decides how many workers there should be.
//
// In: Samples, taken a few times a second, of what waits, of how busy each worker is and of the memory they have;
// Bounds, which may change at any time. Out: a Decision for each sample.
//
// It does no I/O and knows no clock but the samples'; nothing here starts a goroutine. A Policy belongs to one goroutine.
//
// Workers are added fast and taken away slowly: a request that waits is felt by someone, a worker too many only costs memory.
package scaling
