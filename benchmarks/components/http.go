package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"pyspeed/gateway/exchange"
	"pyspeed/gateway/http1"
)

const ours = "pyspeed-gw (Go)"

// requests parses heads with the gateway's parser.
func requests(read func(string) ([]byte, error)) ([]way, error) {
	var ways []way
	for _, name := range []string{"get", "browser"} {
		head, err := read(name + ".http")
		if err != nil {
			return nil, err
		}
		var parser http1.Parser
		var req exchange.Request
		work := func() error {
			n, err := parser.Head(head, nil, &req)
			if err != nil {
				return err
			}
			if n != len(head) {
				return fmt.Errorf("the parser took %d of %d bytes", n, len(head))
			}
			return nil
		}
		ways = append(ways, way{"parse request", name, ours, work, func() ([]byte, error) {
			if err := work(); err != nil {
				return nil, err
			}
			out := fmt.Appendf(nil, "%s\n%s", req.Method, req.Target)
			for _, field := range req.Fields {
				out = fmt.Appendf(out, "\n%s: %s", bytes.ToLower(field.Name), field.Value)
			}
			return out, nil
		}})
	}
	return ways, nil
}

// answers builds the hello answer as the gateway does: the application's fields, and its own.
func answers(func(string) ([]byte, error)) ([]way, error) {
	fields := []exchange.Field{
		{Name: []byte("Content-Type"), Value: []byte("text/plain")},
		{Name: []byte("Content-Length"), Value: []byte("13")},
	}
	date := []byte("Mon, 23 Nov 2026 07:00:00 GMT")
	body := []byte("Hello, World!")
	var out []byte
	work := func() error {
		head := http1.AnswerHead{Minor: 1, Status: 200, KeepAlive: true, Length: 13, Date: date, Fields: fields}
		var err error
		if out, err = http1.AppendHead(out[:0], &head); err != nil {
			return err
		}
		out = append(out, body...)
		return nil
	}
	return []way{{"build response", "hello", ours, work, func() ([]byte, error) {
		if err := work(); err != nil {
			return nil, err
		}
		// net/http reads it, so that the check does not trust what it checks.
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return nil, err
		}
		kind, length := answer.Header.Get("Content-Type"), answer.ContentLength
		return fmt.Appendf(nil, "%d\ncontent-type: %s\ncontent-length: %d\n%s", answer.StatusCode, kind, length, got), nil
	}}}, nil
}
