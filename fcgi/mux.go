package fcgi

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Profile is the value of PYSPEED_PROFILE that this side speaks.
const Profile = "1"

// Sink takes what a worker sends. One goroutine at a time calls it, in order; no method blocks.
type Sink interface {
	// Record takes one whole record; its content is valid during the call. An
	// error ends the connection.
	Record(rec Record) error
	// Read is called after all whole records of one read were taken.
	Read()
	// Room follows a [Mux.Full] that was true, once the worker has taken all that waited. From whatever
	// goroutine found that out, beside Record and Read.
	Room()
}

// Mux is the gateway's end of a worker's data socket: many requests at once,
// their records gathered so that one write carries many.
//
// Begin, End and Flush may be called from any goroutine and do not wait for the
// worker: what it does not take at once stays in memory, bounded by the callers'
// windows and by their asking Full, and leaves when the socket has room. If callers waited, the reader of
// answers could wait for a worker that waits for its answers to be read.
type Mux struct {
	sink   Sink
	link   Link
	opened chan error    // what came of asking for the profile
	closed chan struct{} // closed when nothing more is read

	// Of whoever calls Feed and Closed.
	open    bool
	decoder Decoder
	carry   []byte // the start of a record whose end has not come
	err     error  // why Run ends; read after closed

	mu         sync.Mutex
	out, spare []byte
	rest       []byte // what is left of a write that the socket did not take whole
	writing    bool   // someone writes, or waits for room
	waiting    bool   // for room
	waking     bool   // Link.Wake was asked
	full       bool   // Sink.Room is owed
	ended      bool   // what else is appended goes nowhere
	eof        bool   // Closed was called
	released   bool
	expired    bool // before there was a link
}

// ErrEnded is in the error of [Mux.Run] when the connection broke; any other error means
// that the worker did not keep to the protocol.
var ErrEnded = errors.New("its connection ended")

// NewMux makes a mux without a connection; nothing but [Mux.Expire] may come before Open.
func NewMux(sink Sink) *Mux {
	return &Mux{sink: sink, opened: make(chan error, 1), closed: make(chan struct{})}
}

// Open takes over nc, which loop drives, asks for profile pyspeed/1 and waits at most timeout for it
// to be granted. After an error the connection is closed. The sink is called from when the profile
// was granted, which may be before Open returns.
func (m *Mux) Open(loop Loop, nc net.Conn, timeout time.Duration) error {
	if err := m.attach(loop, nc); err != nil {
		return err
	}
	out, err := AppendGetValues(m.Begin(), VarMaxConns, VarMaxReqs, VarMpxsConns, VarProfile)
	m.End(out)
	m.Flush(true)
	t := time.NewTimer(timeout)
	defer t.Stop()
	if err == nil {
		select {
		case err = <-m.opened:
		case <-m.closed:
			err = fmt.Errorf("cannot read a worker's profile: %w", ErrEnded)
		case <-t.C:
			err = fmt.Errorf("cannot read a worker's profile: it did not answer within %s", timeout)
		}
	}
	if err != nil {
		m.Close()
	}
	return err
}

