//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestHeads(t *testing.T) {
	for text, want := range map[string]head{
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n":                                            {200, 12, false},
		"HTTP/1.1 200\r\ncontent-length:0\r\nServer: x\r\n\r\n":                                    {200, 0, false},
		"HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH: \t7 \r\nConnection: Close\r\n\r\n":              {404, 7, true},
		"HTTP/1.1 304 Not Modified\r\n\r\n":                                                        {304, -1, false},
		"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n":                                             {200, 1, true},
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n":                   {200, 1, false},
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Content-Length: 6\r\nContent-Length: 5\r\n\r\n": {200, 5, false},
	} {
		got, err := parseHead([]byte(text))
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"HTTP/2 200\r\n\r\n":   "no status line",
		"HTTP/1.1 abc\r\n\r\n": "no status line",
		"HTTP/1.1 20\r\n\r\n":  "no status line",
		"xxx\r\n\r\n":          "no status line",
		"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n":                     "no Content-Length",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n":                     "no Content-Length",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n": "or the second",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":             "Transfer-Encoding",
		"HTTP/1.1 200 OK\r\nno field\r\n\r\n":                               "no header field",
	} {
		if _, err := parseHead([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
