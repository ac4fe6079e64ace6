package exchange

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// take reads the body to what is there.
func take(t *testing.T, b *Body, most int) (got []byte, end bool) {
	t.Helper()
	for {
		before := len(got)
		var err error
		if got, end, err = b.Next(got, most); err != nil {
			t.Fatal(err)
		}
		if end || len(got) == before {
			return got, end
		}
	}
}

func TestBodyOrder(t *testing.T) {
	f := func(limit, mostIn, mostOut int, eager float64) {
		t.Helper()
		rnd := rand.New(rand.NewPCG(uint64(limit), uint64(mostIn)))
		b := NewBody(limit, nil, t.TempDir())
		var in, out []byte
		for len(in) < 100_000 {
			p := make([]byte, 1+rnd.IntN(mostIn))
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			in = append(in, p...)
			if err := b.Append(p); err != nil {
				t.Fatal(err)
			}
			clear(p) // Append has a copy
			for rnd.Float64() < eager {
				var err error
				var end bool
				if out, end, err = b.Next(out, rnd.IntN(mostOut+1)); err != nil || end {
					t.Fatal(end, err)
				}
			}
			if len(b.mem)-b.off > limit || cap(b.mem) > 4*limit+4*mostIn {
				t.Fatalf("%d bytes in memory of %d, limit %d", len(b.mem)-b.off, cap(b.mem), limit)
			}
		}
		b.Finish()
		rest, end := take(t, b, mostOut)
		if out = append(out, rest...); !end || !bytes.Equal(in, out) {
			t.Errorf("limit %d: what came out is not what went in", limit)
		}
		if n, known := b.Length(); n != int64(len(in)) || !known || b.Received() != n {
			t.Errorf("Length is %d, %v, Received %d", n, known, b.Received())
		}
		b.Close()
	}
	f(0, 1000, 3000, 0.5)
	f(1000, 2000, 700, 0.3)
	f(1000, 100, 100, 0.6)
	f(5000, 3000, 3000, 0.45)
	f(1<<20, 5000, 100, 0.9)
	f(1<<20, 5000, 100, 0)
	f(300, 3000, 65535, 0.5)
}

func TestBodyComplete(t *testing.T) {
	f := func(name string, want bool, do func(b *Body)) {
		t.Run(name, func(t *testing.T) {
			b := NewBody(10, nil, t.TempDir())
			do(b)
			p, ok := b.Complete(8)
			if ok != want || ok && int64(len(p)) != b.Received() {
				t.Errorf("got %q, %v", p, ok)
			}
			b.Close()
		})
	}
	add := func(b *Body, s string) { _ = b.Append([]byte(s)) }
	f("whole", true, func(b *Body) { add(b, "12345678"); b.Finish() })
	f("empty", true, func(b *Body) { b.Finish() })
	f("not finished", false, func(b *Body) { add(b, "1") })
	f("more than asked", false, func(b *Body) { add(b, "123456789"); b.Finish() })
	f("on disk", false, func(b *Body) { add(b, "12345678901"); b.Finish() })
	f("partly taken", false, func(b *Body) { add(b, "123"); b.Finish(); _, _, _ = b.Next(nil, 1) })
	f("taken", false, func(b *Body) { add(b, "123"); b.Finish(); _, _, _ = b.Next(nil, 9) })
	f("failed", false, func(b *Body) { add(b, "123"); b.Fail(ErrBodyCut) })
	f("closed", false, func(b *Body) { add(b, "123"); b.Finish(); b.Close() })
}

func TestBodyNotify(t *testing.T) {
	b := NewBody(100, nil, t.TempDir())
	told := 0
	b.Notify(func() { told++; _, _, _ = b.Next(nil, 100) })
	f := func(want int, do func()) {
		t.Helper()
		told = 0
		if do(); told != want {
			t.Errorf("told %d times, want %d", told, want)
		}
	}
	f(1, func() { _ = b.Append([]byte("a")) })
	f(0, func() { _ = b.Stage([]byte("a")); _ = b.Stage([]byte("b")) })
	f(1, b.Wake)
	f(1, b.Finish)
	f(1, func() { b.Fail(ErrBodyCut) })
	if _, _, err := b.Next(nil, 1); err != nil {
		t.Errorf("a complete body failed: %v", err)
	}
	b.Notify(nil)
	f(0, b.Wake)
	b.Notify(func() { told++ })
	b.Close()
	f(0, b.Wake)
}

