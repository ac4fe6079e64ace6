package supervisor

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"pyspeed/fcgi/marshal"
)

// encodeCommand is a command as the content of a MESSAGE record, its keys in
// order. Values are str (string), bytes, int, bool, None (nil), lists and dicts
// of them.
func encodeCommand(cmd map[string]any) ([]byte, error) {
	return appendValue(nil, cmd)
}

func appendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return marshal.AppendNone(dst), nil
	case bool:
		return marshal.AppendBool(dst, v), nil
	case int:
		if v < math.MinInt32 || v > math.MaxInt32 {
			return nil, fmt.Errorf("cannot encode %d: it needs more than 32 bits", v)
		}
		return marshal.AppendInt(dst, int32(v)), nil
	case string:
		// A path may hold bytes that are not UTF-8; Python gets U+FFFD, and its
		// error then shows the rest of the name.
		return marshal.AppendUTF8(dst, strings.ToValidUTF8(v, "\ufffd")), nil
	case []byte:
		return marshal.AppendBytes(dst, v), nil
	case []string:
		dst = marshal.AppendList(dst, len(v))
		for _, s := range v {
			dst = marshal.AppendUTF8(dst, strings.ToValidUTF8(s, "\ufffd"))
		}
		return dst, nil
	case []any:
		var err error
		dst = marshal.AppendList(dst, len(v))
		for _, item := range v {
			if dst, err = appendValue(dst, item); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case map[string]any:
		var err error
		dst = marshal.AppendDictStart(dst)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			dst = marshal.AppendUTF8(dst, key)
			if dst, err = appendValue(dst, v[key]); err != nil {
				return nil, fmt.Errorf("key %q: %w", key, err)
			}
		}
		return marshal.AppendDictEnd(dst), nil
	}
	return nil, fmt.Errorf("cannot encode a %T", v)
}

// event is a decoded control message from a worker.
type event marshal.Dict

func decodeEvent(content []byte) (event, error) {
	v, n, err := marshal.Decode(content, marshal.Limits{Size: controlMost})
	if err != nil {
		return nil, err
	}
	d, ok := v.(marshal.Dict)
	if !ok || n != len(content) {
		return nil, fmt.Errorf("cannot take a control message: it is not one dict")
	}
	return event(d), nil
}

// text is a str field; "" when it is missing or something else.
func (e event) text(key string) string {
	s, _ := marshal.Get[string](marshal.Dict(e), key)
	return s
}

// number is an int field; 0 when it is missing or something else.
func (e event) number(key string) int {
	n, _ := marshal.Get[int](marshal.Dict(e), key)
	return n
}

// flag is a bool field; false when it is missing or something else.
func (e event) flag(key string) bool {
	b, _ := marshal.Get[bool](marshal.Dict(e), key)
	return b
}

// texts are the str items of a list field.
func (e event) texts(key string) []string {
	var list []string
	for _, item := range e.list(key) {
		if s, ok := item.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// list is a list field; empty when it is missing or something else.
func (e event) list(key string) []marshal.Value {
	v, _ := marshal.Get[marshal.Value](marshal.Dict(e), key)
	switch v := v.(type) {
	case marshal.List:
		return v
	case marshal.Tuple:
		return v
	}
	return nil
}

// ids are the request ids in a list field; what is not an id is an error.
func (e event) ids(key string) ([]uint16, error) {
	items := e.list(key)
	ids := make([]uint16, 0, len(items))
	for _, item := range items {
		n, ok := item.(int)
		if !ok || n < 1 || n > math.MaxUint16 {
			return nil, fmt.Errorf("cannot take %v as a request id", item)
		}
		ids = append(ids, uint16(n))
	}
	return ids, nil
}

// ReadyInfo is what a worker says of itself when it is ready.
type ReadyInfo struct {
	Interface    string // wsgi, asgi or tornado
	Threads      int    // most requests that run at once; 0: unbounded (ASGI, Tornado, gevent)
	Python       string // version
	Loop         string // asyncio, uvloop; gevent or "" for WSGI
	Lifespan     string // on, off; "" for WSGI
	Acceleration Acceleration
	Static       StaticFolders
}

func readyInfo(e event) ReadyInfo {
	return ReadyInfo{
		Interface:    e.text("interface"),
		Threads:      e.number("threads"),
		Python:       e.text("python"),
		Loop:         e.text("loop"),
		Lifespan:     e.text("lifespan"),
		Acceleration: acceleration(e),
		Static:       staticFolders(e),
	}
}

// Pong is a worker's answer to a ping.
type Pong struct {
	// LoopMilliseconds is how long ago the thread or loop that serves requests
	// last turned.
	LoopMilliseconds int
}
