package fcgi

import "fmt"

// Decoder reads records out of a byte stream. The zero value is ready.
//
// The caller owns the bytes:
//
//	for {
//		n, rec, ok, err := d.Next(buf[r:w])
//		if err != nil { close the connection }
//		if !ok { move buf[r:w] to the front, read more behind it }
//		r += n
//		use rec
//	}
//
// A buffer of [MaxRecordLen] bytes is enough to always make progress; more
// lets one read bring several records.
type Decoder struct {
	read int64 // bytes of the whole records so far, for error messages
}

// Next decodes the record at the start of buf. With ok, n is the record's
// length, padding included, and rec.Content a part of buf. Without ok, n is 0:
// buf does not hold a whole record yet, and the next call must begin with the
// same bytes. An error means that the peer does not speak FastCGI 1.0 and that
// the record boundaries are lost: the connection has to be closed.
func (d *Decoder) Next(buf []byte) (n int, rec Record, ok bool, err error) {
	if len(buf) < HeaderLen || buf[0] != Version {
		return 0, Record{}, false, d.check(buf)
	}
	h := parseHeader(buf[:HeaderLen])
	end := HeaderLen + int(h.ContentLength)
	n = end + int(h.PaddingLength)
	if len(buf) < n {
		return 0, Record{}, false, nil
	}
	d.read += int64(n)
	// The capacity is cut so that an append to the content cannot overwrite the
	// next record.
	return n, Record{Type: h.Type, Flags: h.Flags, ID: h.ID, Content: buf[HeaderLen:end:end]}, true, nil
}

// check is Next's slow path, for an incomplete header or a foreign one.
func (d *Decoder) check(buf []byte) error {
	// FastCGI §3.3 documents version 1 only. The first byte is enough to tell,
	// so a peer that sends less than a header is refused as well.
	if len(buf) > 0 && buf[0] != Version {
		return fmt.Errorf("cannot read FastCGI record at byte %d of the connection: version is %d, must be %d; check that the peer speaks FastCGI and not, for example, HTTP",
			d.read, buf[0], Version)
	}
	return nil
}
