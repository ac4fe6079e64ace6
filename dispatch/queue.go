package dispatch

import "time"

// queue holds waiting calls in order of arrival, in a ring. Guarded by Dispatcher.mu.
type queue struct {
	ring []*call // nil where a call was removed
	head int     // position of the first
	tail int     // position after the last
	len  int
	most int
	// limit is the most for now, at most most.
	limit int
}

func newQueue(most int) queue { return queue{most: most, limit: most} }

func (q *queue) at(position int) **call { return &q.ring[position&(len(q.ring)-1)] }

// push appends c; false means that the queue is full.
func (q *queue) push(c *call) bool {
	if q.len >= q.limit {
		return false
	}
	q.grow()
	c.position = q.tail
	*q.at(q.tail) = c
	q.tail++
	q.len++
	return true
}

// pushFront puts c before all others, whatever the limit: it had been admitted
// once already.
func (q *queue) pushFront(c *call) {
	q.grow()
	q.head--
	c.position = q.head
	*q.at(q.head) = c
	q.len++
}

// grow makes room for one more at either end. Of places that removed calls left behind it makes
// use first, so that the ring stays within four times the longest queue.
func (q *queue) grow() {
	if q.tail-q.head < len(q.ring) {
		return
	}
	old := *q
	size := max(64, len(old.ring))
	if 2*q.len >= size {
		size *= 2
	}
	q.ring = make([]*call, size)
	q.tail = q.head
	for p := old.head; p < old.tail; p++ {
		if c := *old.at(p); c != nil {
			c.position = q.tail
			*q.at(q.tail) = c
			q.tail++
		}
	}
}

func (q *queue) remove(c *call) {
	*q.at(c.position) = nil
	q.len--
	q.trim()
}

// trim moves head to the first call.
func (q *queue) trim() {
	for q.head < q.tail && *q.at(q.head) == nil {
		q.head++
	}
}

// first is the call that waits longest, or nil.
func (q *queue) first() *call {
	if q.len == 0 {
		return nil
	}
	return *q.at(q.head)
}

func (q *queue) pop() *call {
	c := q.first()
	if c != nil {
		q.remove(c)
	}
	return c
}

// restart has all that wait begin to do so now.
func (q *queue) restart(now time.Duration) {
	for p := q.head; p < q.tail; p++ {
		if c := *q.at(p); c != nil {
			c.since = now
		}
	}
}
