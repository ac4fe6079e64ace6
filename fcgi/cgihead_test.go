package fcgi_test

import (
	"slices"
	"strings"
	"testing"

	"pyspeed/fcgi"
)

// readHead feeds an answer in chunks and returns what is body.
func readHead(h *fcgi.CGIHead, chunks [][]byte) (fields []pair, body string, done bool, err error) {
	var rest []byte
	for _, chunk := range chunks {
		n := 0
		if !done {
			if n, done, err = h.Feed(chunk); err != nil {
				return nil, "", false, err
			}
		}
		rest = append(rest, chunk[n:]...)
	}
	for name, value := range h.Fields() {
		fields = append(fields, pair{string(name), string(value)})
	}
	return fields, string(rest), done, nil
}

func TestCGIHead(t *testing.T) {
	long := strings.Repeat("x", 70000)
	tests := []struct {
		name, answer string
		status       int
		fields       []pair
		body         string
	}{
		{"status", "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno", 404, []pair{{"Content-Type", "text/plain"}}, "no"},
		{"LF", "Content-Type: text/plain\n\n\nbody", 200, []pair{{"Content-Type", "text/plain"}}, "\nbody"},
		{"mixed line ends", "A: 1\r\nB: 2\n\r\n\r\n", 200, []pair{{"A", "1"}, {"B", "2"}}, "\r\n"},
		{"status only", "Status: 204\r\n\r\n", 204, nil, ""},
		{"status in any case and place", "a:b\nsTATus:\t503 \n\n", 503, []pair{{"a", "b"}}, ""},
		{"status beyond 599", "Status: 999 Odd\n\n", 999, nil, ""},
		{"status with an empty phrase", "Status: 200 \n\n", 200, nil, ""},
		{"empty status is not sent", "Status:\nStatus: 201\nA: b\n\n", 201, []pair{{"A", "b"}}, ""},
		{"location", "Location: /x\n\n", 302, []pair{{"Location", "/x"}}, ""},
		{"location and status", "location: /x\nstatus: 201 Created\n\n", 201, []pair{{"location", "/x"}}, ""},
		{"empty location is not sent", "Location: \nA: b\n\n", 200, []pair{{"Location", ""}, {"A", "b"}}, ""},
		{"repeated, in order", "Set-Cookie: a=1\nX: y\nSet-Cookie: b=2\n\n", 200, []pair{{"Set-Cookie", "a=1"}, {"X", "y"}, {"Set-Cookie", "b=2"}}, ""},
		{"white space around the value", "A: \t b c \t\r\n\r\n", 200, []pair{{"A", "b c"}}, ""},
		{"empty value", "A:\r\nB: \r\n\r\n", 200, []pair{{"A", ""}, {"B", ""}}, ""},
		{"colons", "A: :b:\n\n", 200, []pair{{"A", ":b:"}}, ""},
		{"octets", "A: /\xff\x80 \xe2\x82\xac\n\n\x00\xff", 200, []pair{{"A", "/\xff\x80 \xe2\x82\xac"}}, "\x00\xff"},
		{"every token character", "!#$%&'*+-.^_`|~09azAZ: 1\n\n", 200, []pair{{"!#$%&'*+-.^_`|~09azAZ", "1"}}, ""},
		{"line beyond 64 KiB", "A: " + long + "\r\nB: c\r\n\r\n" + long, 200, []pair{{"A", long}, {"B", "c"}}, long},
		{"body like a head", "A: b\n\nStatus: 500\n\n", 200, []pair{{"A", "b"}}, "Status: 500\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachSplit(t, []byte(tt.answer), func(t *testing.T, chunks [][]byte) {
				var h fcgi.CGIHead
				fields, body, done, err := readHead(&h, chunks)
				if err != nil || !done || h.Status() != tt.status || !slices.Equal(fields, tt.fields) || body != tt.body {
					t.Errorf("done %t, status %d, %d fields, %d bytes of body, error %v", done, h.Status(), len(fields), len(body), err)
				}
			})
		})
	}
}