func TestBodyFails(t *testing.T) {
	t.Run("cut off", func(t *testing.T) {
		b := NewBody(100, nil, "")
		_ = b.Append([]byte("abc"))
		b.Fail(ErrBodyCut)
		b.Fail(io.EOF)
		if _, end, err := b.Next(nil, 100); !end || !errors.Is(err, ErrBodyCut) {
			t.Errorf("got %v, %v", end, err)
		}
		if _, known := b.Length(); known {
			t.Error("its length is known")
		}
	})
	t.Run("no such directory", func(t *testing.T) {
		b := NewBody(2, nil, filepath.Join(t.TempDir(), "missing"))
		if err := b.Append([]byte("ab")); err != nil {
			t.Fatal(err)
		}
		if err := b.Append([]byte("c")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		if _, end, err := b.Next(nil, 100); !end || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, %v", end, err)
		}
		b.Close()
	})
	t.Run("file gone bad", func(t *testing.T) {
		b := NewBody(2, nil, t.TempDir())
		_ = b.Append([]byte("abc"))
		_ = b.file.Close()
		if _, end, err := b.Next(nil, 100); !end || err == nil {
			t.Errorf("got %v, %v", end, err)
		}
		if err := b.Append([]byte("abc")); err != nil {
			t.Errorf("a failed body takes and drops: %v", err)
		}
		b.Close()
	})
}

// Nothing is left of a body: not its file's name from the start, not its file in the end.
func TestBodyLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	b := NewBody(1, nil, dir)
	_ = b.Append([]byte("abc"))
	if !b.Spilled() {
		t.Error("3 bytes are in memory, limit 1")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left in the directory: %v", left)
	}
	file := b.file
	b.Close()
	b.Close()
	if err := file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was still open: %v", err)
	}
	if err := b.Append([]byte("def")); err != nil || b.Received() != 6 || b.Spilled() {
		t.Errorf("after Close: %v, received %d", err, b.Received())
	}
}

func TestBodyCloseDuringAppend(t *testing.T) {
	for range 20 {
		b := NewBody(500, nil, t.TempDir())
		b.Notify(func() { _, _, _ = b.Next(nil, 10) })
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 100 {
				_ = b.Append(make([]byte, 100))
			}
			b.Finish()
		})
		wg.Go(func() {
			for range 50 {
				_, _, _ = b.Next(nil, 100)
			}
			b.Close()
		})
		wg.Wait()
		if got, _, _ := b.Next(nil, 1000); len(got) > 0 || b.Received() != 10_000 {
			t.Errorf("%d bytes came after Close, received %d", len(got), b.Received())
		}
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(64 << 20)
	f := func(held, want int) {
		t.Helper()
		b.Hold(held)
		if got := b.Window(); got != want {
			t.Errorf("with %d held the window is %d, want %d", held, got, want)
		}
		b.Hold(-held)
	}
	f(0, MaxWindow)
	f(48<<20, MaxWindow)
	f(49<<20, MaxWindow/2)
	f(60<<20, MaxWindow/4)
	f(64<<20, MinWindow)
	f(100<<20, MinWindow)
	if b.Held() != 0 {
		t.Errorf("%d bytes held", b.Held())
	}
}

func TestBodyBudget(t *testing.T) {
	budget := NewBudget(4 << 20)
	b := NewBody(MaxWindow, budget, t.TempDir())
	if err := b.Append(make([]byte, 50<<10)); err != nil {
		t.Fatal(err)
	}
	if held := budget.Held(); held < 50<<10 || held > MaxWindow {
		t.Errorf("a body of 50 KiB holds %d bytes of the budget", held)
	}
	b.Close()
	if held := budget.Held(); held != 0 {
		t.Errorf("a closed body holds %d bytes of the budget", held)
	}
	budget.Hold(4 << 20)
	last := NewBody(MaxWindow, budget, t.TempDir())
	if err := last.Append(make([]byte, MinWindow+1)); err != nil {
		t.Fatal(err)
	}
	if held := budget.Held(); held != 4<<20 || !last.Spilled() {
		t.Errorf("with the budget used up a body took %d bytes of memory", held-4<<20)
	}
	last.Close()
}

