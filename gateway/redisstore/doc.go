// Package redisstore is what gateways share through Redis: values that live for a while, scripts, and messages to each other.
//
// In: calls of what shares something (rate limits, the cache), on goroutines that may wait; Go gives one where there is none.
// Out: results, or an error at once where Redis is down. No call takes longer than the timeout, nothing is ever sent twice, and
// nobody needs Redis to serve a request: who gets an error goes on alone.
//
// Goroutines: Connections are made by who needs one. While Redis is down one goroutine asks for it, less and less often; one
// waits after it came back whether it stays. Go's end when nothing waits, a subscription's with its context. Close ends all.
package redisstore
