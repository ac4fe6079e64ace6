// Package ratelimit refuses requests beyond what rules allow, before anything else is done for them.
//
// In: exchanges, on their way to a responder (Limiter.Wrap), and rules (Configure), also while requests are under way. Out: the same
// exchanges, with the RateLimit fields of draft-ietf-httpapi-ratelimit-headers-10 in their answers, or 429 (RFC 6585 §4).
//
// Each rule has a bucket of tokens for each of its keys: an address, the value of a header field, a route. Buckets are this
// gateway's, in memory that is bounded, or shared with others in Redis; then what Redis has said last is kept here too, which is
// what counts while Redis is down.
//
// Goroutines: Respond runs on the edge's and decides there without waiting. What has to be asked of Redis leaves by way of
// exchange.Detach: at most a few goroutines ask, each for all that waits, and end when nothing does.
package ratelimit
