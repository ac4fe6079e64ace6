package ratelimit

import (
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rates are of every kind: slow and fast, even and odd, at the bounds.
func rates() []Rate {
	return []Rate{
		{1, time.Second, 1},
		{10, time.Second, 10},
		{3, time.Second, 7}, // a token comes back in no whole number of nanoseconds
		{7, 90 * time.Second, 1},
		{100, time.Minute, 100},
		{1000, time.Hour, 50},
		{1, 31 * 24 * time.Hour, 3},
		{100_000_000, time.Second, 1_000_000},
		{99_999_999, 90 * time.Second, 100_000_000},
		{1, time.Second, 9_000_000_000},
	}
}

// model is a bucket in rational numbers, as one would write it down.
type model struct {
	rate   Rate
	tokens *big.Rat
	at     int64
}

func newModel(r Rate) *model { return &model{r, new(big.Rat).SetInt64(r.Burst), 0} }

func (m *model) take(now int64) bool {
	gone := new(big.Rat).SetFrac64(max(now-m.at, 0), int64(m.rate.Period))
	m.tokens.Add(m.tokens, gone.Mul(gone, new(big.Rat).SetInt64(m.rate.Count)))
	if most := new(big.Rat).SetInt64(m.rate.Burst); m.tokens.Cmp(most) > 0 {
		m.tokens = most
	}
	m.at = max(now, m.at)
	one := big.NewRat(1, 1)
	if m.tokens.Cmp(one) < 0 {
		return false
	}
	m.tokens.Sub(m.tokens, one)
	return true
}

// step is a random time until the next request: mostly about as long as a token takes, at times much longer, or back.
func step(rnd *rand.Rand, r Rate) int64 {
	token := float64(r.Period) / float64(r.Count)
	switch rnd.IntN(20) {
	case 0:
		return int64(token * float64(r.Burst) * rnd.Float64() * 3)
	case 1:
		return -int64(token * rnd.Float64())
	}
	return int64(token * rnd.Float64() * 1.9)
}

// TestExact: whatever the rate, and whenever requests come, a bucket does what the model in rational numbers does, and never lets through more
// than the burst and what came back since.
func TestExact(t *testing.T) {
	for i, r := range rates() {
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		table, m := newTable(r, 256), newModel(r)
		now, passed := int64(0), int64(0)
		drained := rnd.IntN(2) == 0 && r.Burst < 1000
		for range 20_000 {
			if now += step(rnd, r); drained {
				drained = passed < r.Burst
				now = 0
			}
			now = max(now, 0)
			if now > 1<<62 {
				break
			}
			st, want := table.take(key{1, 2}, now), m.take(now)
			if st.taken != want {
				t.Fatalf("%v: at %d taken is %t, the model says %t (%v)", r, now, st.taken, want, m.tokens)
			}
			level := new(big.Rat).SetFrac64(st.level, r.cost())
			if level.Cmp(m.tokens) != 0 {
				t.Fatalf("%v: at %d there are %v, the model says %v", r, now, level, m.tokens)
			}
			if want {
				passed++
			}
			bound := new(big.Rat).SetFrac64(m.at, int64(r.Period))
			bound.Mul(bound, new(big.Rat).SetInt64(r.Count))
			bound.Add(bound, new(big.Rat).SetInt64(r.Burst))
			if bound.Cmp(new(big.Rat).SetInt64(passed)) < 0 {
				t.Fatalf("%v: %d passed until %d, more than %v", r, passed, m.at, bound)
			}
		}
	}
}

// TestLeft: what clients are told is true: at the time that is named there is one request more, and not a second before.
func TestLeft(t *testing.T) {
	for i, r := range rates() {
		rnd := rand.New(rand.NewPCG(9, uint64(i)))
		for range 1000 {
			level := rnd.Int64N(r.full() + 1)
			requests, seconds := r.left(level)
			if requests != level/r.cost() {
				t.Fatalf("%v: level %d is %d requests", r, level, requests)
			}
			if requests == r.Burst {
				if seconds != 0 {
					t.Fatalf("%v: a full bucket has more in %d s", r, seconds)
				}
				continue
			}
			if then := r.refilled(level, seconds*1e9); then/r.cost() <= requests {
				t.Fatalf("%v: level %d is %d after %d s", r, level, then, seconds)
			}
			if then := r.refilled(level, (seconds-1)*1e9); seconds > 0 && then/r.cost() > requests {
				t.Fatalf("%v: level %d is %d after %d s already", r, level, then, seconds-1)
			}
		}
		if w := r.window(); r.refilled(0, w*1e9) != r.full() || w > 1 && r.refilled(0, (w-1)*1e9) == r.full() {
			t.Errorf("%v: window %d", r, w)
		}
	}
}

// TestConfigure: with another rate as many requests are left as before, as far as there is room.
func TestConfigure(t *testing.T) {
	f := func(from, to Rate, taken, want int64) {
		t.Helper()
		table := newTable(from, 256)
		for range taken {
			table.take(key{1, 2}, 0)
		}
		table.configure(to, 512)
		st := table.look(key{1, 2}, 0)
		if got := st.level / st.rate.cost(); got != want || st.rate != to {
			t.Errorf("%v to %v after %d: %d left, want %d", from, to, taken, got, want)
		}
	}
	ten := Rate{10, time.Second, 10}
	f(ten, ten, 4, 6)
	f(ten, Rate{10, time.Hour, 20}, 4, 6)
	f(ten, Rate{10, time.Hour, 5}, 4, 5)
	f(Rate{10, time.Hour, 20}, ten, 18, 2)
	f(Rate{1, 31 * 24 * time.Hour, 3}, Rate{1, time.Second, 9_000_000_000}, 1, 2)
	f(Rate{1, time.Second, 9_000_000_000}, Rate{1, 31 * 24 * time.Hour, 3}, 1, 3)
	f(ten, Rate{10, time.Hour, 20}, 0, 20) // who has not been seen has a full one
}

// TestMemory: the table grows to its bound and no further, and what it forgets are the keys that have used least.
func TestMemory(t *testing.T) {
	const keys = 4096
	r := Rate{1, time.Hour, 100}
	table := newTable(r, keys)
	rnd := rand.New(rand.NewPCG(1, 1))
	random := func() key { return key{rnd.Uint64(), rnd.Uint64()} }
	space := func() (n int) {
		for i := range table.shards {
			n += ways * len(table.shards[i].sets)
		}
		return n
	}
	if space() > keys/4 {
		t.Errorf("there is room for %d at first", space())
	}
	var busy []key
	for range 100 {
		k := random()
		busy = append(busy, k)
		for range 100 {
			table.take(k, 0)
		}
	}
	for range 50 * keys {
		table.take(random(), 1)
	}
	if n, evicted := table.size(); n > keys || n < keys/2 || space() > keys || evicted == 0 {
		t.Errorf("%d keys in room for %d, %d forgotten", n, space(), evicted)
	}
	for _, k := range busy {
		if table.take(k, 2).taken {
			t.Error("a key that has nothing left was forgotten")
		}
	}
	// Once all are full again they make room without being counted as forgotten.
	_, before := table.size()
	later := int64(200 * time.Hour)
	for range keys / 16 {
		table.take(random(), later)
	}
	if _, after := table.size(); after != before || space() > keys {
		t.Errorf("%d were forgotten", after-before)
	}
}

// TestGrow: no key is lost, and none is there twice.
func TestGrow(t *testing.T) {
	r := Rate{1, time.Hour, 2}
	table := newTable(r, 1<<17)
	rnd := rand.New(rand.NewPCG(2, 2))
	keys := make([]key, 20_000)
	for i := range keys {
		keys[i] = key{rnd.Uint64(), rnd.Uint64()}
		table.take(keys[i], 0)
	}
	for i, k := range keys {
		if st := table.look(k, 0); st.level != r.cost() {
			t.Fatalf("key %d has %d", i, st.level)
		}
	}
	if n, evicted := table.size(); n != 20_000 || evicted != 0 {
		t.Errorf("%d keys, %d forgotten", n, evicted)
	}
}

// TestManyAtOnce: of many at the same moment exactly the burst passes.
func TestManyAtOnce(t *testing.T) {
	table := newTable(Rate{1, time.Hour, 1000}, 256)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if table.take(key{1, 2}, int64(i)).taken {
					passed.Add(1)
				}
				if i%3 == 0 && table.take(key{1, 2}, int64(i)).taken {
					table.giveBack(key{1, 2}, int64(i))
				}
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 1000 {
		t.Errorf("%d passed", n)
	}
}