// TestBodyMemory: memory grows with what arrived, is lent to one body at a time, and is counted.
func TestBodyMemory(t *testing.T) {
	budget := NewBudget(64 << 20)
	b := NewBody(MaxBody, budget, t.TempDir())
	part := bytes.Repeat([]byte("p"), 10_000)
	for received := 0; received+len(part) <= MaxBody; {
		if err := b.Append(part); err != nil {
			t.Fatal(err)
		}
		received += len(part)
		if most := max(16<<10, 4*received); cap(b.mem) > most || b.Spilled() {
			t.Fatalf("%d bytes take %d of memory, spilled %v", received, cap(b.mem), b.Spilled())
		}
		if got := budget.Held(); got != int64(cap(b.mem)) {
			t.Fatalf("%d bytes of memory are counted as %d", cap(b.mem), got)
		}
	}
	other := NewBody(MaxBody, budget, t.TempDir())
	if err := other.Append(bytes.Repeat([]byte("o"), MaxBody)); err != nil {
		t.Fatal(err)
	}
	if whole, ok := b.Complete(MaxBody); ok || bytes.IndexByte(whole, 'o') >= 0 {
		t.Error("a body that is not finished is complete")
	}
	if got, _ := take(t, b, 65535); len(got) != 1040000 || bytes.Count(got, []byte("p")) != len(got) {
		t.Error("another body's bytes are in this one's")
	}
	b.Close()
	other.Close()
	if got := budget.Held(); got != 0 {
		t.Errorf("%d bytes are still counted", got)
	}
}

// TestBodiesShareTheBudget: many bodies together stay near the budget; what is more goes to disk.
func TestBodiesShareTheBudget(t *testing.T) {
	budget := NewBudget(8 << 20)
	var bodies []*Body
	for range 100 {
		b := NewBody(MaxBody, budget, t.TempDir())
		bodies = append(bodies, b)
		for range 16 {
			if err := b.Append(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := budget.Held(); got > 10<<20 {
		t.Errorf("%d bytes in memory with a budget of %d", got, 8<<20)
	}
	for _, b := range bodies {
		b.Finish()
		if got, end := take(t, b, 65535); len(got) != MaxBody || !end {
			t.Errorf("%d bytes came back", len(got))
		}
		b.Close()
	}
}

// TestBodyPeek: what waits is seen in parts, in memory and on disk, and is all there afterwards.
func TestBodyPeek(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{0, 10, 5000, 1 << 20} {
		b := NewBody(limit, nil, t.TempDir())
		var in, seen []byte
		for len(in) < 50_000 {
			p := make([]byte, 1+rnd.IntN(3000))
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			in = append(in, p...)
			if err := b.Append(p); err != nil {
				t.Fatal(err)
			}
			for rnd.IntN(3) > 0 {
				got, err := b.Peek(seen, int64(len(seen)), rnd.IntN(4000))
				if err != nil || len(got) > len(in) {
					t.Fatal(len(got), err)
				}
				seen = got
			}
		}
		b.Finish()
		seen, err := b.Peek(seen, int64(len(seen)), len(in))
		if err != nil || !bytes.Equal(seen, in) {
			t.Errorf("limit %d: saw %d bytes of %d, %v", limit, len(seen), len(in), err)
		}
		if more, err := b.Peek(nil, int64(len(in)), 10); len(more) > 0 || err != nil {
			t.Errorf("limit %d: %d bytes behind the end, %v", limit, len(more), err)
		}
		if out, end := take(t, b, 1000); !end || !bytes.Equal(out, in) {
			t.Errorf("limit %d: what came out is not what went in", limit)
		}
		b.Close()
	}
	b := NewBody(10, nil, t.TempDir())
	b.Fail(ErrBodyCut)
	if _, err := b.Peek(nil, 0, 10); !errors.Is(err, ErrBodyCut) {
		t.Errorf("error is %v", err)
	}
	b.Close()
}
