package fcgi

import "fmt"

// DefaultJoinLimit is the limit of a [Joiner] that names none, in bytes.
const DefaultJoinLimit = 1 << 20

// Joiner joins a record with [FlagMore] and its continuations, which have the
// same type and id and follow at once. The zero value is ready.
//
// It keeps the memory of the longest joined record, at most Limit bytes.
type Joiner struct {
	// Limit is the most content bytes a joined record may have; 0 stands for
	// DefaultJoinLimit. A record that stands alone is not limited.
	Limit int

	open bool
	typ  Type
	id   uint16
	buf  []byte
}

// Add takes the next record of the connection, of whatever type. With ok,
// whole is a complete record without FlagMore: rec itself when it stood alone,
// else one with the joined content and the flags of the last part; that content
// is valid until the next call. Without ok more parts must follow. An error
// means that the peer broke the profile: the connection has to be closed.
func (j *Joiner) Add(rec Record) (whole Record, ok bool, err error) {
	more := rec.Flags&FlagMore != 0 && rec.Type.continues()
	if !j.open {
		if !more {
			return rec, true, nil
		}
		j.open, j.typ, j.id, j.buf = true, rec.Type, rec.ID, j.buf[:0]
	} else if rec.Type != j.typ || rec.ID != j.id {
		return Record{}, false, fmt.Errorf("cannot continue %s record of request %d: %s record of request %d came between its parts",
			j.typ, j.id, rec.Type, rec.ID)
	}
	limit := j.Limit
	if limit <= 0 {
		limit = DefaultJoinLimit
	}
	if len(rec.Content) > limit-len(j.buf) {
		return Record{}, false, fmt.Errorf("cannot continue %s record of request %d: content is larger than %d bytes",
			j.typ, j.id, limit)
	}
	j.buf = append(j.buf, rec.Content...)
	if more {
		return Record{}, false, nil
	}
	j.open = false
	return Record{Type: rec.Type, Flags: rec.Flags, ID: rec.ID, Content: j.buf[:len(j.buf):len(j.buf)]}, true, nil
}

// Open reports whether parts of a record are still missing; true when the
// connection ends means that a record was cut off.
func (j *Joiner) Open() bool { return j.open }
