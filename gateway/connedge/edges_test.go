package connedge_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestKeepAliveAndClose(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		c := r.dial()
		for i := range 50 {
			target := fmt.Sprintf("/%s/%d", []string{"now", "later"}[i%2], i)
			c.send(request("GET", target, "", ""))
			if body, persists := c.receive("GET", target); string(body) != target || !persists {
				t.Errorf("%s: got %q, persists: %v", target, body, persists)
			}
		}
		c.send(request("GET", "/later/last", "Connection: close\r\n", ""))
		if _, persists := c.receive("GET", "/later/last"); persists {
			t.Error("the last answer does not say close")
		}
		c.ends()
		_ = c.Close()
	})
}

func TestPipelining(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		for _, kind := range []string{"now", "later"} {
			c := r.dial()
			var all strings.Builder
			for i := range 1000 {
				all.WriteString(request("GET", fmt.Sprintf("/%s/%d", kind, i), "", ""))
			}
			c.send(all.String())
			for i := range 1000 {
				target := fmt.Sprintf("/%s/%d", kind, i)
				if body, _ := c.receive("GET", target); string(body) != target {
					t.Fatalf("%s: got %q", target, body)
				}
			}
			_ = c.Close()
		}
	})
}

func TestLargeAnswerAndClose(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		const size = 3 << 20
		target := fmt.Sprintf("/stream/%d", size)
		for _, method := range []string{"GET", "HEAD"} {
			c := r.dial()
			c.send(request(method, target, "Connection: close\r\n", ""))
			body, _ := c.receive(method, target)
			if want := pattern(target, size); method == "GET" && !bytes.Equal(body, want) {
				t.Errorf("got %d bytes", len(body))
			}
			c.ends()
			_ = c.Close()
		}
	})
}

// TestPipe: what a responder has in a pipe arrives whole and in order; the edges that can take it from there.
func TestPipe(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		const size = 3 << 20
		target := fmt.Sprintf("/pipe/%d", size)
		c := r.dial()
		for range 3 {
			c.send(request("GET", target, "", ""))
			if body, _ := c.receive("GET", target); !bytes.Equal(body, pattern(target, size)) {
				t.Errorf("got %d bytes", len(body))
			}
		}
		c.send(request("HEAD", target, "Connection: close\r\n", ""))
		c.receive("HEAD", target)
		c.ends()
		_ = c.Close()
		if piped := r.app.piped.Load(); strings.Contains(r.t.Name(), "netpoll") != (piped > size) {
			t.Errorf("%d bytes went through pipes", piped)
		}
	})
}

func TestUpload(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		c := r.dial()
		body := string(pattern("upload", 1<<20))
		for i := range 3 {
			target := fmt.Sprintf("/echo/%d", i)
			c.send(request("POST", target, fmt.Sprintf("Content-Length: %d\r\n", len(body)), body))
			if got, _ := c.receive("POST", target); string(got) != body {
				t.Errorf("got %d bytes back of %d", len(got), len(body))
			}
		}
		_ = c.Close()
	})
}

// The client leaves before, in and after an answer.
func TestClientLeaves(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		for _, text := range []string{
			request("GET", "/never", "", ""),
			request("POST", "/echo", "Content-Length: 10\r\n", "12345"),
			request("GET", "/stream/100000000", "", ""),
		} {
			before := r.app.cancelled.Load()
			c := r.dial()
			c.send(text)
			began := r.app.began.Load
			await(t, "nothing began", func() bool { return began() > before }, func() string { return text })
			_ = c.Close()
			await(t, "the application was not told", func() bool { return r.app.cancelled.Load() == before+1 }, func() string { return text })
		}
		c := r.dial()
		c.send("GET /unfinished HTTP/1.1\r\n")
		_ = c.Close()
		await(t, "connections are left", func() bool { return r.registry.Len() == 0 }, func() string { return "" })
	})
}

func TestTooManyConnections(t *testing.T) {
	for name := range edges {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, "tcp", 1)
			first := r.dial()
			first.send(request("GET", "/now/1", "", ""))
			first.receive("GET", "/now/1")
			c := r.dial()
			if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503 ") {
				t.Errorf("got %q, %v", got, err)
			}
			_ = c.Close()
			first.send(request("GET", "/now/2", "", ""))
			first.receive("GET", "/now/2")
			_ = first.Close()
		})
	}
}

// Stop ends accepting, and nothing else: not the connections there are, and not the socket for others
// that have it.
func TestStop(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		file, err := r.ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		heir, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		if u, ok := r.ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		old := r.dial()
		old.send(request("GET", "/now/1", "", ""))
		old.receive("GET", "/now/1")
		r.edge.Stop()
		r.edge.Stop()
		if err := <-r.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		r.served <- nil
		old.send(request("GET", "/later/2", "", ""))
		old.receive("GET", "/later/2")
		// Who has the socket too still gets who connects.
		fresh := r.dial()
		c, err := heir.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = fresh.Close()
		_ = heir.Close()
		if c, err := net.Dial(r.ln.Addr().Network(), r.ln.Addr().String()); err == nil {
			_ = c.Close()
			t.Error("connected although nobody listens")
		}
		gone := r.registry.Shutdown()
		old.ends()
		_ = old.Close()
		<-gone
	})
}

func TestCloseWithoutServe(t *testing.T) {
	for name, make := range edges {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, "tcp", 1)
			before := leaks()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			e, err := make(ln, nil, r.registry, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.Close()
			if err := e.Serve(); err != nil {
				t.Errorf("Serve after Close: %v", err)
			}
			await(t, "goroutines and descriptors are left", func() bool { now := leaks(); return now.fds <= before.fds && now.goroutines <= before.goroutines },
				func() string { return fmt.Sprintf("before %+v, now %+v", before, leaks()) })
		})
	}
}

