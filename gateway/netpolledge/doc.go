// Package netpolledge serves plaintext HTTP/1.1 with netpoll. It is the only
// room that knows netpoll; Linux only (elsewhere connedge serves).
//
// In: listeners. Out: bytes into http1.Session, and back.
//
// Goroutines: netpoll's poller reads a connection and calls Session.Feed right
// there, without a hand-over to another goroutine, so nothing reached from Feed may block. The
// one exception is a body that outgrows its memory: it is written to disk right
// there, since waiting for the disk is the only way to make netpoll read slower than the
// client sends. Answers are written by whoever ends them, without blocking, to a
// duplicate of the descriptor; what a client does not take waits in its session until
// writer, a small epoll loop of our own, says that there is room.
//
// Three rules keep netpoll whole:
//   - Its Connection.Close is never called after the connection was registered: called while
//     the poller is inside the handler it would wait for itself for ever. Connections
//     end by shutdown(2) on the duplicate, which the poller sees as a hang-up.
//   - The handler takes all input each time; it would be called again at once otherwise.
//   - The duplicate is closed by the session's owner only, so its number cannot be
//     reused under a write.
package netpolledge
