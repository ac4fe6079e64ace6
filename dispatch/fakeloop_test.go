package dispatch

import (
	"net"
	"runtime"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// fakeLoop is a loop without sockets: the test calls the handler.
type fakeLoop struct{ attached chan fcgi.Handler }

func (l *fakeLoop) Attach(_ net.Conn, h fcgi.Handler) (fcgi.Link, error) {
	l.attached <- h
	return fakeLink{}, nil
}

// fakeLink takes everything.
type fakeLink struct{}

func (fakeLink) Wake()                       {}
func (fakeLink) Write(p []byte) (int, error) { return len(p), nil }
func (fakeLink) WaitWritable()               {}
func (fakeLink) Close()                      {}
func (fakeLink) Expire(time.Duration)        {}
func (fakeLink) Release()                    {}

// silentWorker is a worker of which the test plays the connection; end is its death.
func silentWorker(t testing.TB, d *Dispatcher) (h fcgi.Handler, end func()) {
	loop := &fakeLoop{attached: make(chan fcgi.Handler, 1)}
	d.Loop = loop
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = d.Serve(Worker{ID: "1", Marks: make([]byte, 1<<16)}, time.Minute) // ends as the test wants it
	}()
	h = <-loop.attached
	b, err := fcgi.AppendGetValuesResult(nil, fcgi.Variable{Name: fcgi.VarProfile, Value: fcgi.Profile})
	if err != nil {
		t.Fatal(err)
	}
	h.Feed(b)
	for d.Ready() == 0 {
		runtime.Gosched()
	}
	return h, func() {
		h.Closed(nil)
		<-served
		d.Lost("1")
	}
}
