package static

import (
	"bytes"
	"strconv"
)

// span is a part of a file: bytes from start, n of them.
type span struct{ start, n int64 }

// mostRanges is how many parts one answer may have. More, or such as overlap, are an attack or a mistake (RFC 9110
// §14.2): the whole file is cheaper for both sides.
const mostRanges = 16

// ranged is what a Range field asks for.
type ranged uint8

const (
	whole ranged = iota // the field is not there, not understood, or not worth it
	parts
	unsatisfiable // 416
)

// parseRange reads a Range field's value for a file of that size (RFC 9110 §14.1.2).
func parseRange(value []byte, size int64) ([]span, ranged) {
	unit, set, ok := bytes.Cut(value, []byte{'='})
	if !ok || !bytes.EqualFold(bytes.TrimSpace(unit), []byte("bytes")) {
		return nil, whole
	}
	var spans []span
	count, total := 0, int64(0)
	for len(set) > 0 {
		var one []byte
		one, set, _ = bytes.Cut(set, []byte{','})
		if one = bytes.Trim(one, " \t"); len(one) == 0 {
			continue
		}
		if count++; count > mostRanges {
			return nil, whole
		}
		s, valid, satisfiable := parseSpan(one, size)
		if !valid {
			return nil, whole // RFC 9110 §14.2: an invalid field is ignored
		}
		if satisfiable {
			spans = append(spans, s)
			total += s.n
		}
	}
	switch {
	case count == 0:
		return nil, whole
	case len(spans) == 0:
		return nil, unsatisfiable
	case len(spans) > 1 && (total > size || overlap(spans)):
		return nil, whole
	}
	return spans, parts
}

// parseSpan reads first-last, first- or -suffix.
func parseSpan(b []byte, size int64) (s span, valid, satisfiable bool) {
	first, last, ok := bytes.Cut(b, []byte{'-'})
	if !ok || len(first) == 0 && len(last) == 0 {
		return s, false, false
	}
	if len(first) == 0 {
		n, ok := number(last)
		if !ok {
			return s, false, false
		}
		n = min(n, size)
		return span{size - n, n}, true, n > 0
	}
	start, ok := number(first)
	if !ok {
		return s, false, false
	}
	end := size - 1
	if len(last) > 0 {
		n, ok := number(last)
		if !ok || n < start {
			return s, false, false
		}
		end = min(n, end)
	}
	return span{start, end - start + 1}, true, start < size
}

// number reads digits; what is too large for an offset is as good as the largest.
func number(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

func overlap(spans []span) bool {
	for i, a := range spans {
		for _, b := range spans[i+1:] {
			if a.start < b.start+b.n && b.start < a.start+a.n {
				return true
			}
		}
	}
	return false
}
