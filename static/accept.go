package static

import (
	"bytes"

	"pyspeed/gateway/exchange"
)

// pick chooses the representation for a request: the smallest of those that the client takes. Ranges are those of
// the file itself.
func (e *entry) pick(q *exchange.Request) *variant {
	best := e.variants[identity].Load()
	accepts := q.Get("accept-encoding")
	if len(accepts) == 0 || q.Get("range") != nil {
		return best
	}
	for c := gzipped; c < codings; c++ {
		v := e.variants[c].Load()
		if v != nil && v.size < best.size && takes(accepts, codingNames[c]) {
			best = v
		}
	}
	if best.coding == identity && best.body != nil && !e.tooLarge && (takes(accepts, "gzip") || takes(accepts, "br")) {
		e.ask()
	}
	return best
}

// encoded is whether a request takes an encoding that may lie beside a file.
func encoded(q *exchange.Request) bool {
	accepts := q.Get("accept-encoding")
	if len(accepts) == 0 || q.Get("range") != nil {
		return false
	}
	for _, n := range codingNames[gzipped:] {
		if takes(accepts, n) {
			return true
		}
	}
	return false
}

// takes is whether an Accept-Encoding field's value has a coding with a weight above 0 (RFC 9110 §12.5.3). A "*" is
// not taken for one: clients that mean a coding name it.
func takes(list []byte, coding string) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte{','})
		name, weight, _ := bytes.Cut(item, []byte{';'})
		if !exchange.EqualFold(bytes.TrimSpace(name), coding) {
			continue
		}
		weight = bytes.TrimSpace(weight)
		if len(weight) == 0 {
			return true
		}
		_, q, ok := bytes.Cut(weight, []byte{'='})
		return ok && bytes.ContainsAny(q, "123456789")
	}
	return false
}
