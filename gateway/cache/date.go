package cache

import (
	"net/http"
	"time"
)

// date reads an HTTP-date (RFC 9110 §5.6.7) in any of its three forms.
func date(b []byte) (time.Time, bool) {
	t, err := http.ParseTime(string(trim(b)))
	return t, err == nil
}
