package static

import (
	"bytes"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

// hot is how often a file must be asked for by clients that would take it smaller until it is made so.
const hot = 3

// mostEncoded is the largest file that is, in bytes: brotli takes a quarter of a second for it.
const mostEncoded = 4 << 20

// ask notes that a client would have taken a coding that is not there yet. Called by the edge.
func (e *entry) ask() {
	if e.asked.Add(1) != hot {
		return
	}
	select {
	case e.site.set.encoding <- struct{}{}:
		go func() {
			defer func() { <-e.site.set.encoding }()
			e.shrink()
		}()
	default:
		e.asked.Store(0) // another file is being encoded: this one's turn comes if it is asked for as often again
	}
}

// shrink makes the encodings of a file in memory, once.
func (e *entry) shrink() {
	whole := e.variants[identity].Load()
	if whole.body == nil || !e.fresh() {
		return
	}
	kind := e.site.contentType(e.name)
	for c := gzipped; c <= brotliCoding; c++ {
		if e.variants[c].Load() != nil {
			continue // there is one beside the file
		}
		var b bytes.Buffer
		if !compressInto(&b, c, whole.body) || b.Len() >= len(whole.body) {
			continue
		}
		v := &variant{coding: c, size: int64(b.Len()), body: bytes.Clone(b.Bytes())}
		v.etag = whole.etag[:len(whole.etag)-1] + "-" + codingNames[c] + "-made\"" // one beside the file is another
		v.fields = e.fields(v, kind)
		e.variants[c].Store(v)
	}
	// The memory that it holds has changed.
	e.site.set.keep(e.key, e)
}

func compressInto(b *bytes.Buffer, c coding, body []byte) bool {
	if c == gzipped {
		w, err := gzip.NewWriterLevel(b, gzip.BestCompression)
		if err != nil {
			return false
		}
		_, err = w.Write(body)
		return err == nil && w.Close() == nil
	}
	w := brotli.NewWriterLevel(b, 9)
	_, err := w.Write(body)
	return err == nil && w.Close() == nil
}
