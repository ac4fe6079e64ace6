// Package compress encodes answers as the client accepts: zstd, br or gzip (RFC 9110 §8.4, §12.5.3).
//
// In: exchanges, on their way to a responder (Filter.Wrap), and the answer, through the Writer that stands before the
// edge's. Out: the same answer, encoded where its type, its size and the client allow it, with Content-Encoding, Vary and a weak
// ETag; every other answer byte for byte.
//
// Goroutines: those of the exchange. Nothing blocks; an encoder works on the goroutine that calls Body, on what one
// record of a worker holds. What an encoder keeps back leaves at Flush, so that streams arrive as they are produced.
//
// An answer that mixes a secret with what a client sends can be guessed at by its compressed length (BREACH); such
// answers belong among the routes that are left alone.
package compress
