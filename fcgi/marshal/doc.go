// Package marshal writes and reads the part of CPython's marshal format that
// the gateway and its workers use, without CPython.
//
// Out goes what marshal.loads of every CPython since 3.4 accepts: the Append
// functions write to the end of a caller's slice and allocate nothing more. In
// comes what marshal.dumps(value, 2) writes: [DecodeAnswerHead] reads the head
// of an answer on the hot path, [Decode] a control message. Nothing is shared,
// so any goroutine may call any function.
//
// Numbers are little-endian; n is four bytes:
//
//	{ key value ... 0      dict
//	( n items   ) n1 items tuple; n1 is one byte
//	[ n items              list
//	z n1 bytes  a n bytes  str of Latin-1 bytes (ASCII when CPython writes it)
//	Z n1 bytes  A n bytes  the same, interned
//	u n bytes   t n bytes  str in UTF-8; t: interned
//	s n bytes              bytes
//	i n                    int of 32 bits
//	N T F                  None, True, False
//
// CPython writes z a Z A and ) from version 4 of the format on, so dumps with
// version 2 has none of them, nor references; its loads reads them all.
package marshal
