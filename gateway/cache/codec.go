package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pyspeed/gateway/exchange"
)

// An entry as gateways share it: four bytes that say how it is written, the length of the head in four more, the head as JSON, the
// body.

var format = [4]byte{'P', 'S', 'C', '1'}

// head is what is shared of an entry besides its body.
type head struct {
	Key    string
	URI    string
	Names  []string    `json:",omitempty"`
	Varies []string    `json:",omitempty"`
	Status int         `json:",omitempty"`
	Fields [][2][]byte `json:",omitempty"`
	ETag   []byte      `json:",omitempty"`
	Tags   []string    `json:",omitempty"`

	Modified    time.Time
	HasModified bool `json:",omitempty"`
	Date        time.Time

	Fresh, While, OnError     time.Duration
	Always, Strict, Bound     bool `json:",omitempty"`
	ForCookies, ForAuthorized bool `json:",omitempty"`
	Age                       time.Duration
	At                        time.Time // when it was that old, by this machine's clock
}

// encode makes an entry's shared form, at now on the gateway's clock.
func (e *entry) encode(now time.Duration) ([]byte, error) {
	h := head{
		Key: e.key, URI: e.uri, Names: e.names, Varies: e.varies, Status: e.status, ETag: e.etag, Tags: e.tags,
		Modified: e.modified, HasModified: e.hasModified, Date: e.date,
		Fresh: e.fresh, While: e.while, OnError: e.onError, Always: e.always, Strict: e.strict, Bound: e.bound,
		ForCookies: e.forCookies, ForAuthorized: e.forAuthorized, Age: e.age(now), At: time.Now(),
	}
	for _, f := range e.fields {
		h.Fields = append(h.Fields, [2][]byte{f.Name, f.Value})
	}
	text, err := json.Marshal(&h)
	if err != nil {
		return nil, fmt.Errorf("cannot share an answer: %w", err)
	}
	b := make([]byte, 0, len(format)+4+len(text)+len(e.body))
	b = append(b, format[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	return append(b, e.body...), nil
}

var errFormat = errors.New("cannot read a shared answer: it is written in another way; gateways that share a prefix must be of the same version")

// decode makes an entry of what another gateway has shared, at now.
func decode(b []byte, now time.Duration) (*entry, error) {
	if len(b) < 8 || !bytes.Equal(b[:4], format[:]) {
		return nil, errFormat
	}
	n := binary.BigEndian.Uint32(b[4:])
	if b = b[8:]; uint64(n) > uint64(len(b)) {
		return nil, errFormat
	}
	var h head
	if err := json.Unmarshal(b[:n], &h); err != nil {
		return nil, fmt.Errorf("cannot read a shared answer: %w", err)
	}
	e := &entry{
		key: h.Key, uri: h.URI, names: h.Names, varies: h.Varies, status: h.Status, body: bytes.Clone(b[n:]), etag: h.ETag, tags: h.Tags,
		modified: h.Modified, hasModified: h.HasModified, date: h.Date,
		terms: terms{
			store: true, fresh: h.Fresh, while: h.While, onError: h.OnError, always: h.Always, strict: h.Strict, bound: h.Bound,
			forCookies: h.ForCookies, forAuthorized: h.ForAuthorized,
		},
		// Clocks may differ by more than it has been there.
		initialAge: h.Age + max(time.Since(h.At), 0), received: now,
	}
	for _, f := range h.Fields {
		e.fields = append(e.fields, exchange.Field{Name: f[0], Value: f[1]})
	}
	if e.names == nil && (e.status < 200 || !valid(e.fields)) {
		return nil, errFormat
	}
	return e, nil
}
