package ctl

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pyspeed/internal/logfile"
)

// serve runs a server with these commands until the test's end and returns its socket's path.
func serve(t *testing.T, commands map[string]Command) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ctl.sock")
	socket, err := Listen(path, logfile.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Commands: commands, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx, socket) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Error("Serve does not end")
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket after the end: %v", err)
		}
	})
	return path
}

func nothing(string) {}

func TestAsk(t *testing.T) {
	path := serve(t, map[string]Command{
		"echo": func(_ context.Context, r Request, progress func(string)) (any, error) {
			progress("half")
			progress("nearly")
			return &Killed{Worker: r.Worker, PID: r.Count}, nil
		},
		"fail": func(context.Context, Request, func(string)) (any, error) {
			return nil, &Failure{Err: errors.New("no such thing"), Traceback: "Traceback:\n  here\n"}
		},
		"large": func(context.Context, Request, func(string)) (any, error) {
			return strings.Repeat("x", mostAnswer/2), nil
		},
		"none": func(context.Context, Request, func(string)) (any, error) { return nil, nil },
		"bad":  func(context.Context, Request, func(string)) (any, error) { return func() {}, nil },
	})
	var heard []string
	a, err := Ask(t.Context(), path, Request{Command: "echo", Worker: "2", Count: 7}, func(text string) { heard = append(heard, text) })
	if err != nil || !a.OK || string(a.Result) != `{"worker":"2","pid":7}` || strings.Join(heard, " ") != "half nearly" {
		t.Errorf("echo: %v, %v, after %q", a, err, heard)
	}
	if a, err := Ask(t.Context(), path, Request{Command: "fail"}, nothing); err != nil || a.OK || a.Error != "no such thing" || a.Traceback != "Traceback:\n  here\n" {
		t.Errorf("fail: %v, %v", a, err)
	}
	if a, err := Ask(t.Context(), path, Request{Command: "large"}, nothing); err != nil || len(a.Result) != mostAnswer/2+2 {
		t.Errorf("large: %v", err)
	}
	if a, err := Ask(t.Context(), path, Request{Command: "none"}, nothing); err != nil || !a.OK || a.Result != nil {
		t.Errorf("none: %v, %v", a, err)
	}
	if a, err := Ask(t.Context(), path, Request{Command: "bad"}, nothing); err != nil || a.OK || a.Error == "" {
		t.Errorf("bad: %v, %v", a, err)
	}
	if a, err := Ask(t.Context(), path, Request{Command: "unheard"}, nothing); err != nil || a.OK || !strings.Contains(a.Error, `does not know the command "unheard"`) {
		t.Errorf("unheard: %v, %v", a, err)
	}
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBadClients: what is no request is refused, and who says nothing is let go, while others are answered.
func TestBadClients(t *testing.T) {
	path := serve(t, map[string]Command{"ok": func(context.Context, Request, func(string)) (any, error) { return 1, nil }})
	f := func(send, want string) {
		t.Helper()
		c := dial(t, path)
		_, _ = io.WriteString(c, send) // it may be refused before it has all
		got, _ := io.ReadAll(c)        // reset, if it had sent more
		if !strings.Contains(string(got), want) {
			t.Errorf("%.40q got %q", send, got)
		}
	}
	silent := dial(t, path)
	f("GET / HTTP/1.1\r\n\r\n", "cannot understand the request")
	f("{}\n", "names no command")
	f(strings.Repeat("x", 2*mostRequest), "more than 4096 bytes")
	f(`{"command":"ok"}`+"\n", `{"ok":true,"result":1}`)
	f(`{"command":"ok"}`+"\n"+`{"command":"ok"}`+"\n", `{"ok":true,"result":1}`)
	half := dial(t, path)
	if _, err := io.WriteString(half, `{"command":`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{silent, half} {
		if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "cannot read the request") {
			t.Errorf("who sent no request got %q, %v", got, err)
		}
	}
}

// TestTooMany: more connections than may be are refused at once, and there is room again when one ends.
func TestTooMany(t *testing.T) {
	release := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(mostConnections)
	path := serve(t, map[string]Command{
		"wait": func(context.Context, Request, func(string)) (any, error) { begun.Done(); <-release; return nil, nil },
		"ok":   func(context.Context, Request, func(string)) (any, error) { return nil, nil },
	})
	var all sync.WaitGroup
	for range mostConnections {
		all.Go(func() {
			if a, err := Ask(t.Context(), path, Request{Command: "wait"}, nothing); err != nil || !a.OK {
				t.Errorf("%v, %v", a, err)
			}
		})
	}
	begun.Wait()
	for range 3 {
		if a, err := Ask(t.Context(), path, Request{Command: "ok"}, nothing); err != nil || a.OK || !strings.Contains(a.Error, "16 commands run already") {
			t.Errorf("one too many: %v, %v", a, err)
		}
	}
	close(release)
	all.Wait()
	end := time.Now().Add(time.Minute)
	for {
		a, err := Ask(t.Context(), path, Request{Command: "ok"}, nothing)
		if err != nil {
			t.Fatal(err)
		}
		if a.OK {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no room: %v", a)
		}
	}
}

// TestClientLeaves: its command is told, as it is when the server stops.
func TestClientLeaves(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{}, 1)
	path := serve(t, map[string]Command{"wait": func(ctx context.Context, _ Request, _ func(string)) (any, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	}})
	ctx, leave := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		if a, err := Ask(ctx, path, Request{Command: "wait"}, nothing); err == nil {
			t.Errorf("who left got %v", a)
		}
	})
	<-begun
	leave()
	<-ended
	asking.Wait()
	asking.Go(func() { _, _ = Ask(t.Context(), path, Request{Command: "wait"}, nothing) })
	<-begun // the server's end, at the test's, ends this one
	t.Cleanup(asking.Wait)
}

