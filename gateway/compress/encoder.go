package compress

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder is a coding's writer; each is used again.
type encoder interface {
	io.Writer
	Flush() error
	Close() error
	Reset(io.Writer)
}

// sink gathers what an encoder makes.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// encoders are those that are not in use.
type encoders struct {
	pools  [codings]sync.Pool
	levels Levels
}

// Levels are how hard each coding tries, in its own numbers.
type Levels struct {
	Gzip   int // 1 to 9
	Brotli int // 0 to 11
	Zstd   int // 1 to 22
}

// get returns an encoder into s.
func (e *encoders) get(c Coding, s *sink) encoder {
	s.b = s.b[:0]
	if enc, ok := e.pools[c].Get().(encoder); ok {
		enc.Reset(s)
		return enc
	}
	switch c {
	case Brotli:
		return brotli.NewWriterLevel(s, e.levels.Brotli)
	case Zstd:
		enc, err := zstd.NewWriter(s, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(e.levels.Zstd)),
			// On the caller's goroutine, with what a browser must be able to hold (RFC 9659 §3: 8 MiB) and no more memory than is worth it here.
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic("BUG: cannot make a zstd encoder: " + err.Error()) // the options are constants, or were checked with the configuration
		}
		return enc
	default:
		enc, err := gzip.NewWriterLevel(s, e.levels.Gzip)
		if err != nil {
			panic("BUG: cannot make a gzip encoder: " + err.Error())
		}
		return enc
	}
}

// windowSize is how far back zstd looks for repetitions, in bytes.
const windowSize = 256 << 10

// put takes an encoder back, which was closed or is to forget what it holds.
func (e *encoders) put(c Coding, enc encoder) {
	enc.Reset(nil)
	e.pools[c].Put(enc)
}
