package static

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyspeed/gateway/exchange"
)

// pipeEdge is an edge whose client takes from pipes, each time at most so many bytes; none: only when the test says so.
type pipeEdge struct {
	*edge
	t     testing.TB
	most  int
	moved int // bytes that came through pipes
	turns int
}

func (e *pipeEdge) BodyPipe(pipe, n int) (int, bool) {
	if n == 0 {
		return 0, true
	}
	e.mu.Lock()
	most := e.most
	e.mu.Unlock()
	b := make([]byte, min(n, most))
	for at := 0; at < len(b); {
		got, err := unix.Read(pipe, b[at:])
		if err != nil {
			e.t.Errorf("the pipe has %d bytes of %d: %v", at, n, err)
			return at, true
		}
		at += got
	}
	e.mu.Lock()
	e.body = append(e.body, b...)
	e.moved += len(b)
	e.turns++
	source := e.x.Source
	e.mu.Unlock()
	if len(b) < n && most > 0 {
		go source.Drained(0)
	}
	return len(b), true
}

func startPiped(s *site, most int, path string, lines ...string) *pipeEdge {
	s.t.Helper()
	x := &exchange.Exchange{}
	e := &pipeEdge{edge: &edge{x: x, ended: make(chan struct{})}, t: s.t, most: most}
	x.Writer = e
	x.Request.Method, x.Request.RawPath, x.Request.Path = []byte("GET"), []byte(path), []byte(path)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		x.Request.Fields = append(x.Request.Fields, field(name, value))
	}
	s.r.Respond(x)
	return e
}

// TestPiped: a large file goes through pipes, whole and in ranges, whatever the client takes of it at once; its body is not
// kept, and no descriptor is left open.
func TestPiped(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	body := make([]byte, 3<<20+random.IntN(10_000))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	s := newSite(t, map[string]string{"big.bin": string(body)}, nil)
	s.kept("/static/big.bin")
	open := descriptors(t)
	for _, most := range []int{1 << 30, 300_000, 99_999} {
		for range 3 {
			e := startPiped(s, most, "/static/big.bin")
			if e.wait(t); string(e.body) != string(body) || e.cut || e.moved != len(body) {
				t.Errorf("at most %d: %d bytes, %d of them through pipes, cut %v", most, len(e.body), e.moved, e.cut)
			}
			if turns := len(body)/min(most, mostMoved) + 10; e.turns > turns {
				t.Errorf("at most %d: %d turns, where %d are many", most, e.turns, turns)
			}
		}
		from := random.IntN(1 << 20)
		e := startPiped(s, most, "/static/big.bin", fmt.Sprintf("Range: bytes=%d-%d", from, from+2<<20-1))
		if e.wait(t); string(e.body) != string(body[from:from+2<<20]) || e.status != 206 || e.moved != 2<<20 {
			t.Errorf("at most %d: %d, %d bytes from %d, %d of them through pipes", most, e.status, len(e.body), from, e.moved)
		}
		e = startPiped(s, most, "/static/big.bin", "Range: bytes=0-1199999, 1500000-1500009, 1600000-")
		e.wait(t)
		for _, part := range []string{string(body[:1_200_000]), string(body[1_500_000:1_500_010]), string(body[1_600_000:])} {
			if !strings.Contains(string(e.body), "\r\n\r\n"+part+"\r\n--") {
				t.Errorf("at most %d: a part of %d bytes is missing or in others' place", most, len(part))
			}
		}
		if want := 1_200_000 + len(body) - 1_600_000; e.moved != want {
			t.Errorf("at most %d: %d bytes through pipes, want %d", most, e.moved, want)
		}
	}
	if v := s.set.kept([]byte("/static/big.bin")).variants[identity].Load(); v.body != nil {
		t.Error("it is in memory too")
	}
	until(t, "pipes are open that nobody needs", func() bool { return descriptors(t) <= open+2*idlePipes })
	s.set.pipes.close()
	until(t, "descriptors are open", func() bool { return descriptors(t) <= open })
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestPipedEnds: a client that leaves, and a file that becomes shorter, while a part of it is on its way.
func TestPipedEnds(t *testing.T) {
	s := newSite(t, map[string]string{"big.bin": text(3 << 20)}, nil)
	s.kept("/static/big.bin")
	e := startPiped(s, 0, "/static/big.bin")
	e.x.Source.Cancelled()
	if e.wait(t); !e.cut || len(e.body) > 0 {
		t.Errorf("cut %v, %d bytes", e.cut, len(e.body))
	}
	e = startPiped(s, 0, "/static/big.bin")
	until(t, "it has not begun", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.turns > 0
	})
	if err := os.Truncate(filepath.Join(s.root, "big.bin"), 1000); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	e.most = 1 << 30
	e.mu.Unlock()
	e.x.Source.Drained(0)
	if e.wait(t); !e.cut {
		t.Error("what is missing looks complete")
	}
}

// TestNoPipe: where there is no pipe to be had, be it in the middle of a file, and for a Writer that takes none, files are copied.
func TestNoPipe(t *testing.T) {
	body := text(3 << 20)
	s := newSite(t, map[string]string{"big.bin": body}, nil)
	s.kept("/static/big.bin")
	if e := s.get("/static/big.bin"); string(e.body) != body {
		t.Errorf("%d bytes to a Writer that takes no pipes", len(e.body))
	}
	e := startPiped(s, 0, "/static/big.bin")
	until(t, "it has not begun", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.turns > 0
	})
	s.set.pipes.close()
	limit := withoutDescriptors(t)
	e.mu.Lock()
	e.most = 1000 // the pipe is not empty, so that it is closed, and another one is wanted
	e.mu.Unlock()
	e.x.Source.Drained(0)
	e.wait(t)
	limit()
	if string(e.body) != body || e.cut || e.moved > mostMoved {
		t.Errorf("%d bytes, %d of them by pipes, cut %v", len(e.body), e.moved, e.cut)
	}
}

// withoutDescriptors lets nobody open a file until the function that it returns is called.
func withoutDescriptors(t *testing.T) func() {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := before
	low.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for a condition, which nobody reports, with a deadline: the pauses between two looks are no part of any test.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
