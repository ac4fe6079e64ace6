//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	headSize = 4096    // a head must fit in
	gulp     = 1 << 20 // of a body, in one call
	// lookEvery is the time between two looks at what is overdue, and the longest wait for events.
	lookEvery = 50 * time.Millisecond
)

type state uint8

const (
	closed     state = iota // by an error; opened anew at the next look
	connecting              // until the socket can be written to
	reading                 // waits for the rest of a head
	discarding              // waits for the rest of a body
)

// conn is one connection, with at most one request under way.
type conn struct {
	fd    int
	state state
	late  bool          // a timeout has been counted for this request
	asked time.Duration // when, since the load began; also when it began to connect
	head  head
	left  int64 // of the body
	n     int   // bytes in text
	text  [headSize]byte
}

// load is a whole measurement. All of it belongs to the goroutine that calls run.
type load struct {
	options
	request []byte
	address unix.SockaddrInet4
	epoll   int
	conns   []conn
	began   time.Time
	took    time.Duration
	length  int64 // of the first good answer; -1 before it
	counted counts
	latency histogram
	first   error // of all errors
}

// counts has the names of wrk/report.lua. Read: also what cannot be read as an answer, or has
// another length than the first.
type counts struct {
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`
	Connect  int64 `json:"connect"`
	Read     int64 `json:"read"`
	Write    int64 `json:"write"`
	Timeout  int64 `json:"timeout"`
	Status   int64 `json:"status"`
}

// report is all of what wrk/report.lua tells, times in microseconds.
type report struct {
	counts
	Duration int64  `json:"duration_us"`
	P50      uint64 `json:"p50_us"`
	P90      uint64 `json:"p90_us"`
	P99      uint64 `json:"p99_us"`
	P999     uint64 `json:"p999_us"`
	Max      uint64 `json:"max_us"`
}

func newLoad(o options) (*load, error) {
	l := &load{options: o, conns: make([]conn, o.connections), length: -1}
	l.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.path, o.server)
	l.address = unix.SockaddrInet4{Addr: o.server.Addr().As4(), Port: int(o.server.Port())}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return l, nil
}

func (l *load) close() {
	for i := range l.conns {
		l.hangUp(&l.conns[i])
	}
	_ = unix.Close(l.epoll)
}

func (l *load) report() report {
	h := &l.latency
	return report{
		counts: l.counted, Duration: l.took.Microseconds(), Max: h.max,
		P50: h.percentile(50), P90: h.percentile(90), P99: h.percentile(99), P999: h.percentile(99.9),
	}
}

func (l *load) now() time.Duration { return time.Since(l.began) }

// run puts the load on the server until its time is up, or stop has something.
func (l *load) run(stop <-chan os.Signal) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, len(l.conns))
	l.began = time.Now()
	defer func() { l.took = l.now() }()
	for look := time.Duration(0); ; {
		now := l.now()
		if now >= look {
			l.look(now)
			look = now + lookEvery
		}
		select {
		case <-stop:
			return nil
		default:
		}
		if now >= l.duration {
			return nil
		}
		wait := min(look, l.duration) - now
		n, err := unix.EpollWait(l.epoll, events, int(wait.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for i := range max(0, n) {
			l.handle(&l.conns[events[i].Fd], int(events[i].Fd))
		}
	}
}

// look opens what is not open, and finds what is overdue.
func (l *load) look(now time.Duration) {
	for i := range l.conns {
		c := &l.conns[i]
		switch {
		case c.state == closed:
			l.open(c, i)
		case c.late || now-c.asked <= l.timeout:
		case c.state == connecting:
			l.fail(c, &l.counted.Connect, fmt.Errorf("connect: no answer within %v", l.timeout))
		default:
			c.late = true
			l.count(&l.counted.Timeout, fmt.Errorf("no answer within %v", l.timeout))
		}
	}
}

// handle does what a connection can do now. The events themselves say no more: what is wrong with
// the socket the next call tells.
func (l *load) handle(c *conn, i int) {
	switch c.state {
	case closed:
	case connecting:
		l.connected(c, i)
	case reading:
		l.readHead(c, i)
	case discarding:
		l.discard(c, i)
	}
}

func (l *load) open(c *conn, i int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.count(&l.counted.Connect, fmt.Errorf("socket: %w", err))
		return
	}
	c.fd, c.state, c.asked, c.late = fd, connecting, l.now(), false
	event := unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(i)}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == nil {
		err = unix.Connect(fd, &l.address)
	}
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event)
	}
	if err != nil {
		l.fail(c, &l.counted.Connect, fmt.Errorf("connect: %w", err))
	}
}

func (l *load) connected(c *conn, i int) {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err == nil {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &event)
	}
	if err != nil {
		l.fail(c, &l.counted.Connect, fmt.Errorf("connect: %w", err))
		return
	}
	l.ask(c)
}

// ask sends the request. It always fits: nothing else is in the socket's buffer.
func (l *load) ask(c *conn) {
	c.state, c.n, c.late, c.asked = reading, 0, false, l.now()
	n, err := send(c.fd, l.request)
	if err == nil && n < len(l.request) {
		err = io.ErrShortWrite
	}
	if err != nil {
		l.fail(c, &l.counted.Write, fmt.Errorf("write: %w", err))
	}
}

// got says whether a read gave something. Nothing yet is no error.
func (l *load) got(c *conn, n int, err error) bool {
	if n > 0 {
		l.counted.Bytes += int64(n)
		return true
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		l.fail(c, &l.counted.Read, fmt.Errorf("read: %w", err))
	}
	return false
}

func (l *load) readHead(c *conn, i int) {
	n, err := receive(c.fd, c.text[c.n:])
	if !l.got(c, n, err) {
		return
	}
	c.n += n
	text := c.text[:c.n]
	size := end(text)
	if size < 0 {
		if c.n == headSize {
			l.fail(c, &l.counted.Read, fmt.Errorf("the head of an answer is longer than %d bytes", headSize))
		}
		return
	}
	c.head, err = parseHead(text[:size])
	good := err == nil && c.head.status == 200
	if good && l.length < 0 {
		l.length = c.head.length
	}
	body := int64(c.n - size)
	switch {
	case err != nil:
	case c.head.length < 0:
		err = fmt.Errorf("an answer with status %d has no Content-Length", c.head.status)
	case good && c.head.length != l.length:
		err = fmt.Errorf("an answer has %d bytes, the first had %d", c.head.length, l.length)
	case body > c.head.length:
		err = fmt.Errorf("%d bytes more came than an answer has", body-c.head.length)
	}
	if err != nil {
		l.fail(c, &l.counted.Read, err)
		return
	}
	c.left = c.head.length - body
	c.state = discarding
	l.discard(c, i)
}

// discard drops what there is of the body, up to a gulp, so that no connection waits long for another.
func (l *load) discard(c *conn, i int) {
	if c.left > 0 {
		n, err := drop(c.fd, int(min(c.left, gulp)))
		if !l.got(c, n, err) {
			return
		}
		if c.left -= int64(n); c.left > 0 {
			return
		}
	}
	l.counted.Requests++
	l.latency.add((l.now() - c.asked).Microseconds())
	if c.head.status != 200 {
		l.count(&l.counted.Status, fmt.Errorf("an answer has status %d", c.head.status))
	}
	if c.head.last {
		l.hangUp(c)
		l.open(c, i)
		return
	}
	l.ask(c)
}

// fail counts an error after which the connection is of no use.
func (l *load) fail(c *conn, counter *int64, why error) {
	l.count(counter, why)
	l.hangUp(c)
}

func (l *load) count(counter *int64, why error) {
	*counter++
	if l.first == nil {
		l.first = why
	}
}

func (l *load) hangUp(c *conn) {
	if c.state != closed {
		_ = unix.Close(c.fd)
	}
	c.state = closed
}
