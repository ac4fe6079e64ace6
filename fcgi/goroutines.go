package fcgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// Goroutines is the Loop for systems without a better one: two goroutines per connection,
// one reads, one waits for room.
type Goroutines struct{}

// readSize is the most one read brings.
const readSize = 256 << 10

type goLink struct {
	nc   net.Conn
	rc   syscall.RawConn
	h    Handler
	call chan func()
	done chan struct{}
	once sync.Once
}

// Attach implements Loop. nc must have a descriptor.
func (Goroutines) Attach(nc net.Conn, h Handler) (Link, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("cannot attach a %T: it has no descriptor", nc)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot attach a connection: %w", err)
	}
	// Wake and WaitWritable are each asked for once until they were answered, so two places
	// are enough for neither to wait.
	l := &goLink{nc: nc, rc: rc, h: h, call: make(chan func(), 2), done: make(chan struct{})}
	go l.serve()
	go l.read()
	return l, nil
}

func (l *goLink) read() {
	buf := make([]byte, readSize)
	for {
		n, err := l.nc.Read(buf)
		if n > 0 {
			l.h.Feed(buf[:n])
		}
		if err != nil {
			if errors.Is(err, io.EOF) || l.isClosed() {
				err = nil
			}
			l.h.Closed(err)
			return
		}
	}
}

func (l *goLink) serve() {
	for {
		select {
		case f := <-l.call:
			f()
		case <-l.done:
			return
		}
	}
}

func (l *goLink) Wake() { l.call <- l.h.Wake }

func (l *goLink) WaitWritable() {
	l.call <- func() {
		// The runtime is told only when room appears, and it may have been told between the write
		// that found none and this call: so it waits only while there is none. An error means that
		// the connection is closed, which Writable finds out.
		_ = l.rc.Write(hasRoom)
		l.h.Writable()
	}
}

func (l *goLink) Write(p []byte) (n int, err error) {
	rcErr := l.rc.Write(func(fd uintptr) bool {
		n, err = writeOnce(fd, p)
		return true // whatever came of it: nobody waits here
	})
	return n, errors.Join(err, rcErr)
}

func (l *goLink) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *goLink) Close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.nc.SetDeadline(time.Unix(1, 0)) // wakes who waits
	})
}

func (l *goLink) Expire(after time.Duration) {
	_ = l.nc.SetReadDeadline(time.Now().Add(after)) // fails only when closed
}

func (l *goLink) Release() {
	l.Close()
	_ = l.nc.Close()
}
