package fcgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Profile is the value of PYSPEED_PROFILE that this side speaks.
const Profile = "1"

// Sink takes what a worker sends. All methods are called by the goroutine in
// [Mux.Run], in order.
type Sink interface {
	// Record takes one whole record; its content is valid during the call. An
	// error ends the connection.
	Record(rec Record) error
	// Read is called after all whole records of one read were taken.
	Read()
}

// Mux is the gateway's end of a worker's data socket: many requests at once,
// their records gathered so that one write carries many.
//
// Begin, End and Flush may be called from any goroutine and do not wait for the
// worker: what it does not take at once stays in memory, bounded by the callers'
// windows, and leaves from a goroutine that may wait. If callers waited, the reader of
// answers could wait for a worker that waits for its answers to be read.
type Mux struct {
	nc   net.Conn
	try  *tryWriter // nil: only the writing goroutine writes
	wake chan struct{}
	done chan struct{}
	in   []byte
	have int

	mu         sync.Mutex
	out, spare []byte
	writing    bool
	closed     bool
	failed     bool // a write failed: what else is appended goes nowhere
}

// ErrEnded is in the error of [Mux.Run] when the connection broke; any other error means
// that the worker did not keep to the protocol.
var ErrEnded = errors.New("its connection ended")

// readSize is the most one read brings, and room for a partial record.
const readSize = 256 << 10

// NewMux takes over nc. [Mux.Open] must come next.
func NewMux(nc net.Conn) *Mux {
	return &Mux{nc: nc, try: newTryWriter(nc), wake: make(chan struct{}, 1), done: make(chan struct{}), in: make([]byte, readSize)}
}

// Open asks for profile pyspeed/1 and waits at most timeout for it to be granted.
func (m *Mux) Open(timeout time.Duration) error {
	ask, err := AppendGetValues(nil, VarMaxConns, VarMaxReqs, VarMpxsConns, VarProfile)
	if err != nil {
		return fmt.Errorf("cannot ask a worker for its profile: %w", err)
	}
	if err := m.nc.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("cannot ask a worker for its profile: %w", err)
	}
	if _, err := m.nc.Write(ask); err != nil {
		return fmt.Errorf("cannot ask a worker for its profile: %w", err)
	}
	var d Decoder
	for {
		n, rec, ok, err := d.Next(m.in[:m.have])
		if err != nil {
			return err
		}
		if ok {
			if err := granted(rec); err != nil {
				return err
			}
			m.have = copy(m.in, m.in[n:m.have])
			return m.nc.SetDeadline(time.Time{})
		}
		got, err := m.nc.Read(m.in[m.have:])
		if err != nil {
			return fmt.Errorf("cannot read a worker's profile: %w", err)
		}
		m.have += got
	}
}

func granted(rec Record) error {
	if rec.Type != TypeGetValuesResult {
		return fmt.Errorf("cannot use a worker: it began with a %s record", rec.Type)
	}
	vars, err := DecodeVariables(rec.Content)
	if err != nil {
		return err
	}
	for _, v := range vars {
		if v.Name == VarProfile && v.Value == Profile {
			return nil
		}
	}
	return fmt.Errorf("cannot use a worker: it does not speak profile pyspeed/%s", Profile)
}

// Run reads records into sink until the connection ends, and returns why; nil
// is the worker's orderly end of stream. It blocks.
func (m *Mux) Run(sink Sink) error {
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		m.flush()
	}()
	err := m.read(sink)
	m.Close()
	<-flushed
	_ = m.nc.Close() // nothing more to lose: both directions have ended
	return err
}

func (m *Mux) read(sink Sink) error {
	var d Decoder
	for {
		at := 0
		for {
			n, rec, ok, err := d.Next(m.in[at:m.have])
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			at += n
			if err := sink.Record(rec); err != nil {
				return err
			}
		}
		if at > 0 {
			m.have = copy(m.in, m.in[at:m.have])
			sink.Read()
		}
		n, err := m.nc.Read(m.in[m.have:])
		m.have += n
		if err != nil {
			switch {
			case m.isClosed(), errors.Is(err, io.EOF) && m.have == 0:
				return nil
			case errors.Is(err, io.EOF):
				return fmt.Errorf("cannot go on with a worker: %w in the middle of a record", ErrEnded)
			}
			return fmt.Errorf("cannot go on with a worker: %w: %w", ErrEnded, err)
		}
	}
}

