package scaling

import (
	"testing"
	"time"
)

func TestStep(t *testing.T) {
	m := newMachine(t, Bounds{Min: 1, Max: 8}, Settings{})
	m.run(time.Minute, 2)
	m.want("a fifth of a worker's time", 1, 1)
	m.calm("a fifth of a worker's time", 0)
	begin := m.now
	m.run(10*time.Second, 40) // keeps four busy
	m.want("four are busy", 5, 8)
	first := m.since(begin)[0]
	if first.at-begin > time.Second || first.Reason != Queue {
		t.Errorf("the first worker is added %v after the load, for %q", first.at-begin, first.Reason)
	}
	m.run(time.Minute, 40)
	m.settled, m.longest = m.now, 0
	m.run(5*time.Minute, 40)
	if m.longest > 300*time.Millisecond {
		t.Errorf("a request waited %v when there were workers enough", m.longest)
	}
	calm := m.now
	m.run(10*time.Minute, 40)
	m.calm("ten minutes of the same load", calm)
	m.run(8*31*time.Second, 2)
	m.want("it is over", 1, 1)
	for _, c := range m.since(calm) {
		if c.Change != -1 || c.Reason != Idle {
			t.Errorf("when the load is over: %+v", c)
		}
	}
}

func TestRamp(t *testing.T) {
	m := newMachine(t, Bounds{Min: 2, Max: 6}, Settings{})
	m.ramp(10*time.Minute, 0, 80)
	m.want("more than all can do", 6, 6)
	if n := len(m.changes); n > 6 {
		t.Errorf("%d changes on the way up: %v", n, m.changes)
	}
	m.run(time.Minute, 80)
	m.want("it lasts", 6, 6)
	m.ramp(20*time.Minute, 50, 0)
	m.run(5*time.Minute, 0)
	m.want("it is over", 2, 2)
	if m.most != 6 {
		t.Errorf("%d workers at once", m.most)
	}
}

// A load that is over before more workers are ready is no reason for many.
func TestBurst(t *testing.T) {
	m := newMachine(t, Bounds{Min: 1, Max: 16}, Settings{})
	for range 20 {
		m.run(time.Second, 30)
		m.run(time.Hour, 0)
		m.want("an hour later", 1, 1)
	}
	if m.most > 4 {
		t.Errorf("%d workers for a second's load of three", m.most)
	}
}

// Where a load comes again and again the workers stay, whatever its period.
func TestSawtooth(t *testing.T) {
	for _, period := range []time.Duration{5 * time.Second, 20 * time.Second, time.Minute, 2 * time.Minute} {
		m := newMachine(t, Bounds{Min: 1, Max: 8}, Settings{})
		for m.now < 10*time.Minute {
			m.ramp(period, 0, 30)
		}
		calm := m.now
		for m.now < 30*time.Minute {
			m.ramp(period, 0, 30)
		}
		if n := len(m.since(calm)); n > 6 {
			t.Errorf("every %v: %d changes in twenty minutes: %v", period, n, m.since(calm))
		}
	}
}

func TestNight(t *testing.T) {
	m := newMachine(t, Bounds{Min: 0, Max: 8}, Settings{})
	m.run(time.Hour, 0)
	m.calm("nobody is there", 0)
	m.want("nobody is there", 0, 0)
	for day := range 3 {
		morning := m.now
		m.ramp(time.Hour, 0.1, 40)
		if c := m.since(morning)[0]; c.Reason != Demand || c.Change != 1 {
			t.Errorf("day %d begins with %+v", day, c)
		}
		noon := m.now
		m.run(2*time.Hour, 40)
		m.want("by day", 5, 8)
		if n := len(m.since(noon)); n > 8 {
			t.Errorf("day %d: %d changes in two hours of the same load: %v", day, n, m.since(noon))
		}
		m.ramp(time.Hour, 40, 0)
		m.run(8*time.Hour, 0)
		m.want("by night", 0, 0)
	}
}

// The last worker goes when nothing came, not when there is little to do.
func TestTheLastOne(t *testing.T) {
	m := newMachine(t, Bounds{Min: 0, Max: 4}, Settings{})
	m.work = time.Millisecond
	for range 30 {
		m.request()
		m.run(25*time.Second, 0)
	}
	m.want("a request every 25 seconds", 1, 1)
	if len(m.changes) != 1 {
		t.Errorf("changes: %v", m.changes)
	}
	m.work, m.threads = 10*time.Minute, 2
	m.request()
	m.run(9*time.Minute, 0)
	m.want("one is still under way", 1, 1)
	m.run(2*time.Minute, 0)
	m.want("nobody is there", 0, 0)
}

