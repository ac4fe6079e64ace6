// Package ctl is how an operator speaks to a running gateway: pyspeed-gw ctl, and the gateway's end of it.
//
// In, at the gateway: connections to a unix socket that only root and the gateway's own user may use, each with one request, a line of
// JSON. Out: lines of progress while it takes long, then one answer. docs/internals.md, "The control socket", has the protocol;
// codec.go knows it and does no I/O. At the operator's: a command line in, text or JSON out.
//
// Goroutines: one accepts, two for each connection, of which there are a bounded number. A client can hold none of them for
// longer than its command takes, and none of the gateway's other work at all.
package ctl
