package fcgi

import (
	"net"
	"time"
)

// Loop drives the connections of [Mux]es: an event loop, or goroutines.
type Loop interface {
	// Attach takes over nc and calls h from then on, also before it returns.
	Attach(nc net.Conn, h Handler) (Link, error)
}

// Handler is what a Loop calls. No method blocks.
type Handler interface {
	// Feed takes bytes from the peer; p is only read during the call. One call at a time.
	Feed(p []byte)
	// Closed is called once, after the last Feed; nil is an orderly end.
	Closed(err error)
	// Wake follows Link.Wake.
	Wake()
	// Writable follows Link.WaitWritable.
	Writable()
}

// Link is an attached connection. No method blocks; after Release none is called.
type Link interface {
	// Wake asks for one call of Handler.Wake, after what the loop has in hand.
	Wake()
	// Write sends what the socket takes at once, which may be less than p.
	Write(p []byte) (int, error)
	// WaitWritable asks for one call of Handler.Writable once there is room, or
	// the connection has ended.
	WaitWritable()
	// Close ends the connection; Handler.Closed follows.
	Close()
	// Expire ends reading, once what was sent is read, and at the latest after that long: the peer is
	// dead, but its children may hold the connection open.
	Expire(after time.Duration)
	// Release frees the descriptors, after Closed.
	Release()
}
