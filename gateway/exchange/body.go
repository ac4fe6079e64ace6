package exchange

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// ErrBodyCut is what Next returns for a body that ended before its framing did.
var ErrBodyCut = errors.New("request body was cut off")

// Body carries a request's body from the edge, which appends as bytes arrive,
// to the responder, which takes as its own peer gives credit. What is waiting
// stays in memory up to the limit given to NewBody and goes to an unlinked
// temporary file beyond it, so a slow application costs disk, not memory.
//
// Threading: the edge calls Append, Stage, Wake, Finish and Fail; the responder Next, Notify
// and Close. Append writes to a file when the memory is used up and can
// block as long as the disk does.
type Body struct {
	mu       sync.Mutex
	mem      []byte // bytes mem[off:] wait
	off      int
	lent     *chunk // what mem lies in; nil: in memory of its own
	limit    int
	budget   *Budget
	charged  int // of the budget
	dir      string
	file     *os.File // everything after mem, from read to write
	readAt   int64
	writeAt  int64
	received int64
	done     bool
	closed   bool
	err      error
	notify   func()
}

// NewBody makes a body that keeps at most limit bytes in memory, less as the budget for all
// is used up, and the rest in a temporary file in dir ("" is the system's). A nil budget is no
// limit.
func NewBody(limit int, budget *Budget, dir string) *Body {
	return &Body{limit: limit, budget: budget, dir: dir}
}

// room is whether n more bytes may wait in memory. With mu held.
func (b *Body) room(n int) bool {
	n += len(b.mem) - b.off
	if b.budget == nil || n <= MinWindow {
		return n <= b.limit
	}
	return n <= min(b.limit, b.budget.Body())
}

// hold appends p to mem. With mu held.
//
// The memory grows with what has arrived, never with what was announced, and comes from a pool: an
// upload of a megabyte would else be a megabyte of garbage.
func (b *Body) hold(p []byte) {
	if rest := len(b.mem) - b.off; len(b.mem)+len(p) > cap(b.mem) {
		switch {
		case b.off >= rest && rest+len(p) <= cap(b.mem):
			b.mem = b.mem[:copy(b.mem, b.mem[b.off:])]
			b.off = 0
		default:
			if c := getChunk(rest + len(p)); c != nil {
				grown := append(c.memory[:0], b.mem[b.off:]...)
				b.lent.put()
				b.mem, b.off, b.lent = grown, 0, c
			}
		}
	}
	b.mem = append(b.mem, p...)
	b.charge()
}

// charge tells the budget how much memory the body has now. With mu held.
func (b *Body) charge() {
	if n := cap(b.mem) - b.charged; n != 0 && b.budget != nil {
		b.budget.Hold(n)
		b.charged += n
	}
}

// Append takes over a copy of p and tells the reader. An error means that the
// spill file failed; the body is then failed too.
func (b *Body) Append(p []byte) error {
	err := b.Stage(p)
	b.Wake()
	return err
}

// Stage is Append without telling the reader, for bytes that come in many small
// parts at once; Wake, Finish or Fail must follow.
func (b *Body) Stage(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.received += int64(len(p))
	switch {
	case b.closed || b.err != nil || len(p) == 0:
	case b.writeAt == b.readAt && b.room(len(p)):
		b.hold(p)
	default:
		b.err = b.spill(p)
		return b.err
	}
	return nil
}

// Wake tells the reader that there is something to take.
func (b *Body) Wake() {
	b.mu.Lock()
	notify := b.notify
	b.mu.Unlock()
	if notify != nil {
		notify()
	}
}

func (b *Body) spill(p []byte) error {
	if b.file == nil {
		f, err := os.CreateTemp(b.dir, "pyspeed-body-*")
		if err != nil {
			return fmt.Errorf("cannot buffer a request body on disk: %w", err)
		}
		b.file = f
		// Unlinked at once: the space goes with the descriptor, whatever ends us.
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("cannot unlink a request body's buffer: %w", err)
		}
	}
	if _, err := b.file.WriteAt(p, b.writeAt); err != nil {
		return fmt.Errorf("cannot buffer a request body on disk: %w", err)
	}
	b.writeAt += int64(len(p))
	return nil
}

