package dispatch

import "time"

const (
	// admissionParts is in how many parts QueueTimeout is looked at.
	admissionParts = 4
	// admissionShare, in percent, is how much of what the workers are known to take within QueueTimeout may wait: the
	// last to come should not be the one that is late.
	admissionShare = 90
)

// admission bounds the queue by what the workers can take within QueueTimeout, so that under overload who
// cannot be served in time is told at once, and does not wait for nothing. It knows that once the queue has not been empty
// for QueueTimeout: until then the workers may only have had no more to do. Guarded by Dispatcher.mu.
type admission struct {
	taken int                 // from the queue, since next was set
	parts [admissionParts]int // as many as were taken in each of the last parts
	known int                 // of these
	next  time.Duration       // when the present part ends; 0: none has begun
}

// forget begins anew.
func (a *admission) forget() { *a = admission{} }

// limit is the most that may wait, as far as that is known.
func (a *admission) limit(now, timeout time.Duration) (n int, known bool) {
	switch {
	case a.next == 0:
		a.next = now + timeout/admissionParts
		a.taken = 0
	case now >= a.next:
		a.parts[a.known%admissionParts] = a.taken
		a.known++
		a.taken = 0
		a.next = now + timeout/admissionParts
	}
	if a.known < admissionParts {
		return 0, false
	}
	sum := 0
	for _, part := range a.parts {
		sum += part
	}
	return max(1, sum*admissionShare/100), true
}

// admit works out how many may wait. With d.mu held, several times in QueueTimeout.
func (d *Dispatcher) admit(now time.Duration) {
	d.queue.limit = d.queue.most
	if d.queue.len == 0 || d.held || !d.anyServing() {
		d.admission.forget()
		return
	}
	if n, known := d.admission.limit(now, d.QueueTimeout); known {
		d.queue.limit = min(n, d.queue.most)
	}
}

// took notes that a worker took a request from the queue. With d.mu held.
func (d *Dispatcher) took() {
	d.admission.taken++
	if d.queue.len == 0 {
		d.queue.limit = d.queue.most
		d.admission.forget()
	}
}

// full is why the queue takes no more. With d.mu held.
func (d *Dispatcher) full() Failure {
	if d.queue.len < d.queue.most {
		return FailOverload
	}
	return FailQueueFull
}
