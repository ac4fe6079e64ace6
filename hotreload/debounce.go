package hotreload

import "time"

// debounce says when changes have come to rest. It does not look at a clock.
type debounce struct {
	delay time.Duration // quiet that makes a rest
	most  time.Duration // from the first change on

	open               bool
	first, began, last time.Time
}

// note is told of every change.
func (d *debounce) note(now time.Time) {
	if !d.open {
		d.open, d.first, d.began = true, now, now
	}
	d.last = now
}

// due is when the changes are to be taken as one, unless there are more before; false when there are none.
func (d *debounce) due() (at time.Time, ok bool) {
	at = d.last.Add(d.delay)
	if latest := d.first.Add(d.most); at.After(latest) {
		at = latest
	}
	return at, d.open
}

// putOff waits on, as more changes are certain to come; false when that has gone on for the limit.
func (d *debounce) putOff(now time.Time, limit time.Duration) bool {
	if now.Sub(d.began) >= limit {
		return false
	}
	d.first, d.last = now, now
	return true
}

// rest ends it; the next change is a first one.
func (d *debounce) rest() { d.open = false }
