package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	stdfcgi "net/http/fcgi"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// run is the command, without its program.
func run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Command(context.Background(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func check(t *testing.T, what string, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: no %q in %.2000q", what, want, got)
	}
}

// TestCommand asks Go's own responder.
func TestCommand(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	long := strings.Repeat("v", 64<<10)
	go func() {
		_ = stdfcgi.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Method", r.Method)
			if r.URL.Path == "/long" {
				w.Header().Set("X-Long", long)
			}
			w.WriteHeader(404)
			fmt.Fprintf(w, "%s|%s|%s|%s", r.URL.RequestURI(), body, r.Header.Get("X-Sent"), stdfcgi.ProcessEnv(r)["OWN"])
		}))
	}()
	at := ln.Addr().String()
	code, out, errs := run("", at, "/a?b", "--header", "X-Sent: s", "--param=OWN=1")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	check(t, "head", out, "Status: 404\n")
	check(t, "head", out, "X-Method: GET\n")
	check(t, "body", out, "\n\n/a?b||s|1")
	check(t, "end", errs, "END_REQUEST: REQUEST_COMPLETE, appStatus 0; 9 bytes of body; ")
	if strings.Contains(errs, "note:") {
		t.Errorf("gofast disagrees: %s", errs)
	}
	_, out, _ = run("from stdin", at, "/", "--body", "-")
	check(t, "body", out, "X-Method: POST\n")
	check(t, "body", out, "/|from stdin||")
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 200_000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, out, errs = run("", "--method", "PUT", "--body="+file, at, "/")
	check(t, "body", out, "X-Method: PUT\n")
	check(t, "body", errs, "200004 bytes of body")
	code, out, errs = run("", at, "/long", "--timeout", "20s")
	if code != 0 || !strings.Contains(out, "X-Long: "+long+"\n") {
		t.Errorf("long line: exit code %d, %d bytes", code, len(out))
	}
	check(t, "long line", out, "\n\n/long|")
	check(t, "long line", errs, "note: gofast: header lines over 1,024 bytes")
}

// TestNoAnswer: what is no answer has exit code 1, and says why.
func TestNoAnswer(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	f := func(sent []byte, want string, args ...string) {
		t.Helper()
		ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = c.Write(sent)
			if len(args) == 0 {
				_ = c.(*net.UnixConn).CloseWrite()
			}
			_, _ = io.Copy(io.Discard, c)
		}()
		code, _, errs := run("", append([]string{"unix:" + ln.Addr().String(), "/"}, args...)...)
		if code != 1 {
			t.Errorf("exit code %d: %s", code, errs)
		}
		check(t, want, errs, want)
	}
	out := func(s string) []byte { return fcgi.AppendStream(nil, fcgi.TypeStdout, 1, []byte(s)) }
	end := func(app uint32, s fcgi.ProtocolStatus) []byte {
		return fcgi.AppendEndRequest(nil, 1, fcgi.EndRequest{AppStatus: app, ProtocolStatus: s})
	}
	f(nil, "the connection ended before END_REQUEST")
	f(out("X-A: b\r\n\r\nbody"), "the connection ended before END_REQUEST")
	f(end(0, fcgi.StatusOverloaded), "END_REQUEST says OVERLOADED")
	f(end(3, fcgi.StatusRequestComplete), "appStatus is 3")
	f([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "must be 1; check that the peer speaks FastCGI")
	f(append(out("no colon\r\n\r\n"), end(0, fcgi.StatusRequestComplete)...), "no colon")
	f(nil, "no END_REQUEST in time", "--timeout", "50ms")
	f(append(fcgi.AppendStream(nil, fcgi.TypeStderr, 1, []byte("PHP \"x\" \x1b[0m\nmore")), end(1, 0)...), `stderr: PHP "x" \x1b[0m`+"\nstderr: more\n")
	code, _, errs := run("", "unix:"+filepath.Join(t.TempDir(), "nobody"), "/")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	check(t, "nobody", errs, "cannot connect to the responder")
	for start := time.Now(); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), goroutines)
		}
	}
}

func TestArguments(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		code, _, errs := run("", args...)
		if code != 1 {
			t.Errorf("%q: exit code %d", args, code)
		}
		check(t, fmt.Sprint(args), errs, want)
	}
	f("expected ADDRESS and PATH")
	f("expected ADDRESS and PATH", "a:1")
	f("expected a path", "a:1", "b")
	f("unknown flag \"--bogus\"", "a:1", "/", "--bogus=1")
	f("a value is missing", "a:1", "/", "--param")
	f("expected NAME=VALUE", "a:1", "/", "--param", "x")
	f("expected NAME: VALUE", "a:1", "/", "--header", "x")
	f("expected a time", "a:1", "/", "--timeout", "soon")
	f("cannot read the body", "a:1", "/", "--body", "/nowhere/at/all")
	f("the port is missing", "a", "/")
	if code, out, _ := run("", "--help"); code != 0 || !strings.HasPrefix(out, "Usage:") {
		t.Errorf("help: %d %q", code, out)
	}
}
