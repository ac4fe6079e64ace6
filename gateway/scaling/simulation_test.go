package scaling

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// machine is a server in time that the test moves: requests come, wait, run in workers and end; a Policy is asked four
// times a second.
type machine struct {
	t      *testing.T
	policy *Policy
	random *rand.Rand
	now    time.Duration

	// What runs.
	threads int           // of each worker; 0: an event loop
	work    time.Duration // a request takes
	cpu     float64       // share of that which is CPU time
	cpus    float64
	start   time.Duration // until a worker is ready
	size    int64         // of a worker

	workers  []*simulated
	waiting  []time.Duration // since when
	requests uint64
	owed     float64 // part of a request that has come

	// What was seen.
	changes []change
	most    int           // workers at once
	longest time.Duration // that a request waited, of those that came after settled
	settled time.Duration
	short   int
}

type change struct {
	at time.Duration
	Decision
}

type simulated struct {
	ready    time.Duration
	running  []time.Duration // what is left of each
	busy     time.Duration   // thread time since the last sample
	used     time.Duration   // CPU time since the last sample
	draining bool
}

const (
	step   = 5 * time.Millisecond
	perAsk = int(Every / step)
)

func newMachine(t *testing.T, b Bounds, s Settings) *machine {
	t.Helper()
	if s.CPUs == 0 {
		s.CPUs = 4
	}
	if s.Idle == 0 {
		s.Idle = 30 * time.Second
	}
	m := &machine{
		t: t, policy: New(s, b), random: rand.New(rand.NewPCG(1, 2)), threads: 1, work: 100 * time.Millisecond,
		cpus: s.CPUs, start: time.Second, size: 100 << 20,
	}
	for range b.Min {
		m.workers = append(m.workers, &simulated{})
	}
	return m
}

// run lets time pass, with so many requests a second, at random moments.
func (m *machine) run(d time.Duration, rate float64) {
	m.t.Helper()
	for i := range int(d / step) {
		m.now += step
		m.arrive(rate)
		m.serve()
		if i%perAsk == 0 {
			m.ask()
		}
	}
}

// ramp is run with a rate that changes evenly.
func (m *machine) ramp(d time.Duration, from, to float64) {
	m.t.Helper()
	parts := int(d / Every)
	for i := range parts {
		m.run(Every, from+(to-from)*float64(i)/float64(parts))
	}
}

func (m *machine) arrive(rate float64) {
	for m.owed += rate * step.Seconds() * m.random.ExpFloat64(); m.owed >= 1; m.owed-- {
		m.request()
	}
}

func (m *machine) request() {
	m.requests++
	m.waiting = append(m.waiting, m.now)
}

// serve gives waiting requests to threads and lets all that run go on, on the CPUs there are.
func (m *machine) serve() {
	for len(m.waiting) > 0 {
		var best *simulated
		for _, w := range m.workers {
			if w.ready <= m.now && !w.draining && (m.threads == 0 || len(w.running) < m.threads) && (best == nil || len(w.running) < len(best.running)) {
				best = w
			}
		}
		if best == nil {
			break
		}
		if m.waiting[0] >= m.settled {
			m.longest = max(m.longest, m.now-m.waiting[0])
		}
		m.waiting = m.waiting[1:]
		best.running = append(best.running, m.work)
	}
	wanted := 0.0 // CPUs
	for _, w := range m.workers {
		wanted += m.wants(w)
	}
	slow := 1.0
	if wanted > m.cpus {
		slow = m.cpus / wanted
	}
	for _, w := range m.workers {
		n := len(w.running)
		if n == 0 {
			continue
		}
		w.busy += time.Duration(n) * step
		w.used += time.Duration(m.wants(w) * slow * float64(step))
		speed := 1.0
		if m.cpu > 0 { // what they want of the interpreter, they get one after the other
			speed = slow * min(1, 1/(float64(n)*m.cpu))
		}
		left := w.running[:0]
		for _, r := range w.running {
			if r -= time.Duration(speed * float64(step)); r > 0 {
				left = append(left, r)
			}
		}
		w.running = left
	}
	m.workers = slices.DeleteFunc(m.workers, func(w *simulated) bool { return w.draining && len(w.running) == 0 })
}

func (m *machine) wants(w *simulated) float64 { return min(1, float64(len(w.running))*m.cpu) }

func (m *machine) ask() {
	m.t.Helper()
	s := Sample{At: m.now, Waiting: len(m.waiting), Requests: m.requests}
	if len(m.waiting) > 0 {
		s.Oldest = m.now - m.waiting[0]
	}
	for _, w := range m.workers {
		if w.draining {
			s.Leaving += m.size
			continue
		}
		if s.Count++; w.ready <= m.now {
			v := Worker{InFlight: len(w.running), Threads: m.threads, CPU: w.used.Seconds() / Every.Seconds()}
			if m.threads > 0 {
				v.Busy = w.busy.Seconds() / Every.Seconds() / float64(m.threads)
			}
			w.busy, w.used = 0, 0
			s.Workers = append(s.Workers, v)
			s.Memory += m.size
			s.Largest = m.size
		}
	}
	n := s.Count
	d := m.policy.Decide(s)
	if d.Short {
		m.short++
	}
	if d.Change == 0 {
		return
	}
	m.changes = append(m.changes, change{m.now, d})
	b := m.policy.Bounds()
	if n += d.Change; n > max(b.Max, b.Min) || n < b.Min && d.Change < 0 || n < 0 {
		m.t.Fatalf("%v: %+v makes %d workers, within %+v", m.now, d, n, b)
	}
	m.most = max(m.most, n)
	for range d.Change {
		m.workers = append(m.workers, &simulated{ready: m.now + m.start})
	}
	for range -d.Change {
		var least *simulated
		for _, w := range m.workers {
			if !w.draining && (least == nil || w.ready > m.now || len(w.running) < len(least.running)) {
				least = w
			}
			if least == w && w.ready > m.now {
				break
			}
		}
		least.draining = true
	}
}

// count is the number of workers, but for those that end.
func (m *machine) count() (n int) {
	for _, w := range m.workers {
		if !w.draining {
			n++
		}
	}
	return n
}

// since lists the changes from a moment on.
func (m *machine) since(at time.Duration) []change {
	i := slices.IndexFunc(m.changes, func(c change) bool { return c.at >= at })
	if i < 0 {
		return nil
	}
	return m.changes[i:]
}

// want checks the number of workers.
func (m *machine) want(what string, least, most int) {
	m.t.Helper()
	if n := m.count(); n < least || n > most {
		m.t.Errorf("%s: %d workers, want %d to %d; %v", what, n, least, most, m.changes)
	}
}

// calm checks that nothing has changed since a moment.
func (m *machine) calm(what string, at time.Duration) {
	m.t.Helper()
	if c := m.since(at); len(c) > 0 {
		m.t.Errorf("%s: it goes on changing: %v", what, c)
	}
}
