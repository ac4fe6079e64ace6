// Package cache is a shared HTTP cache (RFC 9111) in front of the responders that run applications.
//
// In: exchanges, on their way to a responder (Cache.Wrap). Out: an answer that is stored, or the responder's, of which a copy
// is stored where its fields, or a rule of the operator's, say that others may have it too.
//
// The policy is sans-I/O: directives.go and targeted.go read fields, policy.go decides what is stored and for how long, use.go
// whether a stored answer may be given to a request, key.go and vary.go which one. A fetch is one request to the responder
// whose answer may be stored; requests for the same that come meanwhile follow it. memory.go keeps the answers, which never change
// once they are kept: whoever answers with one reads the same bytes.
//
// Goroutines: a lookup, and an answer of up to 64 KiB, run on the edge's. A larger one is sent by a goroutine of its own,
// as fast as its client takes it. Followers are answered by one goroutine per fetch. Redis, where the cache is shared, is asked on
// goroutines of its store's; nothing else blocks but Purge.
package cache
