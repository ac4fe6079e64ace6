// Package upstream answers requests by asking FastCGI 1.0 responders that are not ours: php-fpm, fcgiwrap,
// flup, or a PySpeed shim that somebody else started.
//
// In: exchanges, from the edges (Respond). Out: one request at a time on each connection to a responder, and its
// CGI answer (RFC 3875 §6) into the exchange's Writer.
//
// Goroutines: Respond runs on the edge's goroutine and only starts the request's own, which finds the script,
// waits for a connection, sends, reads and answers; a body that is streamed has one more. Run watches over
// addresses and idle connections, and logs what responders write to STDERR.
//
// Memory per request is bounded: one record of the answer, one part of the body, and what the client has not taken,
// at most one window. Beyond it nothing is read from the responder.
//
// No request is ever run twice. Another connection or address is tried only while not one byte of the
// request was sent; FastCGI has no way to tell how far a responder got. So a kept connection is looked at
// before it is used, and one on which a request did not end with END_REQUEST is never used again.
package upstream
