package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"pyspeed/fcgi"
)

const (
	// controlMost is the most bytes a control message may have; a traceback is
	// the longest there is.
	controlMost = 1 << 20
	// controlPatience is how long a worker may leave commands unread before it
	// counts as broken. Its control thread has nothing else to do.
	controlPatience = 5 * time.Second
)

// errControlEnded answers questions to a worker whose control socket has ended.
var errControlEnded = errors.New("its control socket has ended")

// control is the gateway's end of a worker's control socket: commands go out,
// events come in, MESSAGE records only.
type control struct {
	conn *net.UnixConn
	// first gets the one event that ends the start-up: ready or failed.
	first chan event
	news  *news
	ended chan struct{} // closed when the reader has ended
	err   error         // why it ended, nil for EOF; valid then

	writing sync.Mutex // held over the registration of a waiter and its command

	mu sync.Mutex
	// waiting holds, by event name, who asked. The shim answers on one thread,
	// so the answers of one kind come in the order of the commands. nil when
	// the reader has ended.
	waiting map[string][]chan event
	failure error // why close was called; nil when the worker is gone

	pings atomic.Int64
}

// newControl starts to read.
func newControl(conn *net.UnixConn, l listener) *control {
	c := &control{
		conn:    conn,
		first:   make(chan event, 1),
		news:    newNews(l),
		ended:   make(chan struct{}),
		waiting: make(map[string][]chan event),
	}
	go c.read()
	return c
}

// send writes one command.
func (c *control) send(cmd map[string]any) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.write(cmd, nil)
}

// write sends a command, and with its first byte the rights: descriptors in a control message of the socket's.
func (c *control) write(cmd map[string]any, rights []byte) error {
	content, err := encodeCommand(cmd)
	if err == nil {
		err = c.conn.SetWriteDeadline(time.Now().Add(controlPatience))
	}
	record := fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, content)
	if err == nil && rights != nil {
		var n int
		n, _, err = c.conn.WriteMsgUnix(record, rights, nil)
		record = record[n:]
	}
	if err == nil && len(record) > 0 {
		_, err = c.conn.Write(record)
	}
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		// The other side has gone, which the reader has not seen yet.
		return fmt.Errorf("cannot send %v: %w", cmd["cmd"], errControlEnded)
	case err != nil:
		return fmt.Errorf("cannot send %v: %w", cmd["cmd"], err)
	}
	return nil
}

// ask sends a command and waits for its answer. When ctx ends first the answer
// is thrown away as it comes.
func (c *control) ask(ctx context.Context, cmd map[string]any, answer string) (event, error) {
	return c.askWith(ctx, cmd, answer, nil)
}

// askWith is ask with descriptors for the other side.
func (c *control) askWith(ctx context.Context, cmd map[string]any, answer string, rights []byte) (event, error) {
	reply := make(chan event, 1)
	c.writing.Lock()
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		c.writing.Unlock()
		return nil, fmt.Errorf("cannot send %v: %w", cmd["cmd"], errControlEnded)
	}
	c.waiting[answer] = append(c.waiting[answer], reply)
	c.mu.Unlock()
	err := c.write(cmd, rights)
	c.writing.Unlock()
	if err != nil {
		// Nothing of the command may have left, or half of it; either way no
		// answer can be matched any more.
		if errors.Is(err, errControlEnded) {
			c.close() // how it ended is told by the process
		} else {
			c.fail(err)
		}
		return nil, err
	}
	select {
	case e := <-reply:
		return e, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer to %v: %w", cmd["cmd"], ctx.Err())
	case <-c.ended:
	}
	select { // it may have been the last thing that was read
	case e := <-reply:
		return e, nil
	default:
		return nil, fmt.Errorf("no answer to %v: %w", cmd["cmd"], errControlEnded)
	}
}

func (c *control) close() { _ = c.conn.Close() }

// fail ends the connection because of an error of ours.
func (c *control) fail(err error) {
	c.mu.Lock()
	if c.failure == nil {
		c.failure = err
	}
	c.mu.Unlock()
	c.close()
}

func (c *control) read() {
	defer close(c.ended)
	err := c.readEvents()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = nil
	c.err = err
	if c.failure != nil {
		c.err = c.failure
	}
}

func (c *control) readEvents() error {
	var decoder fcgi.Decoder
	joiner := fcgi.Joiner{Limit: controlMost}
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == cap(buf) { // grows for a long message, to one record at most
			buf = append(make([]byte, 0, min(2*cap(buf), fcgi.MaxRecordLen)), buf...)
		}
		n, err := c.conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			n, rec, ok, err := decoder.Next(rest)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			rest = rest[n:]
			if rec, ok, err = joiner.Add(rec); err != nil {
				return err
			} else if !ok {
				continue
			}
			if err := c.handle(rec); err != nil {
				return err
			}
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
		if errors.Is(err, syscall.ECONNRESET) { // it has gone before it read all
			err = io.EOF
		}
		if errors.Is(err, io.EOF) && (len(buf) > 0 || joiner.Open()) {
			return io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// handle gives an event to who waits for it. One that nobody waits for, or that a later
// shim may have added, is left alone.
func (c *control) handle(rec fcgi.Record) error {
	if rec.Type != fcgi.TypeMessage {
		return fmt.Errorf("cannot take a %s record on the control socket", rec.Type)
	}
	e, err := decodeEvent(rec.Content)
	if err != nil {
		return err
	}
	name := e.text("event")
	if name == "ready" || name == "failed" {
		select {
		case c.first <- e:
		default:
			return fmt.Errorf("cannot take the event %q twice", name)
		}
		return nil
	}
	if c.news.take(e) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[name]; len(w) > 0 {
		w[0] <- e // has room for one
		c.waiting[name] = w[1:]
	}
	return nil
}
