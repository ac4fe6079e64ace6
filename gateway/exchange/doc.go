// Package exchange is the leaf every room of the gateway shares: one request,
// its answer, and the three interfaces they travel through.
//
// In: an edge fills a Request and calls Responder.Respond. Out: the responder
// pushes the answer into the exchange's Writer: Head, Body…, End. Data flows
// one way, edge → route → responder → filters → edge; nothing downstream of the
// edge knows which protocol the client speaks.
//
// Goroutines: Respond is called on the edge's goroutine and must not block.
// Writer methods are called by one goroutine at a time (a worker's reader,
// mostly), and never block either: bytes a slow client does not take are kept
// by the edge within the exchange's window, and Source.Drained reports them gone.
package exchange
