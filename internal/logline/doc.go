// Package logline is the server's own log: one line per record, in text form (time, level, message, then
// key=value pairs) or as a JSON object.
//
// In: slog records, from any goroutine. Out: lines. New writes each at once, in one write. A Log has a bounded buffer and one
// goroutine that writes it to a file: a disk or pipe that takes nothing costs lines, which are counted, never
// anybody's time. Who has time, such as the goroutine that carries a worker's output, asks for Room after each line.
package logline