// TestSlowReader: a client that takes nothing is let go, and its command is told.
func TestSlowReader(t *testing.T) {
	var lines atomic.Int64
	gone := make(chan struct{})
	path := serve(t, map[string]Command{"talk": func(ctx context.Context, _ Request, progress func(string)) (any, error) {
		for ctx.Err() == nil {
			progress(strings.Repeat("x", 10_000))
			lines.Add(1)
		}
		close(gone)
		return nil, nil
	}})
	c := dial(t, path)
	if _, err := io.WriteString(c, `{"command":"talk"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Fatal("it talks on")
	}
	if n := lines.Load(); n > 10_000 {
		t.Errorf("%d lines went nowhere", n)
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ctl.sock")
	before := syscall.Umask(0)
	s, err := Listen(path, logfile.Owner{})
	syscall.Umask(before)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, logfile.Owner{}); err == nil || !strings.Contains(err.Error(), "another gateway listens there") {
		t.Errorf("a second gateway: %v", err)
	}
	// What a killed gateway leaves behind.
	stale := filepath.Join(dir, "stale.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	second, err := Listen(stale, logfile.Owner{})
	if err != nil {
		t.Fatalf("in place of a stale one: %v", err)
	}
	// Another one took its place, as after a mistaken rm.
	if err := os.Remove(stale); err != nil {
		t.Fatal(err)
	}
	third, err := Listen(stale, logfile.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if _, err := os.Lstat(stale); err != nil {
		t.Errorf("another's socket was removed: %v", err)
	}
	third.Close()
	s.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	f := func(path, want string) {
		t.Helper()
		if _, err := Listen(path, logfile.Owner{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(file, "is not a socket")
	if b, err := os.ReadFile(file); err != nil || string(b) != "kept" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	f(filepath.Join(dir, "no", "such"), "no such file")
	f(filepath.Join(dir, strings.Repeat("x", 120)), "--control")
}

// TestMode: there is no moment at which others may connect.
func TestMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ctl.sock")
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	var over atomic.Bool
	var looking sync.WaitGroup
	var seen atomic.Int64
	looking.Go(func() {
		for !over.Load() {
			if info, err := os.Lstat(path); err == nil {
				seen.Add(1)
				if info.Mode().Perm() != 0o600 {
					t.Errorf("mode %v", info.Mode())
					return
				}
			}
		}
	})
	for i := 0; i < 200 || seen.Load() == 0 && !t.Failed(); i++ {
		s, err := Listen(path, logfile.Owner{})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	over.Store(true)
	looking.Wait()
}

// TestRace: of gateways that find the same stale socket one gets it.
func TestRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctl.sock")
	for range 20 {
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false)
		_ = ln.Close()
		sockets := make(chan *Socket, 8)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if s, err := Listen(path, logfile.Owner{}); err == nil {
					sockets <- s
				}
			})
		}
		all.Wait()
		close(sockets)
		n := 0
		for s := range sockets {
			n++
			if c, err := net.Dial("unix", path); err != nil {
				t.Errorf("nobody listens: %v", err)
			} else {
				_ = c.Close()
			}
			s.Close()
		}
		if n != 1 {
			t.Fatalf("%d gateways have the socket", n)
		}
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	f := func(path, want string) {
		t.Helper()
		_, err := Ask(t.Context(), path, Request{Command: "status"}, nothing)
		if err == nil || !strings.HasPrefix(err.Error(), "cannot reach a gateway at "+path) || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	f(filepath.Join(dir, "none"), "is it running?")
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	f(stale, "the gateway that made the socket is gone")
	f(filepath.Join(dir, strings.Repeat("x", 200)), "may have 107")
}

// TestNoAnswer: a gateway that ends in the middle is said to.
func TestNoAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	say := make(chan string, 1)
	go func() {
		for text := range say {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1000))
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	defer close(say)
	for text, want := range map[string]string{
		"":                             "closed the connection",
		`{"ok":tr`:                     "closed the connection",
		`{"progress":"on"}` + "\n":     "closed the connection",
		"SSH-2.0-OpenSSH\n":            "cannot understand",
		strings.Repeat("x", 5_000_000): "more than",
	} {
		say <- text
		if _, err := Ask(t.Context(), path, Request{Command: "status"}, nothing); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}
