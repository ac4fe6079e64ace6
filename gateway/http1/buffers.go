package http1

import "sync"

// Buffers of idle connections go back to a pool, so that ten thousand of them cost
// no buffers at all. Larger ones, after a large head or answer, are left to the
// garbage collector.
const (
	bufferSize = 4 << 10
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func getBuffer() []byte {
	return buffers.Get().(*[bufferSize]byte)[:0]
}

// putBuffer gives b back and returns nil, for the variable that held it.
func putBuffer(b []byte) []byte {
	if cap(b) == bufferSize {
		buffers.Put((*[bufferSize]byte)(b[:bufferSize]))
	}
	return nil
}
