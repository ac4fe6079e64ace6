package http1

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// pipeTransport is a fakeTransport that can splice; the pipe is a field of it, not a descriptor.
type pipeTransport struct {
	fakeTransport
	pipe    []byte
	splices int
}

func (f *pipeTransport) Splice(_, n int) (int, error) {
	f.splices++
	n, err := f.Write(f.pipe[:min(n, len(f.pipe))], nil)
	f.pipe = f.pipe[n:]
	return n, err
}

// pipeRig is a rig whose transport can splice. Its responder announces a body of that length and sends no more of it than what
// the test has it send.
func pipeRig(t *testing.T, length int) (*rig, *pipeTransport, *exchange.Exchange, *source) {
	t.Helper()
	var x *exchange.Exchange
	src := &source{}
	r := newRig(t, func(y *exchange.Exchange) { x, y.Source = y, src }, nil)
	tr := &pipeTransport{fakeTransport: fakeTransport{room: -1}}
	r.s = NewSession(r.all, tr, exchange.Peer{})
	tr.session = r.s
	r.tr = &tr.fakeTransport
	if !r.registry.Add(r.s) {
		t.Fatal("the registry refused a session")
	}
	r.s.Feed([]byte(get("/")))
	if err := x.Writer.Head(200, field("Content-Length", strconv.Itoa(length))); err != nil {
		t.Fatal(err)
	}
	return r, tr, x, src
}

// halfTaken is a pipeRig with a body of 100 bytes in the pipe, of which the client has taken what is left beside the head.
func halfTaken(t *testing.T) (*rig, *pipeTransport, *exchange.Exchange, *source, int) {
	t.Helper()
	r, tr, x, src := pipeRig(t, 100)
	tr.pipe = make([]byte, 100)
	tr.give(150)
	sent, ok := exchange.BodyPipe(x.Writer, 0, 100)
	if !ok || sent == 100 {
		t.Fatalf("%d bytes were taken, %v", sent, ok)
	}
	return r, tr, x, src, sent
}

// TestBodyPipe: whatever part of the body comes from memory and whatever from a pipe, however slowly the client takes it, the
// bytes are in order; and who is told to wait is told of room.
func TestBodyPipe(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		body := make([]byte, 1+random.IntN(100_000))
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		r, tr, x, src := pipeRig(t, len(body))
		woken := false
		src.onDrained = func(int) { woken = true }
		step := 500 + random.IntN(30_000)
		tr.give(step)
		for left := body; len(left) > 0; {
			n := min(1+random.IntN(40_000), len(left))
			if random.IntN(3) == 0 {
				x.Writer.Body(left[:n])
				if random.IntN(2) == 0 {
					x.Writer.Flush()
				}
				left = left[n:]
				continue
			}
			tr.pipe = left[:n]
			woken = false
			sent, ok := exchange.BodyPipe(x.Writer, 0, n)
			if !ok {
				t.Fatal("it does not take a pipe")
			}
			left = left[sent:]
			for turns := 0; sent < n && !woken; turns++ {
				if turns > 200 {
					t.Fatalf("%d of %d bytes were taken, and nobody told of room", sent, n)
				}
				tr.give(step)
			}
			if r.s.writeBy != 0 && r.s.pendingAt == len(r.s.pending) && !r.s.starving {
				t.Fatal("the client's time runs while the responder's turn it is")
			}
		}
		x.Writer.End()
		for tr.waiting > 0 {
			tr.give(step)
		}
		_, got, _ := bytes.Cut(tr.out, []byte("\r\n\r\n"))
		if !bytes.Equal(got, body) {
			t.Fatalf("%d bytes of %d, or others", len(got), len(body))
		}
		if len(r.done) != 1 || r.s.writeBy != 0 {
			t.Errorf("%v, time until %v", r.done, r.s.writeBy)
		}
		r.s.Closed()
		r.check()
	}
}

// TestBodyPipeNot: answers that have to be given by Body say so, before anything is moved.
func TestBodyPipeNot(t *testing.T) {
	f := func(name, request string, fields []exchange.Field, n int, splices bool) {
		t.Helper()
		var x *exchange.Exchange
		r := newRig(t, func(y *exchange.Exchange) { x, y.Source = y, &source{} }, nil)
		tr := &pipeTransport{fakeTransport: fakeTransport{room: -1}, pipe: []byte("0123456789")}
		if splices {
			r.s = NewSession(r.all, tr, exchange.Peer{})
			tr.session = r.s
			r.registry.Add(r.s)
		}
		r.s.Feed([]byte(request))
		if fields != nil {
			_ = x.Writer.Head(200, fields)
		}
		if sent, ok := exchange.BodyPipe(x.Writer, 0, n); ok || sent != 0 || tr.splices > 0 {
			t.Errorf("%s: %d, %v, spliced %d times", name, sent, ok, tr.splices)
		}
		x.Writer.Abort(500, "")
		r.s.Closed()
	}
	ten := field("Content-Length", "10")
	f("an edge that cannot", get("/"), ten, 10, false)
	f("without a head", get("/"), nil, 10, true)
	f("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", ten, 10, true)
	f("chunked", get("/"), field("A", "b"), 10, true)
	f("until the end", "GET / HTTP/1.0\r\n\r\n", field("A", "b"), 10, true)
	f("more than announced", get("/"), ten, 11, true)
}

