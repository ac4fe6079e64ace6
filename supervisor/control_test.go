package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
)

// newTestControl returns a control and the worker's end of its socket.
func newTestControl(t *testing.T) (*control, net.Conn) {
	t.Helper()
	leaks(t)
	var conns [2]*net.UnixConn
	mine, theirs, err := socketFiles("test")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range []*os.File{mine, theirs} {
		c, err := net.FileConn(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	c := newControl(conns[0], listener{})
	t.Cleanup(func() {
		c.close()
		<-c.ended
		_ = conns[1].Close()
	})
	return c, conns[1]
}

// message is a record as the shim sends it.
func message(t *testing.T, fields map[string]any) []byte {
	t.Helper()
	content, err := encodeCommand(fields)
	if err != nil {
		t.Fatal(err)
	}
	return fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, content)
}

func TestControlReads(t *testing.T) {
	trace := strings.Repeat("a line\n", 30000) // over three records
	stream := slices.Concat(
		message(t, map[string]any{"event": "unknown"}),
		message(t, map[string]any{"event": "pong", "n": 1}), // nobody asked
		message(t, map[string]any{"event": "failed", "traceback": trace}),
	)
	f := func(name string, cut func() int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c, worker := newTestControl(t)
			go func() {
				for rest := stream; len(rest) > 0; {
					n := min(cut(), len(rest))
					if _, err := worker.Write(rest[:n]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
			}()
			select {
			case e := <-c.first:
				if e.text("event") != "failed" || e.text("traceback") != trace {
					t.Errorf("first event: %q", e.text("event"))
				}
			case <-c.ended:
				t.Errorf("ended: %v", c.err)
			}
		})
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f("whole", func() int { return len(stream) })
	f("random pieces", func() int { return 1 + r.IntN(5000) })
	head := 300
	f("first bytes one by one", func() int {
		if head--; head > 0 {
			return 1
		}
		return len(stream)
	})
}

func TestControlRefuses(t *testing.T) {
	ready := message(t, map[string]any{"event": "ready"})
	part := fcgi.AppendHeader(nil, fcgi.TypeMessage, fcgi.FlagMore, 0, 0, 0)
	huge := fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, make([]byte, controlMost+1))
	f := func(name string, in []byte, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c, worker := newTestControl(t)
			go func() {
				_, _ = worker.Write(in) // fails where the rest is not read
				_ = worker.Close()
			}()
			<-c.ended
			if got := fmt.Sprint(c.err); !strings.Contains(got, want) {
				t.Errorf("ended: %q, want %q", got, want)
			}
			if _, err := c.ask(deadline(t), map[string]any{"cmd": "ping"}, "pong"); !errors.Is(err, errControlEnded) {
				t.Errorf("a question after the end: %v", err)
			}
		})
	}
	f("nothing", nil, "<nil>")
	f("other protocol", []byte("HTTP/1.1 400 Bad Request\r\n"), "version is 72")
	f("other record", fcgi.AppendRecord(nil, fcgi.TypeStdout, 0, 1, []byte("x")), "STDOUT record on the control socket")
	f("no marshal", fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, []byte("zzz")), "cannot decode")
	f("no dict", fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, marshal.AppendInt(nil, 1)), "not one dict")
	f("two values", fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, []byte("{0{0")), "not one dict")
	f("ready twice", slices.Concat(ready, ready), `"ready" twice`)
	f("cut off", ready[:len(ready)-1], "unexpected EOF")
	f("cut off after a part", part, "unexpected EOF")
	f("too long", huge, "larger than")
}

// A worker that dies may refuse what is sent before its end is read.
func TestControlThatTakesNothingHasEnded(t *testing.T) {
	c, worker := newTestControl(t)
	if err := worker.(*net.UnixConn).CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := c.send(map[string]any{"cmd": "stop"}); !errors.Is(err, errControlEnded) {
		t.Errorf("send: %v", err)
	}
	if _, err := c.ask(deadline(t), map[string]any{"cmd": "ping"}, "pong"); !errors.Is(err, errControlEnded) {
		t.Errorf("ask: %v", err)
	}
	<-c.ended
	if c.err != nil {
		t.Errorf("its end is taken for a fault: %v", c.err)
	}
}

func TestControlOfAWorkerThatDiesWithACommandUnread(t *testing.T) {
	c, worker := newTestControl(t)
	if err := c.send(map[string]any{"cmd": "stop"}); err != nil {
		t.Fatal(err)
	}
	_ = worker.Close()
	<-c.ended
	if c.err != nil {
		t.Errorf("its end is taken for a fault: %v", c.err)
	}
}

func TestControlAnswersInOrder(t *testing.T) {
	c, worker := newTestControl(t)
	const asked = 50
	var all sync.WaitGroup
	all.Go(func() { // echoes n
		var d fcgi.Decoder
		var buf []byte
		for got := 0; got < asked; {
			piece := make([]byte, 4096)
			n, err := worker.Read(piece)
			if err != nil {
				t.Error(err)
				return
			}
			buf = append(buf, piece[:n]...)
			for {
				n, rec, ok, err := d.Next(buf)
				if err != nil {
					t.Error(err)
				}
				if !ok {
					break
				}
				e, err := decodeEvent(rec.Content)
				if err != nil {
					t.Error(err)
				}
				buf = buf[n:]
				if _, err := worker.Write(message(t, map[string]any{"event": "pong", "n": e.number("n")})); err != nil {
					t.Error(err)
				}
				got++
			}
		}
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range asked {
		all.Go(func() {
			ctx := t.Context()
			if n%5 == 0 {
				ctx = ended // gives up at once; its answer must go to nobody else
			}
			e, err := c.ask(ctx, map[string]any{"cmd": "ping", "n": n}, "pong")
			if err == nil && e.number("n") != n {
				t.Errorf("asked %d, answered %d", n, e.number("n"))
			}
			if err != nil && ctx != ended {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestMessages(t *testing.T) {
	fields := map[string]any{
		"text": "größe", "bad": "a\xffb", "yes": true, "no": false, "none": nil, "n": -5, "bytes": []byte{0, 255},
		"strings": []string{"a", "b"}, "list": []any{1, "x"}, "dict": map[string]any{"k": 1},
	}
	content, err := encodeCommand(fields)
	if err != nil {
		t.Fatal(err)
	}
	e, err := decodeEvent(content)
	if err != nil {
		t.Fatal(err)
	}
	if e.text("text") != "größe" || e.text("bad") != "a\ufffdb" || e.number("n") != -5 || e.text("n") != "" || e.number("text") != 0 || e.text("absent") != "" {
		t.Errorf("decoded %v", e)
	}
	for _, bad := range []any{1 << 40, 1.5, struct{}{}, map[string]any{"x": 1.5}, []any{1.5}} {
		if _, err := encodeCommand(map[string]any{"key": bad}); err == nil || !strings.Contains(err.Error(), `"key"`) {
			t.Errorf("encoded %v: %v", bad, err)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	f := func(list any, want []uint16, ok bool) {
		t.Helper()
		content, err := encodeCommand(map[string]any{"ids": list})
		if err != nil {
			t.Fatal(err)
		}
		e, err := decodeEvent(content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.ids("ids"); !slices.Equal(got, want) || (err == nil) != ok {
			t.Errorf("ids %v: %v, %v", list, got, err)
		}
	}
	f([]any{}, nil, true)
	f([]any{1, 65535}, []uint16{1, 65535}, true)
	f([]any{0}, nil, false)
	f([]any{65536}, nil, false)
	f([]any{1, "2"}, nil, false)
}
