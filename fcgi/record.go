package fcgi

import (
	"encoding/binary"
	"strconv"
)

const (
	// Version is the protocol version in every header. FastCGI §3.3: "version:
	// Identifies the FastCGI protocol version. This specification documents
	// FCGI_VERSION_1."
	Version = 1
	// HeaderLen is the length of a record header in bytes.
	HeaderLen = 8
	// MaxContentLen is the most content bytes one record can carry. FastCGI
	// §3.3: "Between 0 and 65535 bytes of data".
	MaxContentLen = 65535
	// MaxPaddingLen is the most padding bytes one record can carry. FastCGI
	// §3.3: "Between 0 and 255 bytes of data, which are ignored."
	MaxPaddingLen = 255
	// MaxRecordLen is the length of the longest possible record; a read buffer
	// of at least this size always makes progress.
	MaxRecordLen = HeaderLen + MaxContentLen + MaxPaddingLen
	// ManagementID is the request id of management records. FastCGI §3.3:
	// "Management records have a requestId value of zero, also called the null
	// request ID."
	ManagementID = 0
)

// Type is a record's type.
type Type uint8

// The types of FastCGI §8.
const (
	TypeBeginRequest    Type = 1
	TypeAbortRequest    Type = 2
	TypeEndRequest      Type = 3
	TypeParams          Type = 4
	TypeStdin           Type = 5
	TypeStdout          Type = 6
	TypeStderr          Type = 7
	TypeData            Type = 8
	TypeGetValues       Type = 9
	TypeGetValuesResult Type = 10
	TypeUnknownType     Type = 11
)

// The types of profile pyspeed/1. 67 is not used.
const (
	TypeRequest  Type = 64
	TypeResponse Type = 65
	TypeWindow   Type = 66
	TypeMessage  Type = 68
)

// String returns the specification's name without its prefix, "STDOUT", or
// "type 99".
func (t Type) String() string {
	switch t {
	case TypeBeginRequest:
		return "BEGIN_REQUEST"
	case TypeAbortRequest:
		return "ABORT_REQUEST"
	case TypeEndRequest:
		return "END_REQUEST"
	case TypeParams:
		return "PARAMS"
	case TypeStdin:
		return "STDIN"
	case TypeStdout:
		return "STDOUT"
	case TypeStderr:
		return "STDERR"
	case TypeData:
		return "DATA"
	case TypeGetValues:
		return "GET_VALUES"
	case TypeGetValuesResult:
		return "GET_VALUES_RESULT"
	case TypeUnknownType:
		return "UNKNOWN_TYPE"
	case TypeRequest:
		return "REQUEST"
	case TypeResponse:
		return "RESPONSE"
	case TypeWindow:
		return "WINDOW"
	case TypeMessage:
		return "MESSAGE"
	}
	return "type " + strconv.Itoa(int(t))
}

// continues reports whether FlagMore has a meaning in records of this type.
func (t Type) continues() bool {
	return t == TypeRequest || t == TypeResponse || t == TypeMessage
}

// Flags is the last header byte; it has a meaning in the records of profile
// pyspeed/1 only.
type Flags uint8

const (
	// FlagBody in a REQUEST: STDIN records follow.
	FlagBody Flags = 1
	// FlagLast in a RESPONSE: the answer is complete, no END_REQUEST follows.
	FlagLast Flags = 1
	// FlagMore in a REQUEST, RESPONSE or MESSAGE: the content goes on in the
	// next record, see [Joiner].
	FlagMore Flags = 2

	windowShift = 4
	// minWindow is the window, in bytes, that exponent 0 stands for.
	minWindow = 4096
	// maxWindowExponent is the most that fits into the high nibble.
	maxWindowExponent = 15
)

// WindowFlags returns the high nibble that announces the largest window a
// REQUEST can name that is not above n bytes: 4096 << e with e in 0..15. An n
// below 4096 gives 4096.
func WindowFlags(n int) Flags {
	var e Flags
	for e < maxWindowExponent && minWindow<<(e+1) <= n {
		e++
	}
	return e << windowShift
}

// Window returns the answer's first window, in bytes, of a REQUEST's flags.
func (f Flags) Window() int {
	return minWindow << (f >> windowShift)
}

// Header is a record's header.
type Header struct {
	Type          Type
	Flags         Flags
	ID            uint16
	ContentLength uint16
	PaddingLength uint8
}

// Record is one record without its padding.
type Record struct {
	Type  Type
	Flags Flags
	ID    uint16
	// Content points into the buffer the record was decoded from; its capacity
	// ends with it.
	Content []byte
}

// AppendHeader appends a header. The caller appends contentLen and then padLen
// bytes.
func AppendHeader(dst []byte, typ Type, flags Flags, id, contentLen uint16, padLen uint8) []byte {
	return append(dst, Version, byte(typ), byte(id>>8), byte(id), byte(contentLen>>8), byte(contentLen), padLen, byte(flags))
}

// AppendRecord appends a record without padding. Content beyond
// [MaxContentLen] goes on in further records of the same type and id, all but
// the last with [FlagMore]; only REQUEST, RESPONSE and MESSAGE may be that
// long. Streams use [AppendStream].
func AppendRecord(dst []byte, typ Type, flags Flags, id uint16, content []byte) []byte {
	for len(content) > MaxContentLen {
		dst = AppendHeader(dst, typ, flags|FlagMore, id, MaxContentLen, 0)
		dst = append(dst, content[:MaxContentLen]...)
		content = content[MaxContentLen:]
	}
	dst = AppendHeader(dst, typ, flags, id, uint16(len(content)), 0)
	return append(dst, content...)
}

// AppendStream appends content to a stream (PARAMS, STDIN, STDOUT, STDERR,
// DATA) in as many records as it takes. Empty content appends nothing, because
// an empty record would end the stream.
func AppendStream(dst []byte, typ Type, id uint16, content []byte) []byte {
	for len(content) > 0 {
		n := min(len(content), MaxContentLen)
		dst = AppendHeader(dst, typ, 0, id, uint16(n), 0)
		dst = append(dst, content[:n]...)
		content = content[n:]
	}
	return dst
}

// AppendStreamEnd ends a stream. FastCGI §3.3: "a series of zero or more
// non-empty records (length != 0) of the stream type, followed by an empty
// record (length == 0) of the stream type."
func AppendStreamEnd(dst []byte, typ Type, id uint16) []byte {
	return AppendHeader(dst, typ, 0, id, 0, 0)
}

// parseHeader reads a header whose version was checked; b has HeaderLen bytes.
func parseHeader(b []byte) Header {
	_ = b[HeaderLen-1]
	return Header{
		Type:          Type(b[1]),
		ID:            binary.BigEndian.Uint16(b[2:]),
		ContentLength: binary.BigEndian.Uint16(b[4:]),
		PaddingLength: b[6],
		Flags:         Flags(b[7]),
	}
}
