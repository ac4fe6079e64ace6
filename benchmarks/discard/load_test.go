//go:build linux

package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const size = 3 << 20 // more than one gulp

var body = bytes.Repeat([]byte("x"), size)

// answer is what a test's server does with its n-th request, counted from 1. False: enough.
type answer func(w http.ResponseWriter, n int64) bool

func whole(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.Itoa(size))
	_, _ = w.Write(body)
}

// raw writes an answer that net/http would not, and closes the connection.
func raw(t *testing.T, w http.ResponseWriter, text string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = c.Write([]byte(text))
	c.Close()
}

// loaded puts load on a server until that has enough, and then answers no more. So on one
// connection everything that was answered has been counted, and nothing else.
func loaded(t *testing.T, connections int, answer answer) *load {
	t.Helper()
	stop := make(chan os.Signal, 1)
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.RequestURI() != "/file?a=b" || r.Host == "" {
			t.Errorf("asked for %s %s of %q", r.Method, r.URL, r.Host)
		}
		if answer(w, n.Add(1)) {
			return
		}
		select {
		case stop <- os.Interrupt:
		default:
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	l := begin(t, server.Listener.Addr(), "-c", strconv.Itoa(connections))
	defer l.close()
	if err := l.run(stop); err != nil {
		t.Fatal(err)
	}
	return l
}

// begin makes a load of what a command line says.
func begin(t *testing.T, server net.Addr, args ...string) *load {
	t.Helper()
	args = append([]string{"-d", "5m", "-timeout", "1m"}, args...)
	opts, err := parse(append(args, "http://"+server.String()+"/file?a=b"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoad(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func check(t *testing.T, l *load, want counts) {
	t.Helper()
	got := l.counted
	got.Bytes = 0
	if got != want {
		t.Errorf("counted %+v, want %+v; the first error: %v", got, want, l.first)
	}
}

func TestWholeAnswers(t *testing.T) {
	l := loaded(t, 1, func(w http.ResponseWriter, n int64) bool {
		if n > 20 {
			return false
		}
		whole(w)
		return true
	})
	check(t, l, counts{Requests: 20})
	r := l.report()
	if r.Bytes <= 20*size || r.Bytes > 20*(size+headSize) {
		t.Errorf("%d bytes", r.Bytes)
	}
	if r.P50 == 0 || r.P50 > r.P90 || r.P90 > r.P99 || r.P99 > r.P999 || r.P999 > r.Max || r.Duration < int64(r.Max) {
		t.Errorf("%+v", r)
	}
}

func TestManyConnections(t *testing.T) {
	const connections, enough = 16, 100
	var begun atomic.Int64
	l := loaded(t, connections, func(w http.ResponseWriter, n int64) bool {
		begun.Store(n)
		if n > enough {
			return false
		}
		whole(w)
		return true
	})
	if n := l.counted.Requests; n <= enough-connections || n > enough || l.first != nil {
		t.Errorf("%+v of %d; %v", l.counted, begun.Load(), l.first)
	}
}

func TestWrongStatus(t *testing.T) {
	l := loaded(t, 1, func(w http.ResponseWriter, n int64) bool {
		switch {
		case n > 10:
			return false
		case n%2 == 0:
			http.Error(w, "no such file", http.StatusNotFound)
		default:
			whole(w)
		}
		return true
	})
	check(t, l, counts{Requests: 10, Status: 5})
}

func TestWrongLength(t *testing.T) {
	l := loaded(t, 1, func(w http.ResponseWriter, n int64) bool {
		switch n {
		case 1, 3:
			whole(w)
		case 2:
			_, _ = w.Write(body[:100])
		default:
			return false
		}
		return true
	})
	check(t, l, counts{Requests: 2, Read: 1})
}

// TestUnreadable: each of these is a read error, and the connection is opened anew.
func TestUnreadable(t *testing.T) {
	texts := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + "less than that",
		"HTTP/1.1 200 OK\r\nContent-Le",
		"",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nand more",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", headSize),
		"something else\r\n\r\n",
	}
	l := loaded(t, 1, func(w http.ResponseWriter, n int64) bool {
		switch at := int(n) - 2; {
		case at < 0 || at == len(texts):
			whole(w)
		case at < len(texts):
			raw(t, w, texts[at])
		default:
			return false
		}
		return true
	})
	check(t, l, counts{Requests: 2, Read: int64(len(texts))})
}

func TestServerCloses(t *testing.T) {
	l := loaded(t, 1, func(w http.ResponseWriter, n int64) bool {
		if n > 5 {
			return false
		}
		w.Header().Set("Connection", "close")
		whole(w)
		return true
	})
	check(t, l, counts{Requests: 5})
}

// TestCuts: an answer may come in any two pieces.
func TestCuts(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 10\r\n\r\n0123456789")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := begin(t, ln.Addr())
	defer l.close()
	c := &l.conns[0]
	next := func(events int16) {
		t.Helper()
		waited := []unix.PollFd{{Fd: int32(c.fd), Events: events}}
		if n, err := unix.Poll(waited, 60_000); n != 1 {
			t.Fatalf("nothing to do: %v", err)
		}
		l.handle(c, 0)
	}
	l.look(0)
	next(unix.POLLOUT)
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	request := make([]byte, len(l.request))
	for cut := 1; cut <= len(answer); cut++ {
		if _, err := io.ReadFull(server, request); err != nil || !bytes.Equal(request, l.request) {
			t.Fatalf("cut at %d: asked %q, %v", cut, request, err)
		}
		sent := l.counted.Bytes
		for _, piece := range [][]byte{answer[:cut], answer[cut:]} {
			if _, err := server.Write(piece); err != nil {
				t.Fatal(err)
			}
			for sent += int64(len(piece)); l.counted.Bytes < sent && l.first == nil; {
				next(unix.POLLIN)
			}
		}
		check(t, l, counts{Requests: int64(cut)})
	}
}

// TestOverdue: one error per request that is not answered in time; it is waited for all the same.
func TestOverdue(t *testing.T) {
	l := begin(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "-c", "2", "-timeout", "2s")
	defer l.close()
	for i := range l.conns {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.conns[i].fd = fd
	}
	l.conns[0].state, l.conns[0].asked = reading, time.Second
	l.conns[1].state, l.conns[1].asked = connecting, 2*time.Second
	l.look(3 * time.Second)
	check(t, l, counts{})
	l.look(3*time.Second + 1)
	l.look(3*time.Second + 2)
	check(t, l, counts{Timeout: 1})
	l.look(4*time.Second + 1)
	check(t, l, counts{Timeout: 1, Connect: 1})
	if l.conns[0].state != reading || l.conns[1].state != closed {
		t.Errorf("states %d and %d", l.conns[0].state, l.conns[1].state)
	}
}

func TestNobodyListens(t *testing.T) {
	// Bound, so that nobody else gets the port meanwhile, but not listening.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	nobody := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*unix.SockaddrInet4).Port}
	l := begin(t, nobody, "-d", "30ms")
	defer l.close()
	for deadline := time.Now().Add(time.Minute); l.counted.Connect == 0; {
		if err := l.run(nil); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", l.counted, err)
		}
		if l.took < l.duration {
			t.Fatalf("it ended after %v", l.took)
		}
	}
	if l.counted.Requests != 0 || l.latency.total != 0 {
		t.Errorf("%+v", l.counted)
	}
}

func TestCommandLine(t *testing.T) {
	o, err := parse([]string{"-c", "64", "-d", "1.5s", "-timeout", "3s", "http://127.0.0.1:8080/static/64k.bin"})
	want := options{64, 1500 * time.Millisecond, 3 * time.Second, netip.MustParseAddrPort("127.0.0.1:8080"), "/static/64k.bin"}
	if err != nil || o != want {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range []string{
		"", "-c 0 http://127.0.0.1:1/", "-d 0s http://127.0.0.1:1/", "-timeout -1s http://127.0.0.1:1/", "a b",
		"http://192.0.2.1:80/", "http://127.0.0.1/", "https://127.0.0.1:1/", "http://localhost:80/", "http://[::1]:80/", "%",
	} {
		if o, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q: %+v", args, o)
		}
	}
}
