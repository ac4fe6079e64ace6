package dispatch

import "sync"

// bufferPool lends the memory of encoded requests and of body parts.
type bufferPool struct{ pool sync.Pool }

// largest is what a kept buffer may have grown to.
const largest = 72 << 10

func (p *bufferPool) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<10)
}

func (p *bufferPool) put(b []byte) {
	if cap(b) == 0 || cap(b) > largest {
		return
	}
	p.pool.Put(&b)
}
