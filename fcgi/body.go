package fcgi

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Role is what the gateway asks an application to be. FastCGI §5.1.
type Role uint16

// The roles of FastCGI §6.
const (
	RoleResponder  Role = 1
	RoleAuthorizer Role = 2
	RoleFilter     Role = 3
)

// BeginRequest is the body of BEGIN_REQUEST.
type BeginRequest struct {
	Role Role
	// KeepConn: FastCGI §5.1: "If zero, the application closes the connection
	// after responding to this request."
	KeepConn bool
}

const keepConn = 1 // FCGI_KEEP_CONN, the only flag of BEGIN_REQUEST

// fixedBodyLen is the length of the bodies of BEGIN_REQUEST, END_REQUEST and
// UNKNOWN_TYPE.
const fixedBodyLen = 8

// AppendBeginRequest appends a BEGIN_REQUEST record.
func AppendBeginRequest(dst []byte, id uint16, body BeginRequest) []byte {
	var flags byte
	if body.KeepConn {
		flags = keepConn
	}
	dst = AppendHeader(dst, TypeBeginRequest, 0, id, fixedBodyLen, 0)
	return append(dst, byte(body.Role>>8), byte(body.Role), flags, 0, 0, 0, 0, 0)
}

// DecodeBeginRequest decodes a BEGIN_REQUEST's content. It knows nothing about
// roles: an application answers one that it does not play with
// [StatusUnknownRole].
func DecodeBeginRequest(content []byte) (BeginRequest, error) {
	if err := checkLen(TypeBeginRequest, content, fixedBodyLen); err != nil {
		return BeginRequest{}, err
	}
	return BeginRequest{
		Role:     Role(binary.BigEndian.Uint16(content)),
		KeepConn: content[2]&keepConn != 0,
	}, nil
}

// ProtocolStatus is how the FastCGI side of a request ended. FastCGI §5.5.
type ProtocolStatus uint8

const (
	// StatusRequestComplete: "normal end of request".
	StatusRequestComplete ProtocolStatus = 0
	// StatusCantMpxConn: "rejecting a new request. This happens when a Web
	// server sends concurrent requests over one connection to an application
	// that is designed to process one request at a time per connection."
	StatusCantMpxConn ProtocolStatus = 1
	// StatusOverloaded: "rejecting a new request. This happens when the
	// application runs out of some resource, e.g. database connections."
	StatusOverloaded ProtocolStatus = 2
	// StatusUnknownRole: "rejecting a new request. This happens when the Web
	// server has specified a role that is unknown to the application."
	StatusUnknownRole ProtocolStatus = 3
)

// String returns the specification's name without its prefix, "OVERLOADED", or
// "protocol status 9".
func (s ProtocolStatus) String() string {
	switch s {
	case StatusRequestComplete:
		return "REQUEST_COMPLETE"
	case StatusCantMpxConn:
		return "CANT_MPX_CONN"
	case StatusOverloaded:
		return "OVERLOADED"
	case StatusUnknownRole:
		return "UNKNOWN_ROLE"
	}
	return "protocol status " + strconv.Itoa(int(s))
}

// EndRequest is the body of END_REQUEST.
type EndRequest struct {
	// AppStatus: FastCGI §5.5: "an application-level status code. Each role
	// documents its usage". A responder's is a CGI program's exit status.
	AppStatus      uint32
	ProtocolStatus ProtocolStatus
}

// AppendEndRequest appends an END_REQUEST record.
func AppendEndRequest(dst []byte, id uint16, body EndRequest) []byte {
	dst = AppendHeader(dst, TypeEndRequest, 0, id, fixedBodyLen, 0)
	dst = binary.BigEndian.AppendUint32(dst, body.AppStatus)
	return append(dst, byte(body.ProtocolStatus), 0, 0, 0)
}

// DecodeEndRequest decodes an END_REQUEST's content.
func DecodeEndRequest(content []byte) (EndRequest, error) {
	if err := checkLen(TypeEndRequest, content, fixedBodyLen); err != nil {
		return EndRequest{}, err
	}
	return EndRequest{
		AppStatus:      binary.BigEndian.Uint32(content),
		ProtocolStatus: ProtocolStatus(content[4]),
	}, nil
}