// Begin returns the buffer to append records to, locked until End.
func (m *Mux) Begin() []byte {
	m.mu.Lock()
	return m.out
}

// End gives the buffer back with records appended. They leave with the next Flush.
func (m *Mux) End(out []byte) {
	m.out = out
	m.mu.Unlock()
}

// directWrite is how much is tried by the caller itself: more is a batch, which is worth a
// wake-up.
const directWrite = 32 << 10

// Flush sends what was appended. idle says that the worker has nothing to do, so that the
// caller should try at once; else, and for what the socket does not take at once, the records
// leave from the writing goroutine, together with what others append meanwhile.
func (m *Mux) Flush(idle bool) {
	m.mu.Lock()
	out := m.out
	if m.closed || m.failed {
		m.out = out[:0]
	}
	if m.writing || len(m.out) == 0 {
		m.mu.Unlock()
		return
	}
	m.writing = true
	if !idle || len(out) > directWrite || m.try == nil {
		m.mu.Unlock()
		m.wake <- struct{}{} // never blocks: writing was false
		return
	}
	m.out, m.spare = m.spare[:0], nil
	m.mu.Unlock()
	n, err := m.try.write(out)
	m.mu.Lock()
	if rest := out[n:]; len(rest) > 0 && err == nil {
		later := m.out
		m.out, m.spare = append(rest, later...), later[:0]
	} else {
		m.spare = out[:0]
	}
	more := len(m.out) > 0 && err == nil
	m.writing = more
	m.mu.Unlock()
	switch {
	case err != nil:
		m.fail()
	case more:
		m.wake <- struct{}{}
	}
}

// keep is the largest buffer kept for the next batch.
const keep = 1 << 20

// flush writes what Flush left, everything that gathered meanwhile in one write.
func (m *Mux) flush() {
	for {
		select {
		case <-m.wake:
		case <-m.done:
			return
		}
		for {
			m.mu.Lock()
			out := m.out
			if len(out) == 0 || m.closed {
				m.writing = false
				m.mu.Unlock()
				break
			}
			m.out, m.spare = m.spare[:0], nil
			m.mu.Unlock()
			_, err := m.nc.Write(out)
			m.mu.Lock()
			if cap(out) <= keep {
				m.spare = out[:0]
			}
			m.mu.Unlock()
			if err != nil {
				m.fail()
				return
			}
		}
	}
}

// fail ends the writing after an error. The reader takes what the worker still sent; a
// worker that closed only its reading half must not keep it waiting.
func (m *Mux) fail() {
	m.mu.Lock()
	m.failed = true
	m.out = m.out[:0]
	closed := m.closed
	m.mu.Unlock()
	if !closed {
		m.Expire(time.Second)
	}
}

// Close ends the connection; Run returns. What was not written is lost.
func (m *Mux) Close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	m.mu.Unlock()
	close(m.done)
	_ = m.nc.SetDeadline(time.Unix(1, 0)) // wakes a read or write under way
}

// Expire gives the reader that long to find the end of a dead worker's stream, which children of
// the worker may keep open.
func (m *Mux) Expire(after time.Duration) {
	_ = m.nc.SetReadDeadline(time.Now().Add(after)) // fails only when closed
}

func (m *Mux) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// CloseRecord completes the record begun with [AppendHeader] at b[start]: it sets the content
// length, and spreads content beyond [MaxContentLen] over further records with [FlagMore].
func CloseRecord(b []byte, start int) []byte {
	n := len(b) - start - HeaderLen
	if n > MaxContentLen {
		typ, flags := Type(b[start+1]), Flags(b[start+7])
		id := uint16(b[start+2])<<8 | uint16(b[start+3])
		content := append([]byte(nil), b[start+HeaderLen:]...)
		return AppendRecord(b[:start], typ, flags, id, content)
	}
	b[start+4], b[start+5] = byte(n>>8), byte(n)
	return b
}
