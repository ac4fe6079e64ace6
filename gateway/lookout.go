package gateway

import (
	"time"

	"pyspeed/dispatch"
	"pyspeed/gateway/scaling"
	"pyspeed/internal/process"
	"pyspeed/supervisor"
)

// leastApart is how far apart looks must be for what happened between them to mean something: the kernel counts CPU time in steps
// of 10 ms.
const leastApart = scaling.Every / 2

// shareEvery is how long a worker's share of memory is believed: to find it out costs more than the rest.
const shareEvery = 2 * time.Second

// lookout looks at worker processes from outside. It belongs to the scaler's goroutine.
type lookout struct {
	usage func(pid int) (process.Usage, error)
	share func(pid int) (int64, error)
	seen  map[string]*seen // by worker id
}

// seen is what was seen of a worker last.
type seen struct {
	current  bool // it was among the workers of this look
	usage    process.Usage
	usedAt   time.Time
	cpu      float64       // CPUs it kept busy until usedAt
	busy     time.Duration // dispatch.Busyness.Busy
	busyAt   time.Time
	threads  float64 // share of its threads that was busy until busyAt
	share    int64   // of memory
	sharedAt time.Time
}

func newLookout() lookout {
	return lookout{usage: process.Look, share: process.Share, seen: map[string]*seen{}}
}

// sample gathers what the policy wants to know.
func (s *scaler) sample(demand *dispatch.Demand) scaling.Sample {
	now := time.Now()
	sample := scaling.Sample{
		At: now.Sub(s.from), Count: s.crew.Count(), Waiting: demand.Waiting, Oldest: demand.Oldest, Requests: demand.Requests,
		Called: s.called.Load(),
	}
	statuses := s.crew.Workers()
	s.look.processes(statuses, now)
	for _, b := range demand.Workers {
		w := scaling.Worker{InFlight: b.InFlight, Threads: b.Threads}
		if e := s.look.seen[b.ID]; e != nil {
			e.busyFor(&b, now)
			w.CPU, w.Busy = e.cpu, e.threads
		}
		sample.Workers = append(sample.Workers, w)
	}
	s.mu.Lock()
	most := s.policy.Memory
	s.mu.Unlock()
	s.look.memory(&sample, statuses, most, now)
	return sample
}

// processes reads what the workers have used.
func (l *lookout) processes(statuses []supervisor.Status, now time.Time) {
	for _, e := range l.seen {
		e.current = false
	}
	for i := range statuses {
		st := &statuses[i]
		if st.State.Final() {
			continue
		}
		e := l.seen[st.ID]
		if e == nil {
			e = &seen{}
			l.seen[st.ID] = e
		}
		e.current = true
		u, err := l.usage(st.PID)
		if err != nil {
			continue // it has just died, or the system does not tell
		}
		e.used(u, now)
	}
	for id, e := range l.seen {
		if !e.current {
			delete(l.seen, id)
		}
	}
}

// used takes what the process has used until now.
func (e *seen) used(u process.Usage, now time.Time) {
	took := now.Sub(e.usedAt)
	switch {
	case e.usedAt.IsZero():
		e.usedAt, e.usage = now, u
	case took >= leastApart:
		e.cpu = float64(u.CPU-e.usage.CPU) / float64(took)
		e.usedAt, e.usage = now, u
	default:
		e.usage.Resident = u.Resident
	}
}

// busyFor takes what the worker has done until now.
func (e *seen) busyFor(b *dispatch.Busyness, now time.Time) {
	took := now.Sub(e.busyAt)
	switch {
	case e.busyAt.IsZero():
		e.busy, e.busyAt = b.Busy, now
	case took >= leastApart:
		if b.Threads > 0 {
			e.threads = float64(b.Busy-e.busy) / float64(took) / float64(b.Threads)
		}
		e.busy, e.busyAt = b.Busy, now
	}
}

// memory adds up what the workers have resident. Only where that may be too much is each one's share of it found out: forked
// workers have most of it in common.
func (l *lookout) memory(sample *scaling.Sample, statuses []supervisor.Status, most int64, now time.Time) {
	l.add(sample, statuses, func(e *seen, _ int) int64 { return e.usage.Resident })
	if most == 0 || sample.Memory+sample.Leaving+sample.Largest <= most {
		return
	}
	l.add(sample, statuses, func(e *seen, pid int) int64 {
		if now.Sub(e.sharedAt) >= shareEvery {
			e.sharedAt = now
			if n, err := l.share(pid); err == nil {
				e.share = n
			} else {
				e.share = e.usage.Resident
			}
		}
		return e.share
	})
}

func (l *lookout) add(sample *scaling.Sample, statuses []supervisor.Status, size func(e *seen, pid int) int64) {
	sample.Memory, sample.Leaving, sample.Largest = 0, 0, 0
	for i := range statuses {
		st := &statuses[i]
		e := l.seen[st.ID]
		if e == nil || !e.current {
			continue
		}
		n := size(e, st.PID)
		switch st.State {
		case supervisor.Draining:
			sample.Leaving += n
		case supervisor.Ready:
			sample.Largest = max(sample.Largest, n)
			sample.Memory += n
		default:
			sample.Memory += n
		}
	}
}