// AppendUnknownType appends the answer to a management record of a type that
// is not understood. FastCGI §4.2: "When the application receives a management
// record whose type T it does not understand, the application responds with
// {FCGI_UNKNOWN_TYPE, 0, {T}}."
func AppendUnknownType(dst []byte, typ Type) []byte {
	dst = AppendHeader(dst, TypeUnknownType, 0, ManagementID, fixedBodyLen, 0)
	return append(dst, byte(typ), 0, 0, 0, 0, 0, 0, 0)
}

// DecodeUnknownType decodes an UNKNOWN_TYPE's content: the type that the peer
// did not understand.
func DecodeUnknownType(content []byte) (Type, error) {
	if err := checkLen(TypeUnknownType, content, fixedBodyLen); err != nil {
		return 0, err
	}
	return Type(content[0]), nil
}

const windowLen = 4

// AppendWindow appends a WINDOW record: credit for that many more body bytes.
func AppendWindow(dst []byte, id uint16, credit uint32) []byte {
	dst = AppendHeader(dst, TypeWindow, 0, id, windowLen, 0)
	return binary.BigEndian.AppendUint32(dst, credit)
}

// DecodeWindow decodes a WINDOW's content, the credit in bytes.
func DecodeWindow(content []byte) (uint32, error) {
	if err := checkLen(TypeWindow, content, windowLen); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(content), nil
}

func checkLen(typ Type, content []byte, want int) error {
	if len(content) != want {
		return fmt.Errorf("cannot read %s record: content has %d bytes, must have %d", typ, len(content), want)
	}
	return nil
}

// Names of the variables that GET_VALUES asks for. FastCGI §4.1.
const (
	// VarMaxConns: "The maximum number of concurrent transport connections this
	// application will accept".
	VarMaxConns = "FCGI_MAX_CONNS"
	// VarMaxReqs: "The maximum number of concurrent requests this application
	// will accept".
	VarMaxReqs = "FCGI_MAX_REQS"
	// VarMpxsConns: "'0' if this application does not multiplex connections
	// (i.e. handle concurrent requests over each connection), '1' otherwise."
	VarMpxsConns = "FCGI_MPXS_CONNS"
	// VarProfile asks for profile pyspeed; the answer is its number, "1".
	VarProfile = "PYSPEED_PROFILE"
)

// Variable is a name-value pair of GET_VALUES_RESULT.
type Variable struct {
	Name, Value string
}

// AppendGetValues appends a GET_VALUES record that asks for the variables of
// those names. It fails when they do not fit into one record.
func AppendGetValues(dst []byte, names ...string) ([]byte, error) {
	vars := make([]Variable, len(names))
	for i, name := range names {
		// FastCGI §4.1: "The contentData portion of a FCGI_GET_VALUES record
		// contains a sequence of name-value pairs with empty values."
		vars[i].Name = name
	}
	return appendVariables(dst, TypeGetValues, vars)
}

// AppendGetValuesResult appends a GET_VALUES_RESULT record. It fails when the
// variables do not fit into one record.
func AppendGetValuesResult(dst []byte, vars ...Variable) ([]byte, error) {
	return appendVariables(dst, TypeGetValuesResult, vars)
}

func appendVariables(dst []byte, typ Type, vars []Variable) ([]byte, error) {
	var content []byte
	for _, v := range vars {
		var err error
		if content, err = AppendPair(content, v.Name, v.Value); err != nil {
			return dst, fmt.Errorf("cannot encode %s record: %w", typ, err)
		}
	}
	// A management record is not a stream, so it cannot span records.
	if len(content) > MaxContentLen {
		return dst, fmt.Errorf("cannot encode %s record: content has %d bytes, may have %d", typ, len(content), MaxContentLen)
	}
	return AppendRecord(dst, typ, 0, ManagementID, content), nil
}

// DecodeVariables decodes the content of GET_VALUES (the values are empty) or
// of GET_VALUES_RESULT. Variables that the peer does not know are missing, and
// the order means nothing. FastCGI §4.1: "If the application doesn't
// understand a particular variable name that was included in the query, it
// omits that name from the response."
func DecodeVariables(content []byte) ([]Variable, error) {
	var vars []Variable
	p := Pairs{Limit: MaxContentLen}
	if err := p.Feed(content); err != nil {
		return nil, err
	}
	for {
		name, value, ok, err := p.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return vars, p.End()
		}
		vars = append(vars, Variable{Name: string(name), Value: string(value)})
	}
}
