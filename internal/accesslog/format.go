package accesslog

import (
	"strconv"
	"time"
	"unicode/utf8"

	"pyspeed/gateway/exchange"
)

// appendCombined appends host - - [time] "request" status bytes "referer" "user-agent".
func appendCombined(b []byte, x *exchange.Exchange, stamp []byte, _ time.Duration) []byte {
	r := &x.Request
	b = appendOr(b, x.Peer.RemoteAddr)
	b = append(b, " - - ["...)
	b = append(b, stamp...)
	b = append(b, `] "`...)
	b = appendRequest(b, r)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(status(x)), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, x.BytesOut, 10)
	b = append(b, ` "`...)
	b = appendValue(b, r.Get("referer"))
	b = append(b, `" "`...)
	b = appendValue(b, r.Get("user-agent"))
	return append(b, "\"\n"...)
}

func appendOr(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return append(b, s...)
}

func appendValue(b, v []byte) []byte {
	if len(v) == 0 {
		return append(b, '-')
	}
	return appendEscaped(b, v)
}

func appendRequest(b []byte, r *exchange.Request) []byte {
	if len(r.Method) == 0 {
		return append(b, '-') // refused before it could be read
	}
	b = appendEscaped(b, r.Method)
	b = append(b, ' ')
	b = appendEscaped(b, r.Target)
	b = append(b, " HTTP/1."...)
	return append(b, '0'+r.Minor)
}

// status is what the client got; 499 if it left before that, as nginx has it.
func status(x *exchange.Exchange) int {
	if x.Status == 0 {
		return 499
	}
	return x.Status
}

const hex = "0123456789abcdef"

// appendEscaped keeps a line a line and a field a field: what is not printable ASCII, the
// quote and the backslash become \xNN, so that a client cannot forge entries or
// send commands to the terminal of who reads them.
func appendEscaped(b, v []byte) []byte {
	for _, c := range v {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
			continue
		}
		b = append(b, c)
	}
	return b
}

// appendJSON appends an object: times in milliseconds, queue_ms until a worker was given
// the request.
func appendJSON(b []byte, x *exchange.Exchange, _ []byte, took time.Duration) []byte {
	r := &x.Request
	b = append(b, `{"time":"`...)
	b = time.Now().UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","remote":`...)
	b = appendString(b, []byte(x.Peer.RemoteAddr))
	b = append(b, `,"method":`...)
	b = appendString(b, r.Method)
	b = append(b, `,"target":`...)
	b = appendString(b, r.Target)
	b = append(b, `,"host":`...)
	b = appendString(b, r.Authority)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status(x)), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, x.BytesOut, 10)
	b = append(b, `,"duration_ms":`...)
	b = appendMilliseconds(b, took)
	if x.Dispatched != 0 {
		b = append(b, `,"queue_ms":`...)
		b = appendMilliseconds(b, x.Dispatched-x.Accepted)
		b = append(b, `,"worker":`...)
		b = appendString(b, []byte(x.Worker))
	}
	b = append(b, `,"referer":`...)
	b = appendString(b, r.Get("referer"))
	b = append(b, `,"user_agent":`...)
	b = appendString(b, r.Get("user-agent"))
	return append(b, "}\n"...)
}

func appendMilliseconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(max(d, 0).Microseconds())/1000, 'f', 3, 64)
}

// appendString appends a JSON string (RFC 8259 §7); bytes that are not UTF-8 become U+FFFD.
func appendString(b, v []byte) []byte {
	b = append(b, '"')
	for len(v) > 0 {
		c, size := utf8.DecodeRune(v)
		switch {
		case c == utf8.RuneError && size == 1:
			b = append(b, "\uFFFD"...)
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, v[:size]...)
		}
		v = v[size:]
	}
	return append(b, '"')
}