// Workers that wait for something else are added beyond the CPUs, those that compute are not.
func TestCPUBound(t *testing.T) {
	m := newMachine(t, Bounds{Min: 1, Max: 16}, Settings{CPUs: 2})
	m.cpu = 1
	m.run(5*time.Minute, 100)
	m.want("all CPUs are busy", 2, 2)
	m.waiting = nil
	m.run(2*time.Minute, 2)
	m.want("it is over", 1, 1)

	m = newMachine(t, Bounds{Min: 1, Max: 16}, Settings{CPUs: 2})
	m.cpu = 0.1
	m.run(5*time.Minute, 100)
	m.want("they wait for a database", 11, 16)

	// A share of a CPU, as a container may have.
	m = newMachine(t, Bounds{Min: 1, Max: 16}, Settings{CPUs: 0.5})
	m.cpu = 1
	m.run(5*time.Minute, 100)
	m.want("half a CPU is busy", 1, 1)
}

// Threads that do not keep their process busy are not worth another one.
func TestManyThreads(t *testing.T) {
	m := newMachine(t, Bounds{Min: 1, Max: 8}, Settings{})
	m.threads = 64
	m.run(5*time.Minute, 300) // thirty threads
	m.calm("half of one worker's threads", 0)
	m.run(5*time.Minute, 1500) // 150
	m.want("all threads of two", 3, 5)
	m.cpu = 1
	m.run(time.Minute, 35)
	m.want("all of three CPUs", 4, 5)
}

// What an event loop has in flight says nothing; its CPU does, and what waits.
func TestEventLoop(t *testing.T) {
	m := newMachine(t, Bounds{Min: 1, Max: 8}, Settings{CPUs: 4})
	m.threads = 0
	m.run(5*time.Minute, 1000)
	m.calm("a hundred requests that wait for something", 0)
	m.cpu = 1
	m.run(5*time.Minute, 25)
	m.want("two and a half CPUs", 3, 4)
	calm := m.now
	m.run(10*time.Minute, 25)
	m.calm("two and a half CPUs", calm)
	m.run(5*time.Minute, 3)
	m.want("a third of one", 1, 1)
	for _, c := range m.changes {
		if c.Change > 0 && c.Reason != Busy {
			t.Errorf("%+v", c)
		}
	}
}

// A loop that is held leaves requests that the application was not called for.
func TestHeldLoop(t *testing.T) {
	p := New(Settings{CPUs: 4, Idle: 30 * time.Second}, Bounds{Min: 1, Max: 8})
	n, grown := 1, 0
	for at := time.Duration(0); at < time.Minute; at += Every {
		s := Sample{At: at, Waiting: 20, Oldest: time.Second, Count: n, Workers: make([]Worker, n)}
		if d := p.Decide(s); d.Change != 0 {
			if d.Change > n || d.Reason != Queue {
				t.Errorf("%d workers: %+v", n, d)
			}
			n += d.Change
			grown++
		}
	}
	if n != 8 || grown != 3 {
		t.Errorf("%d workers after %d steps", n, grown)
	}
}

func TestMemory(t *testing.T) {
	const mib = 1 << 20
	m := newMachine(t, Bounds{Min: 1, Max: 8}, Settings{Memory: 350 * mib})
	m.run(5*time.Minute, 100)
	m.want("there is memory for three", 3, 3)
	if m.short == 0 {
		t.Error("nothing said that more are wanted")
	}
	m.size = 130 * mib // they grow
	m.run(time.Minute, 100)
	m.want("there is memory for two", 2, 2)
	if c := m.changes[len(m.changes)-1]; c.Reason != Memory || c.Change != -1 {
		t.Errorf("last: %+v", c)
	}
	m.size = 400 * mib
	m.run(time.Minute, 100)
	m.want("not for one", 1, 1)
	calm := m.now
	m.run(10*time.Minute, 100)
	m.calm("the last one stays", calm)

	// What was asked for by number is started in any case.
	m = newMachine(t, Bounds{Min: 3, Max: 8}, Settings{Memory: 150 * mib})
	m.run(5*time.Minute, 100)
	m.want("three were asked for", 3, 3)
}

