//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// head is what an answer's head says of its body, and of the connection.
type head struct {
	status int
	length int64 // -1: not told
	last   bool  // the server closes the connection after this answer
}

// end is where the head that begins with text ends, its empty line included; -1 when there is
// more to come.
func end(text []byte) int {
	if at := bytes.Index(text, []byte("\r\n\r\n")); at >= 0 {
		return at + 4
	}
	return -1
}

// parseHead reads a whole head.
func parseHead(text []byte) (head, error) {
	h := head{length: -1}
	line, fields, _ := bytes.Cut(text, []byte("\r\n"))
	version, status, _ := bytes.Cut(line, []byte(" "))
	status, _, _ = bytes.Cut(status, []byte(" "))
	code, err := strconv.ParseUint(string(status), 10, 16)
	minor, isHTTP := bytes.CutPrefix(version, []byte("HTTP/1."))
	if err != nil || !isHTTP || len(minor) != 1 || code < 100 || code > 999 {
		return h, fmt.Errorf("%q is no status line of HTTP/1.1", line)
	}
	h.status = int(code)
	h.last = minor[0] == '0'
	for {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if len(line) == 0 {
			return h, nil
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return h, fmt.Errorf("%q is no header field", line)
		}
		value = bytes.Trim(value, " \t")
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 || h.length >= 0 && h.length != n {
				return h, fmt.Errorf("%q is no Content-Length, or the second", value)
			}
			h.length = n
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return h, errors.New("the answer has a Transfer-Encoding; only bodies of known length can be thrown away uncounted")
		case bytes.EqualFold(name, []byte("Connection")):
			if bytes.EqualFold(value, []byte("close")) {
				h.last = true
			} else if bytes.EqualFold(value, []byte("keep-alive")) {
				h.last = false
			}
		}
	}
}
