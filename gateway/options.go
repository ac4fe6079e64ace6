package gateway

import (
	"pyspeed/gateway/exchange"
)

// serverWide answers what concerns the server and no resource of the application, and gives
// everything else on.
type serverWide struct{ next exchange.Responder }

var allow = []exchange.Field{{Name: []byte("Allow"), Value: []byte("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")}}

// Respond implements exchange.Responder.
func (s serverWide) Respond(x *exchange.Exchange) {
	// RFC 9110 §9.3.7: OPTIONS with * "applies to the server in general rather than to a
	// specific resource"; frameworks would take it for a path.
	if t := x.Request.Target; len(t) == 1 && t[0] == '*' {
		x.Source = nothing{}
		_ = x.Writer.Answer(204, allow, nil) // the field is a constant
		return
	}
	s.next.Respond(x)
}

// nothing is the Source of an answer that is complete already.
type nothing struct{}

func (nothing) Drained(int) {}
func (nothing) Cancelled()  {}