func TestCGIHeadFailure(t *testing.T) {
	tests := []struct{ name, answer, wantErr string }{
		{"empty head", "\r\n", "head is empty"},
		{"empty status alone", "Status:\n\n", "head is empty"},
		{"no colon", "A: b\nTraceback (most recent call last)\n\n", `"Traceback (most recent call last)" has no colon`},
		{"HTTP", "HTTP/1.1 200 OK\r\n\r\n", "has no colon"},
		{"folded line", "A: b\r\n c: d\r\n\r\n", "is not a field name"},
		{"space before the colon", "A : b\n\n", "is not a field name"},
		{"no name", ": b\n\n", "is not a field name"},
		{"name beyond ASCII", "\xc3\x84: b\n\n", "is not a field name"},
		{"CR in a value", "A: b\rc\n\n", "control character 0x0d"},
		{"CR at the end of a value", "A: b\r\r\n\r\n", "control character 0x0d"},
		{"NUL", "A: b\x00\n\n", "control character 0x00"},
		{"DEL", "A: \x7f\n\n", "control character 0x7f"},
		{"two status fields", "Status: 200\nStatus: 404\n\n", "more than one Status"},
		{"status of two digits", "Status: 20\n\n", "is not three digits"},
		{"status of four digits", "Status: 2000\n\n", "is not three digits"},
		{"status of letters", "Status: OK\n\n", "is not three digits"},
		{"status with a sign", "Status: +20 x\n\n", "is not three digits"},
		{"status and a tab", "Status: 200\tOK\n\n", "is not three digits"},
		{"status below 100", "Status: 099 x\n\n", "below 100"},
		{"too large", "A: " + strings.Repeat("b", 200) + "\n\n", "larger than 100 bytes"},
		{"too large without an end", strings.Repeat("b", 200), "larger than 100 bytes"},
		{"too large by its last byte", "A: " + strings.Repeat("b", 94) + "\r\n\r\n", "larger than 100 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachSplit(t, []byte(tt.answer), func(t *testing.T, chunks [][]byte) {
				h := fcgi.CGIHead{Limit: 100}
				_, _, done, err := readHead(&h, chunks)
				if done || err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("done %t, error %v", done, err)
				}
				if _, _, again := h.Feed([]byte("A: b\n\n")); again == nil {
					t.Error("the error did not stay")
				}
			})
		})
	}
}

func TestCGIHeadLimit(t *testing.T) {
	answer := "A: " + strings.Repeat("b", 93) + "\r\n\r\n"
	h := fcgi.CGIHead{Limit: len(answer)}
	eachSplit(t, []byte(answer+"and a body"), func(t *testing.T, chunks [][]byte) {
		h.Reset()
		if _, body, done, err := readHead(&h, chunks); !done || err != nil || body != "and a body" {
			t.Errorf("head at its limit: done %t, body %q, error %v", done, body, err)
		}
	})
}

func TestCGIHeadIncomplete(t *testing.T) {
	const answer = "Status: 404 x\r\nA: b\r\n\r\n"
	for cut := range answer {
		var h fcgi.CGIHead
		n, done, err := h.Feed([]byte(answer[:cut]))
		if n != cut || done || err != nil {
			t.Errorf("%d of %d bytes: n %d, done %t, error %v", cut, len(answer), n, done, err)
		}
	}
}

// TestCGIHeadReset: nothing of one answer may be in the next.
func TestCGIHeadReset(t *testing.T) {
	var h fcgi.CGIHead
	f := func(answer string, wantStatus int, want ...pair) {
		t.Helper()
		h.Reset()
		fields, _, done, err := readHead(&h, [][]byte{[]byte(answer)})
		if err != nil || !done || h.Status() != wantStatus || !slices.Equal(fields, want) {
			t.Errorf("done %t, status %d, fields %q, error %v", done, h.Status(), fields, err)
		}
		// Done is done: what follows is body.
		if n, done, err := h.Feed([]byte("X: y\n\n")); n != 0 || !done || err != nil {
			t.Errorf("after the end: n %d, done %t, error %v", n, done, err)
		}
	}
	f("Status: 404 x\nA: b\n\n", 404, pair{"A", "b"})
	f("Location: /\n\n", 302, pair{"Location", "/"})
	f("C: d\n\n", 200, pair{"C", "d"})
	h.Reset()
	if _, _, err := h.Feed([]byte("broken\n")); err == nil {
		t.Error("no error for a broken answer")
	}
	f("E: f\n\n", 200, pair{"E", "f"})
}
