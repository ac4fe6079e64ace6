package dispatch

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
)

// socketpair returns the two ends of a worker's data socket.
func socketpair(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close() // FileConn has a duplicate
	}
	return ends[0], ends[1]
}

// fakeWorker is a worker's end of the data socket, without a shim: the test says what it answers.
type fakeWorker struct {
	t      testing.TB
	id     string
	conn   net.Conn
	marks  []byte
	got    chan fcgi.Record // all but REQUEST's parts, with content of their own
	joiner fcgi.Joiner

	reading sync.Mutex // held by pause
	mu      sync.Mutex
	served  chan struct{} // closed when Serve has returned
	err     error         // Serve's
}

// startWorker makes d serve a fake worker and waits until it takes requests.
func startWorker(t testing.TB, d *Dispatcher, id string, cfg Worker) *fakeWorker {
	t.Helper()
	w := newFakeWorker(t, id)
	before := d.Ready()
	w.serve(d, cfg)
	for d.Ready() == before {
		select {
		case <-w.served:
			t.Fatalf("worker %s is not served: %v", id, w.err)
		default:
			runtime.Gosched()
		}
	}
	return w
}

func newFakeWorker(t testing.TB, id string) *fakeWorker {
	t.Helper()
	// As in the gateway: memory that two processes share, where the race detector does not look.
	marks, err := syscall.Mmap(-1, 0, 1<<16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeWorker{t: t, id: id, marks: marks, got: make(chan fcgi.Record, 1<<14), served: make(chan struct{})}
}

func (w *fakeWorker) serve(d *Dispatcher, cfg Worker) {
	ours, theirs := socketpair(w.t)
	w.conn = theirs
	cfg.ID, cfg.Conn, cfg.Marks = w.id, ours, w.marks
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(w.got)
		w.read()
	}()
	go func() {
		defer close(w.served)
		w.err = d.Serve(cfg, time.Minute)
	}()
	w.t.Cleanup(func() {
		w.die()
		d.Lost(w.id)
		<-w.served
		<-read
		_ = ours.Close()
		if err := syscall.Munmap(w.marks); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *fakeWorker) read() {
	var d fcgi.Decoder
	buf := make([]byte, 1<<20)
	have := 0
	for {
		n, err := w.conn.Read(buf[have:])
		w.reading.Lock()
		w.reading.Unlock() //nolint:staticcheck // SA2001: only waits for resume
		if err != nil {
			return
		}
		have += n
		at := 0
		for {
			n, rec, ok, err := d.Next(buf[at:have])
			if err != nil {
				w.t.Errorf("worker %s cannot read: %v", w.id, err)
				return
			}
			if !ok {
				break
			}
			at += n
			if rec.Type == fcgi.TypeGetValues {
				w.grant()
				continue
			}
			whole, ok, err := w.joiner.Add(rec)
			if err != nil {
				w.t.Errorf("worker %s cannot read: %v", w.id, err)
				return
			}
			if ok {
				whole.Content = append([]byte(nil), whole.Content...)
				w.got <- whole
			}
		}
		have = copy(buf, buf[at:have])
	}
}

func (w *fakeWorker) grant() {
	b, err := fcgi.AppendGetValuesResult(nil, fcgi.Variable{Name: fcgi.VarProfile, Value: fcgi.Profile})
	if err != nil {
		w.t.Error(err)
	}
	w.write(b)
}

// write sends records; a gateway that closed is not the worker's error.
func (w *fakeWorker) write(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.conn.Write(b)
}

// pause makes the worker read nothing, after one read that may be under way, until resume.
func (w *fakeWorker) pause() (resume func()) {
	w.reading.Lock()
	return w.reading.Unlock
}

// die ends the connection, as a killed process does.
func (w *fakeWorker) die() { _ = w.conn.Close() }

// any returns the next record that the gateway sent.
func (w *fakeWorker) any() fcgi.Record {
	w.t.Helper()
	select {
	case rec, ok := <-w.got:
		if !ok {
			w.t.Fatalf("worker %s: connection ended", w.id)
		}
		return rec
	case <-time.After(time.Minute):
		w.t.Fatalf("worker %s got nothing", w.id)
	}
	return fcgi.Record{}
}

// next is any, which must be of that type.
func (w *fakeWorker) next(want fcgi.Type) fcgi.Record {
	w.t.Helper()
	rec := w.any()
	if rec.Type != want {
		w.t.Fatalf("worker %s got a %s record for request %d, want %s", w.id, rec.Type, rec.ID, want)
	}
	return rec
}

// none checks that nothing was sent; the caller knows that nothing is under way.
func (w *fakeWorker) none() {
	w.t.Helper()
	select {
	case rec := <-w.got:
		w.t.Errorf("worker %s got a %s record for request %d, want none", w.id, rec.Type, rec.ID)
	default:
	}
}

// asked is a request as a worker reads it.
type asked struct {
	id     uint16
	window int
	nonce  string // the path
	head   marshal.Dict
	body   []byte
	open   bool // STDIN follows
}

func parseRequest(rec fcgi.Record) (asked, error) {
	v, n, err := marshal.Decode(rec.Content, marshal.Limits{})
	if err != nil || n != len(rec.Content) {
		return asked{}, fmt.Errorf("REQUEST has %d bytes, its value %d: %w", len(rec.Content), n, err)
	}
	pair, ok := v.(marshal.Tuple)
	if !ok || len(pair) != 2 {
		return asked{}, fmt.Errorf("REQUEST holds %v", v)
	}
	a := asked{id: rec.ID, window: rec.Flags.Window(), open: rec.Flags&fcgi.FlagBody != 0}
	if a.head, ok = pair[0].(marshal.Dict); !ok {
		return asked{}, fmt.Errorf("REQUEST's head is %v", pair[0])
	}
	if a.nonce, ok = marshal.Get[string](a.head, "PATH_INFO"); !ok {
		a.nonce, _ = marshal.Get[string](a.head, "path")
	}
	a.body, ok = pair[1].([]byte)
	if ok == a.open {
		return asked{}, fmt.Errorf("REQUEST's flags say body follows: %v, its body is %v", a.open, pair[1])
	}
	return a, nil
}

func (w *fakeWorker) request() asked {
	w.t.Helper()
	a, err := parseRequest(w.next(fcgi.TypeRequest))
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func answerHead(status int32, name, value string) []byte {
	b := marshal.AppendInt(marshal.AppendTuple(nil, 2), status)
	b = marshal.AppendTuple(marshal.AppendList(b, 1), 2)
	return marshal.AppendBytes(marshal.AppendBytes(b, name), value)
}

func appendResponse(b []byte, id uint16, flags fcgi.Flags, status int32, body string) []byte {
	return fcgi.AppendRecord(b, fcgi.TypeResponse, flags, id, append(answerHead(status, "x-a", "b"), body...))
}

// answer answers request id whole.
func (w *fakeWorker) answer(id uint16, body string) {
	w.write(appendResponse(nil, id, fcgi.FlagLast, 200, body))
}

func (w *fakeWorker) end(id uint16, status uint32) {
	w.write(fcgi.AppendEndRequest(nil, id, fcgi.EndRequest{AppStatus: status}))
}

func window(rec fcgi.Record) int {
	if len(rec.Content) != 4 {
		return -1
	}
	return int(binary.BigEndian.Uint32(rec.Content))
}