// Everything at once: clients that pipeline, stream slowly, upload and leave. No answer may be another's.
func TestStress(t *testing.T) {
	onEveryEdge(t, func(r *rig) {
		const rounds = 40
		var clients sync.WaitGroup
		for i := range 6 {
			clients.Go(func() { pipeliner(r, i, rounds) })
			clients.Go(func() { leaver(r, i, rounds) })
		}
		for i := range 3 {
			clients.Go(func() { slow(r, i, rounds/8) })
			clients.Go(func() { uploader(r, i, rounds/4) })
		}
		clients.Wait()
		await(t, "connections are left", func() bool { return r.registry.Len() == 0 }, func() string { return fmt.Sprint(r.registry.Len()) + stacks() })
	})
}

// pipeliner sends requests of all kinds, cut anywhere, and reads their answers in order.
func pipeliner(r *rig, id, rounds int) {
	rnd := rand.New(rand.NewPCG(uint64(id), 1))
	for round := range rounds {
		c := r.dial()
		var all strings.Builder
		var targets, methods []string
		for n := range 1 + rnd.IntN(40) {
			kind := []string{"now", "later", fmt.Sprintf("stream/%d", rnd.IntN(5000)), fmt.Sprintf("pipe/%d", rnd.IntN(5000)), "echo"}[rnd.IntN(5)]
			target := fmt.Sprintf("/%s/pipeliner-%d-%d-%d", kind, id, round, n)
			method := "GET"
			if kind == "echo" {
				method = "POST"
				all.WriteString(request(method, target, fmt.Sprintf("Content-Length: %d\r\n", len(target)), target))
			} else {
				all.WriteString(request(method, target, "", ""))
			}
			targets, methods = append(targets, target), append(methods, method)
		}
		text := all.String()
		go func() {
			for len(text) > 0 {
				n := min(len(text), 1+rnd.IntN(2000))
				if _, err := io.WriteString(c.Conn, text[:n]); err != nil {
					r.t.Errorf("cannot send: %v", err)
					return
				}
				text = text[n:]
			}
		}()
		for i, target := range targets {
			body, _ := c.receive(methods[i], target)
			want := []byte(target)
			if strings.HasPrefix(target, "/stream/") || strings.HasPrefix(target, "/pipe/") {
				n, _ := strconv.Atoi(strings.Split(target, "/")[2])
				want = pattern(target, n)
			}
			if !bytes.Equal(body, want) {
				r.t.Errorf("%s: got %d bytes, want %d", target, len(body), len(want))
			}
		}
		_ = c.Close()
	}
}

// leaver goes away in the middle of something.
func leaver(r *rig, id, rounds int) {
	rnd := rand.New(rand.NewPCG(uint64(id), 2))
	for range rounds {
		c := r.dial()
		kinds := []string{
			request("GET", "/now/leaver", "", ""), request("GET", "/later/leaver", "", ""), request("GET", "/stream/500000/leaver", "", ""), request("GET", "/pipe/500000/leaver", "", ""),
			request("POST", "/echo/leaver", "Content-Length: 30000\r\n", string(pattern("leaver", 30000))), request("GET", "/never/leaver", "", ""),
		}
		first := rnd.IntN(len(kinds))
		text := kinds[first]
		for range rnd.IntN(5) {
			text += kinds[rnd.IntN(len(kinds))]
		}
		n := 1 + rnd.IntN(len(text))
		c.send(text[:n])
		if n >= len(kinds[first]) && first != len(kinds)-1 {
			_, _ = c.r.Peek(1 + rnd.IntN(100)) // an answer has begun
		}
		if tcp, ok := c.Conn.(*net.TCPConn); ok && rnd.IntN(2) == 0 {
			_ = tcp.SetLinger(0) // leaves with a reset
		}
		_ = c.Close()
	}
}

// slow takes a large answer in small parts, through small buffers.
func slow(r *rig, id, rounds int) {
	for round := range rounds {
		c := r.dial()
		if raw, err := c.Conn.(syscall.Conn).SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 128<<10) })
		}
		target := fmt.Sprintf("/%s/400000/slow-%d-%d", []string{"stream", "pipe"}[round%2], id, round)
		next := fmt.Sprintf("/later/slow-%d-%d", id, round)
		c.send(request("GET", target, "", "") + request("GET", next, "Connection: close\r\n", ""))
		if body, _ := c.receive("GET", target); !bytes.Equal(body, pattern(target, 400000)) {
			r.t.Errorf("%s: got %d bytes", target, len(body))
		}
		c.receive("GET", next)
		c.ends()
		_ = c.Close()
	}
}

// uploader sends bodies in chunks and in one.
func uploader(r *rig, id, rounds int) {
	c := r.dial()
	for round := range rounds {
		target := fmt.Sprintf("/echo/uploader-%d-%d", id, round)
		body := string(pattern(target, 150_000))
		if round%2 == 0 {
			c.send(request("POST", target, fmt.Sprintf("Content-Length: %d\r\n", len(body)), body))
		} else {
			var chunks strings.Builder
			for rest := body; len(rest) > 0; {
				n := min(len(rest), 7000)
				fmt.Fprintf(&chunks, "%x\r\n%s\r\n", n, rest[:n])
				rest = rest[n:]
			}
			c.send(request("POST", target, "Transfer-Encoding: chunked\r\n", chunks.String()+"0\r\n\r\n"))
		}
		if got, _ := c.receive("POST", target); string(got) != body {
			r.t.Errorf("%s: got %d bytes back of %d", target, len(got), len(body))
		}
	}
	_ = c.Close()
}
