package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/yookoala/gofast"

	"pyspeed/fcgi"
)

// Question is what to ask whom.
type Question struct {
	Network, Address string
	Params           map[string]string
	Body             io.ReadCloser // nil: none
	Timeout          time.Duration // for everything together
}

// Answer is what came of it.
type Answer struct {
	HeadDone bool // the head was complete; without it there are no status and fields
	Status   int
	Fields   []Field
	Body     []byte
	Stderr   []byte
	Dropped  int             // bytes of both that were too many to keep
	End      fcgi.EndRequest // of no meaning with Err
	Err      error           // why there was no END_REQUEST
	Notes    []string        // what gofast had to say
	Took     time.Duration   // from connecting to END_REQUEST
}

// Field is a header field of an answer.
type Field struct{ Name, Value string }

// Ask asks once, on a connection of its own. The error is that of connecting.
func Ask(ctx context.Context, q Question) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	begun := time.Now()
	var d net.Dialer
	nc, err := d.DialContext(ctx, q.Network, q.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the responder: %w", err)
	}
	defer func() { _ = nc.Close() }() // ends gofast's goroutines too
	t := newTap(nc)
	client, err := gofast.SimpleClientFactory(func() (net.Conn, error) { return t, nil })()
	if err != nil {
		return nil, fmt.Errorf("cannot ask the responder: %w", err)
	}
	// gofast stops reading where its own reader gives up, on a long line, until its request is cancelled; then it reads
	// the rest and throws it away.
	asking, stopAsking := context.WithCancel(ctx)
	defer stopAsking()
	raw, err := http.NewRequestWithContext(asking, http.MethodGet, "/", nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the responder: %w", err)
	}
	pipe, err := client.Do(&gofast.Request{Raw: raw, Role: gofast.RoleResponder, Params: q.Params, Stdin: q.Body})
	if err != nil {
		return nil, fmt.Errorf("cannot ask the responder: %w", err)
	}
	read := make(chan error, 1)
	go func() { read <- pipe.WriteTo(&discard{}, io.Discard) }()
	long := t.long
	for over := false; !over; {
		select {
		case <-long:
			long = nil
			stopAsking()
		case <-t.over:
			over = true
		case <-ctx.Done():
			t.mu.Lock()
			t.finish(errTimeout)
			t.mu.Unlock()
		}
	}
	took := time.Since(begun)
	a := t.answer(took)
	// A moment for gofast's own verdict, which a responder that ended in order leaves it able to give.
	select {
	case err := <-read:
		if err != nil && !a.isLong() {
			a.Notes = append(a.Notes, err.Error())
		}
	case <-time.After(time.Second):
		a.Notes = append(a.Notes, "gofast: did not come to an end")
	}
	return a, nil
}

const longNote = "gofast: header lines over 1,024 bytes are more than it can read; the answer shown is our own reading"

func (a *Answer) isLong() bool { return len(a.Notes) > 0 && a.Notes[0] == longNote }

func (t *tap) answer(took time.Duration) *Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &Answer{HeadDone: t.headDone, Body: t.body.Bytes(), Stderr: t.stderr.Bytes(), Dropped: t.dropped, Err: t.err, Took: took}
	if t.headDone {
		a.Status = t.head.Status()
		for name, value := range t.head.Fields() {
			a.Fields = append(a.Fields, Field{string(name), string(value)})
		}
	}
	if t.end != nil {
		a.End = *t.end
	}
	if t.isLong {
		a.Notes = append(a.Notes, longNote)
	}
	return a
}

// discard is a http.ResponseWriter for nobody.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
