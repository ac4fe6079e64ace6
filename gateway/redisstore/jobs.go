package redisstore

import "context"

// Bounds of Go.
const (
	mostJobs    = mostConnections // at once
	mostWaiting = 1024
)

// jobs are what Go was given. Guarded by Store.mu.
type jobs struct {
	waiting []job
	running int
}

type job struct {
	do  func(ctx context.Context)
	ctx context.Context
	end context.CancelFunc
}

// Go runs do on a goroutine of the store's, for callers that must not wait. The context ends when the timeout has passed since
// now, however long do had to wait for its turn; do is called in any case. False: it is not, as Redis is down, or too many wait.
func (s *Store) Go(do func(ctx context.Context)) bool {
	if !s.Up() {
		s.refused.Add(1)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.jobs.waiting) >= mostWaiting {
		s.refused.Add(1)
		return false
	}
	ctx, end := context.WithTimeout(s.ctx, s.Timeout)
	s.jobs.waiting = append(s.jobs.waiting, job{do, ctx, end})
	if s.jobs.running < mostJobs {
		s.jobs.running++
		s.spawn(s.work)
	}
	return true
}

// work does what waits until nothing does.
func (s *Store) work() {
	for {
		s.mu.Lock()
		if len(s.jobs.waiting) == 0 {
			s.jobs.waiting = nil
			s.jobs.running--
			s.mu.Unlock()
			return
		}
		j := s.jobs.waiting[0]
		s.jobs.waiting[0] = job{}
		s.jobs.waiting = s.jobs.waiting[1:]
		s.mu.Unlock()
		j.do(j.ctx)
		j.end()
	}
}