// TestBodyPipeEnds: clients that leave, or take nothing, and an answer that is given up.
func TestBodyPipeEnds(t *testing.T) {
	t.Run("the client leaves", func(t *testing.T) {
		r, tr, x, src := pipeRig(t, 100)
		tr.pipe = make([]byte, 100)
		tr.give(150) // the head and a bit
		sent, ok := exchange.BodyPipe(x.Writer, 0, 100)
		r.s.Closed()
		if again, still := exchange.BodyPipe(x.Writer, 0, 100-sent); !ok || !still || again != 0 || src.cancelled != 1 {
			t.Errorf("%v %v, %d bytes to nobody, told %d times", ok, still, again, src.cancelled)
		}
		x.Writer.Abort(0, "")
		r.check()
	})
	t.Run("the client takes nothing", func(t *testing.T) {
		r, _, x, src, _ := halfTaken(t)
		r.pass(39 * time.Second)
		if src.cancelled != 0 {
			t.Error("given up before its time")
		}
		if r.pass(2 * time.Second); src.cancelled != 1 {
			t.Error("not given up")
		}
		x.Writer.Abort(0, "")
		r.check()
	})
	t.Run("an edge that tells of room that is not there", func(t *testing.T) {
		r, tr, x, src, sent := halfTaken(t)
		for range 100 {
			tr.give(0)
			if again, _ := exchange.BodyPipe(x.Writer, 0, 100-sent); again != 0 {
				t.Fatalf("%d bytes", again)
			}
			if r.pass(time.Second); src.cancelled > 0 {
				break
			}
		}
		if src.cancelled != 1 || r.now > 45*time.Second {
			t.Errorf("told %d times that the client has left, after %v", src.cancelled, r.now)
		}
		x.Writer.Abort(0, "")
		r.check()
	})
	t.Run("the rest comes otherwise", func(t *testing.T) {
		r, tr, x, src, sent := halfTaken(t)
		tr.mu.Lock()
		tr.room = -1
		tr.mu.Unlock()
		x.Writer.Body(make([]byte, 100-sent))
		x.Writer.End()
		if src.cancelled != 0 || len(r.done) != 1 || r.s.writeBy != 0 {
			t.Errorf("%v, and the client still has to take something until %v", r.done, r.s.writeBy)
		}
		r.s.Closed()
		r.check()
	})
	t.Run("the disk is slow", func(t *testing.T) {
		r, tr, x, src, sent := halfTaken(t)
		tr.give(1000)
		r.pass(100 * time.Second)
		if again, ok := exchange.BodyPipe(x.Writer, 0, 100-sent); src.cancelled != 0 || !ok || again != 100-sent {
			t.Errorf("told %d times that the client has left, %d bytes", src.cancelled, again)
		}
		x.Writer.End()
		r.s.Closed()
		r.check()
	})
	t.Run("the socket fails", func(t *testing.T) {
		r, tr, x, src := pipeRig(t, 100)
		tr.pipe = make([]byte, 100)
		x.Writer.Flush()
		tr.failing = errBroken
		if sent, ok := exchange.BodyPipe(x.Writer, 0, 100); sent != 0 || !ok || src.cancelled != 1 || r.end() != "closed" {
			t.Errorf("%d %v, told %d times, %s", sent, ok, src.cancelled, r.end())
		}
		x.Writer.Abort(0, "")
		r.check()
	})
	t.Run("given up in the middle", func(t *testing.T) {
		r, tr, x, _ := pipeRig(t, 100)
		tr.pipe = make([]byte, 50)
		if sent, _ := exchange.BodyPipe(x.Writer, 0, 50); sent != 50 {
			t.Errorf("%d bytes", sent)
		}
		x.Writer.Abort(0, "")
		if r.end() != "fin" || strings.Count(r.tr.text(), "HTTP/1.1") != 1 {
			t.Errorf("%s %q", r.end(), r.tr.text())
		}
		r.s.Closed()
		r.check()
	})
}

// TestBodyPipeBusy: while other goroutines own the session, who sends is told to wait and never forgotten; the next request
// on the connection gets the next answer.
func TestBodyPipeBusy(t *testing.T) {
	const length = 2000
	r, tr, x, src := pipeRig(t, length)
	wake := make(chan struct{}, 1)
	src.onDrained = func(int) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					r.s.post(evInput)
					r.s.Writable()
				}
			}
		})
	}
	body := bytes.Repeat([]byte("0123456789"), length/10)
	for at := 0; at < length; {
		tr.pipe = body[at:min(at+7, length)]
		sent, ok := exchange.BodyPipe(x.Writer, 0, len(tr.pipe))
		if !ok {
			t.Error("it does not take a pipe")
			break
		}
		if at += sent; sent == 0 {
			select {
			case <-wake:
			case <-time.After(30 * time.Second):
				t.Error("nobody told of room")
				at = length
			}
		}
	}
	close(stop)
	wg.Wait()
	x.Writer.End()
	if _, got, _ := bytes.Cut(tr.out, []byte("\r\n\r\n")); !bytes.Equal(got, body) {
		t.Errorf("%d bytes of %d, or others", len(got), length)
	}
	r.s.Closed()
	r.check()
}
