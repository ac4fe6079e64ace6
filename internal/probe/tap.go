package probe

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"

	"pyspeed/fcgi"
)

// gofastLine is the longest header line that gofast can read, in bytes with the line's end.
const gofastLine = 1024

// tap is a connection whose incoming bytes are decoded as they pass.
type tap struct {
	net.Conn
	long chan struct{} // closed when a header line is longer than gofast reads
	over chan struct{} // closed at END_REQUEST, or when none can come any more

	mu       sync.Mutex
	decoder  fcgi.Decoder
	buf      []byte
	head     fcgi.CGIHead
	line     int // bytes of the head's last line so far
	isLong   bool
	headDone bool
	body     bytes.Buffer
	stderr   bytes.Buffer
	dropped  int // bytes beyond the limits
	end      *fcgi.EndRequest
	err      error
}

// keepMost bounds what is kept of a body, and of error output.
const keepMost = 64 << 20

func newTap(c net.Conn) *tap {
	return &tap{Conn: c, long: make(chan struct{}), over: make(chan struct{})}
}

// Read implements io.Reader for gofast.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && t.end == nil {
		t.buf = append(t.buf, p[:n]...)
		if e := t.decode(); e != nil {
			t.finish(e)
		} else if err != nil && t.end == nil {
			t.finish(fmt.Errorf("the connection ended before END_REQUEST: %w", err))
		}
	}
	return n, err
}

// finish notes why no END_REQUEST comes. With mu held.
func (t *tap) finish(err error) {
	if t.err == nil && t.end == nil {
		t.err = err
		close(t.over)
	}
}

// decode takes the whole records out of buf. With mu held.
func (t *tap) decode() error {
	at := 0
	defer func() { t.buf = t.buf[:copy(t.buf, t.buf[at:])] }()
	for t.end == nil {
		n, rec, ok, err := t.decoder.Next(t.buf[at:])
		if err != nil || !ok {
			return err
		}
		at += n
		switch rec.Type {
		case fcgi.TypeStdout:
			if err := t.stdout(rec.Content); err != nil {
				return err
			}
		case fcgi.TypeStderr:
			t.keep(&t.stderr, rec.Content)
		case fcgi.TypeEndRequest:
			end, err := fcgi.DecodeEndRequest(rec.Content)
			if err != nil {
				return err
			}
			t.end = &end
			close(t.over)
		default:
			return fmt.Errorf("a %s record came in an answer", rec.Type)
		}
	}
	return nil
}

func (t *tap) stdout(p []byte) error {
	if !t.headDone {
		n, done, err := t.head.Feed(p)
		if err != nil {
			return err
		}
		t.headDone = done
		if !done {
			n = len(p)
		}
		t.measure(p[:n])
		p = p[n:]
	}
	t.keep(&t.body, p)
	return nil
}

// measure looks for lines of the head that gofast cannot read.
func (t *tap) measure(head []byte) {
	for _, c := range head {
		t.line++
		if t.line > gofastLine && !t.isLong {
			t.isLong = true
			close(t.long)
		}
		if c == '\n' {
			t.line = 0
		}
	}
}

func (t *tap) keep(to *bytes.Buffer, p []byte) {
	n := min(len(p), keepMost-to.Len())
	to.Write(p[:n])
	t.dropped += len(p) - n
}

var errTimeout = errors.New("there was no END_REQUEST in time")
