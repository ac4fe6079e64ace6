// Package probe asks any FastCGI responder one question: the command pyspeed-gw probe.
//
// In: an address, a path and parameters. Out: the answer as it was on the wire, and how long it took. It is the
// only package that knows gofast, a FastCGI client that is not ours, so that a responder is judged by somebody
// else's reading too. gofast hangs on header lines over 1,024 bytes, takes the end of the connection for that of the answer and
// keeps END_REQUEST to itself; so what it reads is decoded a second time on its way, and that is what counts.
//
// Goroutines: Ask blocks its caller, for at most Question.Timeout; gofast starts some, which end with the connection.
package probe
