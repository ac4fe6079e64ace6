package scaling

import "time"

// Sample is what was seen at one moment, and since the sample before.
type Sample struct {
	At time.Duration // on a clock that only goes forward
	// Count is how many workers there are meant to be; Workers are those that take requests. Others start, or wait for their
	// next try to.
	Count   int
	Workers []Worker
	// Waiting is how many requests the application was not called for yet, Oldest how long the first of them has waited.
	Waiting int
	Oldest  time.Duration
	// Requests counts all that ever came.
	Requests uint64
	// Called says that a worker is needed, whatever waits.
	Called bool
	// Memory is what the workers have resident together, Largest what the largest has, Leaving what those have that end;
	// 0: not known.
	Memory, Largest, Leaving int64
}

// coming is how many workers do not take requests yet.
func (s *Sample) coming() int { return max(0, s.Count-len(s.Workers)) }

// Worker is one that takes requests.
type Worker struct {
	InFlight int
	Threads  int     // most requests that it runs at once; 0: any number, on one event loop
	Busy     float64 // mean share of its threads that had a request; 0 for an event loop
	CPU      float64 // CPUs it kept busy
}

// load is what the workers did, each part as the number of workers that it would keep busy.
type load struct {
	all float64
	cpu float64
}

// Busy is how many workers would be busy all the time with what these do.
func (s *Sample) Busy() float64 { return s.load().all }

func (s *Sample) load() (l load) {
	for i := range s.Workers {
		w := &s.Workers[i]
		// Python code runs on one CPU at a time, whatever the number of threads.
		l.all += max(w.Busy, min(w.CPU, 1))
		l.cpu += w.CPU
	}
	return l
}

func (s *Sample) inFlight() (n int) {
	for i := range s.Workers {
		n += s.Workers[i].InFlight
	}
	return n
}
