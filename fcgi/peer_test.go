package fcgi_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	nethttpfcgi "net/http/fcgi"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// startResponder serves handler by net/http/fcgi, an implementation that is not
// ours, and returns a connection to it.
func startResponder(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "responder"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = nethttpfcgi.Serve(l, handler) // ends with the listener's error
	}()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// A responder that does not answer shall not hang the test.
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		_ = l.Close()
		<-served
	})
	return conn
}

// records reads conn record by record until f returns true.
func records(t *testing.T, conn net.Conn, f func(rec fcgi.Record) (done bool)) {
	t.Helper()
	var d fcgi.Decoder
	buf := make([]byte, fcgi.MaxRecordLen)
	w := 0
	for {
		r := 0
		for {
			n, rec, ok, err := d.Next(buf[r:w])
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			r += n
			if f(rec) {
				return
			}
		}
		w = copy(buf, buf[r:w])
		n, err := conn.Read(buf[w:])
		if err != nil {
			t.Fatalf("cannot read the responder's answer: %v", err)
		}
		w += n
	}
}

func appendRequest(t *testing.T, dst []byte, id uint16, uri string, body []byte, more ...pair) []byte {
	t.Helper()
	dst = fcgi.AppendBeginRequest(dst, id, fcgi.BeginRequest{Role: fcgi.RoleResponder, KeepConn: true})
	params := encodePairs(t, append([]pair{
		{"REQUEST_METHOD", "POST"},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"HTTP_HOST", "example.test"},
		{"REQUEST_URI", uri},
		{"CONTENT_LENGTH", fmt.Sprint(len(body))},
	}, more...))
	dst = fcgi.AppendStream(dst, fcgi.TypeParams, id, params)
	dst = fcgi.AppendStreamEnd(dst, fcgi.TypeParams, id)
	dst = fcgi.AppendStream(dst, fcgi.TypeStdin, id, body)
	return fcgi.AppendStreamEnd(dst, fcgi.TypeStdin, id)
}

// TestResponder sends requests that are under way together to net/http/fcgi and
// reads its answers.
func TestResponder(t *testing.T) {
	long := strings.Repeat("y", 70000)
	conn := startResponder(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("responder cannot read the body: %v", err)
		}
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("X-Long", r.Header.Get("X-Long"))
		w.WriteHeader(418)
		_, _ = w.Write(body)
	})

	const requests = 50
	bodies := make([][]byte, requests+1)
	go func() {
		for id := 1; id <= requests; id++ {
			req := appendRequest(t, nil, uint16(id), fmt.Sprintf("/%d%%ff", id), bytes.Repeat([]byte{byte(id)}, id*1500), pair{"HTTP_X_LONG", long})
			if _, err := conn.Write(req); err != nil {
				t.Errorf("cannot write request: %v", err)
				return
			}
		}
	}()

	heads := make([]fcgi.CGIHead, requests+1)
	ended := 0
	records(t, conn, func(rec fcgi.Record) bool {
		if rec.ID == 0 || rec.ID > requests {
			t.Fatalf("%s record of request %d", rec.Type, rec.ID)
		}
		switch rec.Type {
		case fcgi.TypeStdout:
			n, _, err := heads[rec.ID].Feed(rec.Content)
			if err != nil {
				t.Fatalf("request %d: %v", rec.ID, err)
			}
			bodies[rec.ID] = append(bodies[rec.ID], rec.Content[n:]...)
		case fcgi.TypeEndRequest:
			end, err := fcgi.DecodeEndRequest(rec.Content)
			if err != nil || end != (fcgi.EndRequest{}) {
				t.Errorf("request %d ends with %+v, error %v", rec.ID, end, err)
			}
			ended++
		default:
			t.Errorf("%s record with %d bytes", rec.Type, len(rec.Content))
		}
		return ended == requests
	})

	for id := 1; id <= requests; id++ {
		if got := heads[id].Status(); got != 418 {
			t.Errorf("request %d: status %d", id, got)
		}
		fields := map[string]string{}
		for name, value := range heads[id].Fields() {
			fields[string(name)] = string(value)
		}
		if want := fmt.Sprintf("/%d\xff", id); fields["X-Path"] != want || fields["X-Long"] != long {
			t.Errorf("request %d: path is %q, long field has %d bytes", id, fields["X-Path"], len(fields["X-Long"]))
		}
		if !bytes.Equal(bodies[id], bytes.Repeat([]byte{byte(id)}, id*1500)) {
			t.Errorf("request %d: body of %d bytes differs", id, len(bodies[id]))
		}
	}
}

// TestResponderManagement asks net/http/fcgi for its variables and for what it
// cannot know.
func TestResponderManagement(t *testing.T) {
	conn := startResponder(t, func(http.ResponseWriter, *http.Request) {})
	query, err := fcgi.AppendGetValues(nil, fcgi.VarMaxConns, fcgi.VarMpxsConns, fcgi.VarProfile)
	if err != nil {
		t.Fatal(err)
	}
	// It ignores unknown types under request id 0, so this one has a request.
	query = fcgi.AppendBeginRequest(query, 5, fcgi.BeginRequest{Role: fcgi.RoleResponder, KeepConn: true})
	query = fcgi.AppendRecord(query, 99, 0, 5, nil)
	if _, err := conn.Write(query); err != nil {
		t.Fatal(err)
	}
	var got []fcgi.Variable
	records(t, conn, func(rec fcgi.Record) bool {
		if rec.ID != fcgi.ManagementID {
			t.Errorf("%s record has id %d", rec.Type, rec.ID)
		}
		switch rec.Type {
		case fcgi.TypeGetValuesResult:
			// It ends its answer with an empty record, as if it were a stream.
			vars, err := fcgi.DecodeVariables(rec.Content)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, vars...)
			return false
		case fcgi.TypeUnknownType:
			if typ, err := fcgi.DecodeUnknownType(rec.Content); err != nil || typ != 99 {
				t.Errorf("%s is not understood, error %v", typ, err)
			}
		default:
			t.Errorf("%s record", rec.Type)
		}
		return true
	})
	if want := []fcgi.Variable{{Name: fcgi.VarMpxsConns, Value: "1"}}; !slices.Equal(got, want) {
		t.Errorf("got variables %v, want %v", got, want)
	}
}

// TestResponderRole: a role that net/http/fcgi does not play.
func TestResponderRole(t *testing.T) {
	conn := startResponder(t, func(http.ResponseWriter, *http.Request) {})
	begin := fcgi.AppendBeginRequest(nil, 3, fcgi.BeginRequest{Role: fcgi.RoleFilter, KeepConn: true})
	if _, err := conn.Write(begin); err != nil {
		t.Fatal(err)
	}
	records(t, conn, func(rec fcgi.Record) bool {
		end, err := fcgi.DecodeEndRequest(rec.Content)
		if err != nil || rec.Type != fcgi.TypeEndRequest || rec.ID != 3 || end.ProtocolStatus != fcgi.StatusUnknownRole {
			t.Errorf("got %s of request %d: %+v, error %v", rec.Type, rec.ID, end, err)
		}
		return true
	})
}