// Finish says that the body is complete.
func (b *Body) Finish() {
	b.mu.Lock()
	b.done = true
	b.mu.Unlock()
	b.Wake()
}

// Fail says that no more bytes will come, and why.
func (b *Body) Fail(err error) {
	b.mu.Lock()
	if b.err == nil && !b.done {
		b.err = err
	}
	b.mu.Unlock()
	b.Wake()
}

// Notify sets the function that is called, on the edge's goroutine, after bytes
// or the end arrived. It must not block. nil takes it away.
func (b *Body) Notify(f func()) {
	b.mu.Lock()
	b.notify = f
	b.mu.Unlock()
}

// Next appends up to most waiting bytes to dst. end is true once nothing will
// follow what was returned.
func (b *Body) Next(dst []byte, most int) (out []byte, end bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return dst, true, b.err
	}
	if n := min(most, len(b.mem)-b.off); n > 0 {
		dst = append(dst, b.mem[b.off:b.off+n]...)
		b.off += n
		most -= n
		if b.off == len(b.mem) {
			b.mem, b.off = b.mem[:0], 0
		}
	}
	if b.off == len(b.mem) && most > 0 && b.readAt < b.writeAt {
		n := int(min(int64(most), b.writeAt-b.readAt))
		start := len(dst)
		dst = append(dst, make([]byte, n)...)
		got, err := b.file.ReadAt(dst[start:], b.readAt)
		if err != nil && !(err == io.EOF && got == n) {
			b.err = fmt.Errorf("cannot read a request body's buffer back: %w", err)
			return dst[:start], true, b.err
		}
		b.readAt += int64(n)
		if b.readAt == b.writeAt {
			// Drained: start again at the front, so that the file stays small.
			b.readAt, b.writeAt = 0, 0
		}
	}
	return dst, b.done && b.off == len(b.mem) && b.readAt == b.writeAt, nil
}

// Peek appends up to most of the waiting bytes to dst, but for the first at of them, and takes none. For who looks at a body
// before its responder has it.
func (b *Body) Peek(dst []byte, at int64, most int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return dst, b.err
	}
	inMemory := int64(len(b.mem) - b.off)
	if at < inMemory {
		n := int64(b.off) + at
		p := b.mem[n:min(n+int64(most), int64(len(b.mem)))]
		dst = append(dst, p...)
		at, most = at+int64(len(p)), most-len(p)
	}
	n := int(min(int64(most), b.writeAt-b.readAt-(at-inMemory)))
	if n <= 0 {
		return dst, nil
	}
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	got, err := b.file.ReadAt(dst[start:], b.readAt+at-inMemory)
	if err != nil && !(err == io.EOF && got == n) {
		b.err = fmt.Errorf("cannot read a request body's buffer back: %w", err)
		return dst[:start], b.err
	}
	return dst, nil
}

// Spilled is whether any of it went to disk.
func (b *Body) Spilled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.file != nil
}

// Received is how many bytes arrived so far.
func (b *Body) Received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received
}

// Length is the body's length once it has arrived whole.
func (b *Body) Length() (n int64, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received, b.done && b.err == nil
}

// Complete returns the whole body when it has arrived, nothing was taken yet and it
// lies in memory in at most most bytes; the slice is valid until Close.
func (b *Body) Complete(most int) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done || b.err != nil || b.off != 0 || b.readAt != b.writeAt || int64(len(b.mem)) != b.received || len(b.mem) > most {
		return nil, false
	}
	return b.mem, true
}

// Close drops what waits and the file. Bytes that still arrive are counted and
// thrown away.
func (b *Body) Close() {
	b.mu.Lock()
	b.closed = true
	b.notify = nil
	b.lent.put()
	b.mem, b.off, b.lent = nil, 0, nil
	b.charge()
	f := b.file
	b.file, b.readAt, b.writeAt = nil, 0, 0
	b.mu.Unlock()
	if f != nil {
		_ = f.Close() // unlinked and read only by us: nothing can be lost
	}
}