// attach does not hold mu while the loop may call already, which it does for a worker that speaks before
// it was asked.
func (m *Mux) attach(loop Loop, nc net.Conn) error {
	link, err := loop.Attach(nc, m)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link = link
	if m.expired {
		link.Expire(0)
	}
	if m.ended {
		link.Close()
	}
	m.release()
	return nil
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

// Run waits until the connection has ended, and returns why; nil is the worker's orderly
// end of stream, or Close.
func (m *Mux) Run() error {
	<-m.closed
	return m.err
}

// Feed implements Handler.
func (m *Mux) Feed(p []byte) {
	if m.err != nil {
		return
	}
	carried := len(m.carry) > 0
	if carried {
		m.carry = append(m.carry, p...)
		p = m.carry
	}
	at := 0
	for {
		n, rec, ok, err := m.decoder.Next(p[at:])
		if err == nil && !ok {
			break
		}
		at += n
		switch {
		case err != nil:
		case m.open:
			err = m.sink.Record(rec)
		default:
			err = granted(rec)
			m.open = err == nil
			if err == nil {
				m.opened <- nil
			}
		}
		if err != nil {
			m.err = err
			m.carry = nil
			m.Close()
			return
		}
	}
	switch {
	case carried:
		m.carry = m.carry[:copy(m.carry, p[at:])]
	case at < len(p):
		m.carry = append(m.carry, p[at:]...)
	}
	if at > 0 {
		m.sink.Read()
	}
}

// Closed implements Handler.
func (m *Mux) Closed(err error) {
	switch {
	case m.err != nil:
	case err != nil:
		m.err = fmt.Errorf("cannot go on with a worker: %w: %w", ErrEnded, err)
	case len(m.carry) > 0 && !m.wasClosed():
		m.err = fmt.Errorf("cannot go on with a worker: %w in the middle of a record", ErrEnded)
	}
	if !m.open {
		m.opened <- fmt.Errorf("cannot read a worker's profile: %w", errors.Join(m.err, ErrEnded))
	}
	close(m.closed)
	m.mu.Lock()
	m.ended, m.eof = true, true
	if m.waiting {
		m.waiting, m.writing = false, false
	}
	m.release()
	m.mu.Unlock()
}

// release frees the link when it is of no more use. With mu held.
func (m *Mux) release() {
	if m.eof && !m.writing && !m.released && m.link != nil {
		m.released = true
		m.out, m.spare, m.rest = nil, nil, nil
		m.link.Release()
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

// fullAt is how much may wait for the worker before bodies have to.
const fullAt = 256 << 10

// Full is whether so much waits for the worker that what is large, a body's next part, should wait
// where it is; [Sink.Room] follows when it is.
func (m *Mux) Full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.out)+len(m.rest) < fullAt || m.ended {
		return false
	}
	m.full = true
	return true
}

// Flush sends what was appended. idle says that the worker has nothing to do, so that the
// caller should write at once; else the records leave when the loop has handled what it has in hand,
// together with what is appended meanwhile.
func (m *Mux) Flush(idle bool) {
	m.mu.Lock()
	if m.ended {
		m.out = m.out[:0]
	}
	switch {
	case m.writing || len(m.out) == 0:
	case idle:
		m.drain()
		if m.full && !m.writing {
			m.wake() // who calls Flush may be what Room calls
		}
	default:
		m.wake()
	}
	m.mu.Unlock()
}

// wake asks for a call of Wake. With mu held, so that Release cannot come first.
func (m *Mux) wake() {
	if !m.waking && !m.released {
		m.waking = true
		m.link.Wake()
	}
}

// keep is the largest buffer kept for the next batch.
const keep = 2 * fullAt

// drain writes all there is, as far as the socket takes it. With mu held, which is given up during
// each write.
func (m *Mux) drain() {
	m.writing = true
	for (len(m.rest) > 0 || len(m.out) > 0) && !m.ended {
		p := m.rest
		if len(p) == 0 {
			p = m.out
			m.out, m.spare = m.spare[:0], nil
		}
		m.mu.Unlock()
		n, err := m.link.Write(p)
		m.mu.Lock()
		switch {
		case err != nil:
			// The reader takes what the worker still sent; one that closed only its reading
			// half must not keep it waiting.
			m.ended = true
			m.link.Expire(time.Second)
		case n < len(p) && !m.eof:
			m.rest = p[n:]
			m.waiting = true
			m.link.WaitWritable()
			return // still writing
		default:
			m.rest = nil
			if cap(p) <= keep && m.spare == nil {
				m.spare = p[:0]
			}
		}
	}
	m.writing = false
	m.release()
}

// Wake implements Handler.
func (m *Mux) Wake() {
	m.mu.Lock()
	m.waking = false
	if !m.writing {
		m.drain()
	}
	m.unlockWithRoom()
}

// unlockWithRoom calls the sink if all was written and it waits for that. With mu held, which is given up.
func (m *Mux) unlockWithRoom() {
	room := m.full && !m.writing && !m.ended
	m.full = m.full && !room
	m.mu.Unlock()
	if room {
		m.sink.Room()
	}
}

// Writable implements Handler.
func (m *Mux) Writable() {
	m.mu.Lock()
	if m.waiting {
		m.waiting = false
		m.drain()
	}
	m.unlockWithRoom()
}

// Close ends the connection; Run returns. What was not written is lost.
func (m *Mux) Close() {
	m.mu.Lock()
	m.ended = true
	if !m.released && m.link != nil {
		m.link.Close()
	}
	m.mu.Unlock()
}

func (m *Mux) wasClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// Expire ends reading for a worker that is dead.
func (m *Mux) Expire(after time.Duration) {
	m.mu.Lock()
	switch {
	case m.link == nil:
		m.expired = true
	case !m.released:
		m.link.Expire(after)
	}
	m.mu.Unlock()
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
