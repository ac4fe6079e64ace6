package exchange

import "sync"

// chunk is memory for a body, of one of the sizes below.
type chunk struct{ memory []byte }

// Each size is four times the one before, so that what a growing body copies is a third of its length
// and what it holds is at most four times what arrived. Smaller ones are allocated as they come.
var chunkSizes = [...]int{16 << 10, 64 << 10, 256 << 10, MaxBody}

var chunks [len(chunkSizes)]sync.Pool

// getChunk returns the smallest chunk for n bytes; nil when n is too small to be worth one, or
// too large.
func getChunk(n int) *chunk {
	if n <= chunkSizes[0]/4 {
		return nil
	}
	for i, size := range chunkSizes {
		if n <= size {
			if c, ok := chunks[i].Get().(*chunk); ok {
				return c
			}
			return &chunk{make([]byte, size)}
		}
	}
	return nil
}

// put gives c back, which may be nil.
func (c *chunk) put() {
	if c == nil {
		return
	}
	for i, size := range chunkSizes {
		if len(c.memory) == size {
			chunks[i].Put(c)
		}
	}
}
