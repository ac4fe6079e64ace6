package dispatch

import "sync"

// buffer is memory for an encoded request or a part of a body.
type buffer struct{ b []byte }

// bufferPool lends buffers. The zero value is ready.
type bufferPool struct{ pool sync.Pool }

// largest is what a kept buffer may have grown to.
const largest = 72 << 10

func (p *bufferPool) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, 0, 1<<10)}
}

// put takes back b, which may be nil.
func (p *bufferPool) put(b *buffer) {
	if b == nil || cap(b.b) > largest {
		return
	}
	b.b = b.b[:0]
	p.pool.Put(b)
}
