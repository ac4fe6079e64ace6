package fcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	// MaxPairLen is the most bytes a name or a value can have. FastCGI §3.4:
	// "The high-order bit of the first byte of a length indicates the length's
	// encoding. A high-order zero implies a one-byte encoding, a one a four-byte
	// encoding." So 31 bits remain.
	MaxPairLen = math.MaxInt32
	// DefaultPairsLimit is the limit of [Pairs] that name none, in bytes.
	DefaultPairsLimit = 1 << 20

	longLen = 0x80 // the high-order bit
)

// AppendPair appends one name-value pair. It fails, with dst as it was, when
// one of them is longer than [MaxPairLen].
func AppendPair[N, V ~string | ~[]byte](dst []byte, name N, value V) ([]byte, error) {
	if len(name) > MaxPairLen || len(value) > MaxPairLen {
		return dst, fmt.Errorf("cannot encode name-value pair: name of %d and value of %d bytes, each may have %d",
			len(name), len(value), MaxPairLen)
	}
	dst = appendPairLen(dst, uint32(len(name)))
	dst = appendPairLen(dst, uint32(len(value)))
	dst = append(dst, name...)
	return append(dst, value...), nil
}

// appendPairLen appends a length of at most MaxPairLen. FastCGI §3.4: "Lengths
// of 127 bytes and less can be encoded in one byte, while longer lengths are
// always encoded in four bytes".
func appendPairLen(dst []byte, n uint32) []byte {
	if n < longLen {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint32(dst, n|longLen<<24)
}

// parsePairLen reads a length and the number of bytes that it takes, 0 when b
// does not hold it yet.
func parsePairLen(b []byte) (length uint32, n int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < longLen:
		return uint32(b[0]), 1
	case len(b) < 4:
		return 0, 0
	}
	return binary.BigEndian.Uint32(b) &^ (longLen << 24), 4
}

// Pairs decodes the name-value pairs of a PARAMS stream, or of a GET_VALUES
// record, which may be cut at any byte. The zero value is ready.
type Pairs struct {
	// Limit is the most bytes that the whole stream may have, lengths
	// included; 0 stands for DefaultPairsLimit. Memory grows with the bytes
	// that came, never with the lengths that they announce.
	Limit int

	buf []byte
	pos int // of the first pair that was not given out yet
}

// Feed takes the content of one record. It fails when the stream is larger
// than Limit.
func (p *Pairs) Feed(content []byte) error {
	if len(content) > p.limit()-len(p.buf) {
		return fmt.Errorf("cannot read name-value pairs: the stream is larger than %d bytes", p.limit())
	}
	p.buf = append(p.buf, content...)
	return nil
}

// Next returns the next complete pair; without ok, more content is needed. Both
// slices stay valid until Reset. It fails, as soon as the lengths are known,
// when a pair cannot fit into Limit.
func (p *Pairs) Next() (name, value []byte, ok bool, err error) {
	b := p.buf[p.pos:]
	nameLen, n := parsePairLen(b)
	if n == 0 {
		return nil, nil, false, nil
	}
	valueLen, m := parsePairLen(b[n:])
	if m == 0 {
		return nil, nil, false, nil
	}
	// In 64 bits, where two lengths of 31 bits cannot overflow: on 32 bits their
	// sum can, which libfcgi once allocated and wrote beyond (CVE-2025-23016).
	lens := uint64(n) + uint64(m)
	end := lens + uint64(nameLen) + uint64(valueLen)
	if end > uint64(p.limit()-p.pos) {
		return nil, nil, false, fmt.Errorf("cannot read name-value pair: name of %d and value of %d bytes make the stream larger than %d bytes",
			nameLen, valueLen, p.limit())
	}
	if end > uint64(len(b)) {
		return nil, nil, false, nil
	}
	mid := lens + uint64(nameLen)
	p.pos += int(end)
	return b[lens:mid:mid], b[mid:end:end], true, nil
}

// End reports an error when the stream ended inside a pair. All complete pairs
// must have been taken with Next.
func (p *Pairs) End() error {
	if p.pos < len(p.buf) {
		return errors.New("cannot read name-value pairs: the stream ends inside a pair")
	}
	return nil
}

// Reset makes p ready for another stream. It keeps the memory, so slices that
// Next returned must not be used any more.
func (p *Pairs) Reset() {
	p.buf, p.pos = p.buf[:0], 0
}

func (p *Pairs) limit() int {
	if p.Limit <= 0 {
		return DefaultPairsLimit
	}
	return p.Limit
}