func TestAuto(t *testing.T) {
	const mib = 1 << 20
	f := func(memory int64, want int) {
		t.Helper()
		m := newMachine(t, Bounds{Min: 1, Max: 8, Eager: true}, Settings{Memory: memory})
		m.run(time.Minute, 0)
		m.want("by its memory", want, want)
		m.run(10*time.Minute, 0)
		m.want("idle", want, want)
		if len(m.changes) > 1 {
			t.Errorf("changes: %v", m.changes)
		}
		for _, c := range m.changes {
			if c.Reason != Auto {
				t.Errorf("%+v", c)
			}
		}
	}
	f(0, 8)
	f(1000*mib, 8)
	f(450*mib, 4)
	f(199*mib, 1)
	f(10*mib, 1)

	m := newMachine(t, Bounds{Min: 1, Max: 8, Eager: true}, Settings{Memory: 450 * mib})
	m.run(time.Minute, 0)
	m.size = 120 * mib
	m.run(10*time.Minute, 0)
	m.want("they have grown", 3, 3)
	if len(m.changes) != 2 {
		t.Errorf("changes: %v", m.changes)
	}
}

// A worker that never becomes ready keeps none of the others.
func TestCrashLoop(t *testing.T) {
	m := newMachine(t, Bounds{Min: 1, Max: 4}, Settings{})
	m.workers = append(m.workers, &simulated{}, &simulated{}, &simulated{ready: 1 << 60})
	m.run(5*time.Minute, 1)
	m.want("one suffices", 1, 1)
	if m.workers[0].ready != 0 {
		t.Error("it is the one that is not ready")
	}
}

func TestShift(t *testing.T) {
	f := func(b Bounds, n int, want Bounds) {
		t.Helper()
		if got := b.Shift(n); got != want {
			t.Errorf("%+v by %d: got %+v, want %+v", b, n, got, want)
		}
	}
	f(Bounds{Min: 2, Max: 2}, 1, Bounds{Min: 3, Max: 3})
	f(Bounds{Min: 2, Max: 2}, -1, Bounds{Min: 1, Max: 1})
	f(Bounds{Min: 1, Max: 1}, -1, Bounds{Min: 1, Max: 1})
	f(Bounds{Min: 2, Max: 2}, -5, Bounds{Min: 1, Max: 1})
	f(Bounds{Min: 1000, Max: 1000}, 50, Bounds{Min: Most, Max: Most})
	f(Bounds{Min: 2, Max: 4}, 1, Bounds{Min: 3, Max: 4})
	f(Bounds{Min: 3, Max: 4}, 2, Bounds{Min: 5, Max: 5})
	f(Bounds{Min: 2, Max: 4}, -1, Bounds{Min: 1, Max: 4})
	f(Bounds{Min: 1, Max: 4}, -1, Bounds{Min: 1, Max: 4})
	f(Bounds{Min: 0, Max: 4}, -1, Bounds{Min: 0, Max: 4})
	f(Bounds{Min: 0, Max: 4}, 1, Bounds{Min: 1, Max: 4})
	f(Bounds{Min: 1, Max: 4, Eager: true}, 1, Bounds{Min: 1, Max: 5, Eager: true})
	f(Bounds{Min: 1, Max: 1, Eager: true}, -1, Bounds{Min: 1, Max: 1, Eager: true})
}

func TestBoundsChange(t *testing.T) {
	m := newMachine(t, Bounds{Min: 2, Max: 2}, Settings{})
	m.run(time.Minute, 100)
	m.calm("a number is a number", 0)
	m.policy.SetBounds(m.policy.Bounds().Shift(1))
	m.run(Every, 0)
	m.want("one more", 3, 3)
	m.policy.SetBounds(m.policy.Bounds().Shift(-2))
	m.run(2*time.Second, 0)
	m.want("two fewer", 1, 1)
	m.waiting = nil
	m.policy.SetBounds(Bounds{Min: 1, Max: 4})
	m.run(10*time.Second, 100)
	m.want("a range now", 4, 4)
}

// What was seen before a pause counts no more.
func TestPause(t *testing.T) {
	p := New(Settings{CPUs: 4, Idle: 10 * time.Second}, Bounds{Min: 1, Max: 8})
	late := Sample{Waiting: 3, Oldest: time.Second, Count: 2, Workers: make([]Worker, 2)}
	if d := p.Decide(late); d.Change != 0 {
		t.Errorf("one sample: %+v", d)
	}
	p.Pause()
	late.At = Every
	if d := p.Decide(late); d.Change != 0 {
		t.Errorf("one sample after a pause: %+v", d)
	}
	late.At = 2 * Every
	if d := p.Decide(late); d.Change == 0 {
		t.Error("two samples: no change")
	}
	p.Pause()
	if d := p.Decide(Sample{At: time.Hour, Count: 2, Workers: make([]Worker, 2)}); d.Change != 0 {
		t.Errorf("idle for no time: %+v", d)
	}
	if d := p.Decide(Sample{At: time.Hour + 11*time.Second, Count: 2, Workers: make([]Worker, 2)}); d.Change != -1 {
		t.Errorf("idle for long: %+v", d)
	}
}
