package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// mostRequest and mostAnswer bound a line, in bytes.
	mostRequest = 4 << 10
	mostAnswer  = 4 << 20
)

// Request is what an operator asks for.
type Request struct {
	Command string `json:"command"`
	Worker  string `json:"worker,omitempty"` // its id
	Count   int    `json:"count,omitempty"`
	Undo    bool   `json:"undo,omitempty"`
	// What is to be purged: one of these.
	URL    string `json:"url,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Tag    string `json:"tag,omitempty"`
	All    bool   `json:"all,omitempty"`
}

// Answer is a line from the gateway: Progress alone, any number of times, then one with all but Progress.
type Answer struct {
	Progress  string          `json:"progress,omitempty"`
	OK        bool            `json:"ok"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     string          `json:"error,omitempty"`
	Traceback string          `json:"traceback,omitempty"` // of the application, if its code is the reason
}

// Last reports whether a is the answer, and no progress.
func (a *Answer) Last() bool { return a.Progress == "" }

// lineReader cuts a stream of bytes into lines. The zero value is ready, but for its bound.
type lineReader struct {
	most int
	buf  []byte
	seen int // of buf: no line ends there
}

// feed takes bytes that arrived.
func (l *lineReader) feed(p []byte) { l.buf = append(l.buf, p...) }

// next returns the next line without its end; nil: it has not arrived whole.
func (l *lineReader) next() ([]byte, error) {
	i := bytes.IndexByte(l.buf[l.seen:], '\n')
	switch {
	case i < 0 && len(l.buf) > l.most, l.seen+i > l.most:
		return nil, fmt.Errorf("cannot take a line of more than %d bytes", l.most)
	case i < 0:
		l.seen = len(l.buf)
		return nil, nil
	}
	line := l.buf[: l.seen+i : l.seen+i]
	l.buf, l.seen = l.buf[l.seen+i+1:], 0
	return line, nil
}

// encode makes a line of a Request or an Answer.
func encode(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot write as JSON: %w", err)
	}
	return append(line, '\n'), nil
}

// decodeRequest is strict: what a gateway does not know it must not leave out of what it was asked for.
func decodeRequest(line []byte) (Request, error) {
	var r Request
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	err := d.Decode(&r)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	switch {
	case err != nil:
		return Request{}, fmt.Errorf("cannot understand the request: %w", err)
	case r.Command == "":
		return Request{}, errors.New("cannot understand the request: it names no command")
	}
	return r, nil
}

func decodeAnswer(line []byte) (*Answer, error) {
	a := &Answer{}
	if err := json.Unmarshal(line, a); err != nil {
		return nil, fmt.Errorf("cannot understand the gateway's answer: %w", err)
	}
	return a, nil
}
