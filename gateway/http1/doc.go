// Package http1 is HTTP/1.1 (RFC 9110, RFC 9112) without I/O: a codec, and Session, the
// state machine of one connection, which is built from it. It is the only HTTP/1 parser in
// the program.
//
// In: bytes of a client, cut anywhere. Parser reads a request head into an
// exchange.Request whose slices point into those bytes; Chunked decodes a body in the
// chunked coding. Out: AppendHead, AppendChunk and AppendLastChunk append an answer to a
// buffer; AppendHead is the only place that decides how an answer is framed.
//
//	          ┌─ Parser.Head ──> exchange.Request ─┐
//	bytes ──> │                                    ├─> Responder
//	          └─ Chunked.Next ─> body bytes ───────┘       │
//	bytes <──── AppendHead, AppendChunk, AppendLastChunk <─┘
//
// The client is hostile. What two parsers could read in two ways is refused, even where RFC
// 9112 would let a recipient repair it: the request may have come through another parser.
// Every refusal is an *Error with a status and a reason that holds no byte of the client's.
// The application is not trusted with framing either: its connection fields are dropped, and
// an illegal field is an error to it, not bytes to the client.
//
// The corpus in testdata names what is accepted and refused, one case per file.
//
// Goroutines: the codec has none and locks nothing; its types belong to the connection's
// owner, its functions may be called from anywhere. Session says who its callers may be.
package http1
