package compress

import "pyspeed/gateway/exchange"

// Coding is one content coding.
type Coding uint8

// The codings; identity is none.
const (
	identity Coding = iota
	Gzip
	Brotli
	Zstd
	codings
)

var names = [codings]string{Gzip: "gzip", Brotli: "br", Zstd: "zstd"}

// String is the coding's name in Content-Encoding.
func (c Coding) String() string { return names[c] }

// ParseCoding is the coding of that name, as in Accept-Encoding.
func ParseCoding(name string) (Coding, bool) {
	for c := Gzip; c < codings; c++ {
		if names[c] == name {
			return c, true
		}
	}
	return identity, false
}

// weights are what a request's Accept-Encoding says of each coding, in thousandths; -1: nothing.
type weights [codings]int

// noWeights is a request without Accept-Encoding. RFC 9110 §12.5.3 allows any coding then; but such clients mostly know none.
var noWeights = weights{1000, 0, 0, 0}

// accept adds one Accept-Encoding field's value. What cannot be read counts for nothing.
func (w *weights) accept(value []byte) {
	for len(value) > 0 {
		var item []byte
		item, value = exchange.Cut(value, ',')
		name, parameters := exchange.Cut(item, ';')
		q := quality(parameters)
		switch name := exchange.TrimOWS(name); {
		case q < 0 || len(name) == 0:
		case len(name) == 1 && name[0] == '*':
			for c := range w {
				if w[c] < 0 {
					w[c] = q
				}
			}
		case equalFold(name, "identity"):
			w[identity] = q
		case equalFold(name, "x-gzip"): // RFC 9110 §8.4.1.3
			w[Gzip] = q
		default:
			for c := Gzip; c < codings; c++ {
				if equalFold(name, names[c]) {
					w[c] = q
				}
			}
		}
	}
}

// best is the coding that the client likes most; of equals the first of prefer. Identity wins only where it is liked more.
func (w *weights) best(prefer []Coding) Coding {
	chosen, q := identity, max(w[identity], 0)
	for _, c := range prefer {
		if n := w[c]; n > 0 && (n > q || n == q && chosen == identity) {
			chosen, q = c, n
		}
	}
	return chosen
}

// quality reads "q=0.5" among parameters: RFC 9110 §12.4.2; 1000 without, -1 for what is no weight.
func quality(parameters []byte) int {
	p := exchange.TrimOWS(parameters)
	if len(p) == 0 {
		return 1000
	}
	if len(p) < 3 || p[0]|0x20 != 'q' || p[1] != '=' {
		return -1
	}
	p = p[2:]
	if p[0] != '0' && p[0] != '1' || len(p) > 5 || len(p) > 1 && p[1] != '.' {
		return -1
	}
	n, unit := int(p[0]-'0')*1000, 100
	for i := 2; i < len(p); i++ {
		if p[i] < '0' || p[i] > '9' {
			return -1
		}
		n += int(p[i]-'0') * unit
		unit /= 10
	}
	if n > 1000 {
		return -1
	}
	return n
}
