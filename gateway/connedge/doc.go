// Package connedge serves the same http1.Session over any net.Conn: for systems
// without netpoll, and for what netpoll cannot carry.
//
// In: a listener. Out: bytes into http1.Session, and back.
//
// Goroutines: two per connection. One reads and feeds the session; one writes what
// answers left in a bounded buffer, so that whoever answers never waits for the
// client.
package connedge
