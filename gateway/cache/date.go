package cache

import (
	"net/http"
	"time"

	"pyspeed/gateway/exchange"
)

// date reads an HTTP-date (RFC 9110 §5.6.7) in any of its three forms.
func date(b []byte) (time.Time, bool) {
	t, err := http.ParseTime(string(exchange.TrimOWS(b)))
	return t, err == nil
}
