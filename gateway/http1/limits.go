package http1

// Limits bounds a request head. They hold before the end of a line has arrived, so
// that an endless line costs no more memory than a long one.
type Limits struct {
	// RequestLine is the most bytes the request line may have, with its
	// CRLF; more is answered with 414. Zero means 8192.
	RequestLine int
	// HeaderBytes is the most bytes all field lines may have together, with
	// their CRLFs and the empty line at the end; more is answered with 431 (RFC
	// 6585 §5). Zero means 65536.
	HeaderBytes int
	// HeaderCount is the most field lines; more are answered with 431. Zero means 100.
	HeaderCount int
}

func (l *Limits) withDefaults() Limits {
	out := Limits{RequestLine: 8192, HeaderBytes: 65536, HeaderCount: 100}
	if l == nil {
		return out
	}
	if l.RequestLine > 0 {
		out.RequestLine = l.RequestLine
	}
	if l.HeaderBytes > 0 {
		out.HeaderBytes = l.HeaderBytes
	}
	if l.HeaderCount > 0 {
		out.HeaderCount = l.HeaderCount
	}
	return out
}

// Error is why a message from the client is refused. The client gets Status,
// and then the connection is closed: after a framing error nobody can tell where the next
// request starts (RFC 9112 §9.3).
type Error struct {
	Status int
	// Reason says what was wrong. It never holds bytes of the client's, so
	// it can be logged and sent as it is.
	Reason string
}

func (e *Error) Error() string { return "cannot accept the request: " + e.Reason }

func bad(reason string) *Error { return &Error{Status: 400, Reason: reason} }
