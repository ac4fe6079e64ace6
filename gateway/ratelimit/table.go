package ratelimit

import (
	"sync"
)

// key is what a bucket is for: a hash of it, so that all are of one size and no secret is kept. Two keys with the same hash would share a
// bucket; with seeds that nobody knows and 128 bits nobody finds such.
type key struct{ high, low uint64 }

// bucket is one key's. The zero bucket is free.
type bucket struct {
	key   key
	level int64 // as of at
	at    int64 // monotonic, in nanoseconds
}

const (
	ways     = 8 // buckets that a key may be in
	shards   = 16
	leastSet = 2 // sets of a shard at first
)

// set is where a key may be.
type set [ways]bucket

// table holds the buckets of one rule, in memory that grows to a bound. A bucket that is full says nothing, as one is for every key
// that has none: such are replaced first. When there is none, the fullest of a set is.
type table struct {
	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	rate    Rate
	most    int // sets
	sets    []set
	keys    int // buckets that are not free
	evicted uint64
}

// newTable makes a table for so many keys, about.
func newTable(r Rate, keys int) *table {
	t := &table{}
	for i := range t.shards {
		s := &t.shards[i]
		s.rate, s.sets = r, make([]set, leastSet)
	}
	t.configure(r, keys)
	return t
}

// configure changes the rate, for buckets that are there too: each has as many requests left as before, as far as there is room.
func (t *table) configure(r Rate, keys int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.most = max(leastSet, (keys+shards*ways-1)/(shards*ways))
		if s.rate != r {
			for j := range s.sets {
				for k := range s.sets[j] {
					if b := &s.sets[j][k]; b.key != (key{}) {
						b.level = r.converted(b.level, s.rate)
					}
				}
			}
			s.rate = r
		}
		s.mu.Unlock()
	}
}

// state is what a bucket has after something was done.
type state struct {
	rate  Rate
	level int64
	taken bool // a token
}

// take takes a token where there is one.
func (t *table) take(k key, now int64) state {
	s := &t.shards[k.high%shards]
	s.mu.Lock()
	b := s.find(k, now)
	st := state{rate: s.rate, taken: b.level >= s.rate.cost()}
	if st.taken {
		b.level -= s.rate.cost()
	}
	st.level = b.level
	s.mu.Unlock()
	return st
}

// giveBack gives back what take took, where the request was refused for another reason.
func (t *table) giveBack(k key, now int64) state {
	s := &t.shards[k.high%shards]
	s.mu.Lock()
	b := s.find(k, now)
	b.level = min(b.level+s.rate.cost(), s.rate.full())
	st := state{rate: s.rate, level: b.level}
	s.mu.Unlock()
	return st
}

// look is what a bucket has; a key without one has a full one.
func (t *table) look(k key, now int64) state {
	s := &t.shards[k.high%shards]
	s.mu.Lock()
	st := state{rate: s.rate, level: s.rate.full()}
	if b := s.seek(k); b != nil {
		st.level = s.rate.refilled(b.level, now-b.at)
	}
	s.mu.Unlock()
	return st
}

// put makes a bucket have no more than another place says, which reckoned with a rate. Of several that say it in another order than
// they knew it, the least is the latest.
func (t *table) put(k key, now, level int64, r Rate) {
	s := &t.shards[k.high%shards]
	s.mu.Lock()
	b := s.find(k, now)
	if s.rate != r {
		level = s.rate.converted(level, r)
	}
	b.level = min(level, b.level)
	s.mu.Unlock()
}

// size is how many keys there are, and how many were forgotten before their buckets were full.
func (t *table) size() (keys int, evicted uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		keys, evicted = keys+s.keys, evicted+s.evicted
		s.mu.Unlock()
	}
	return keys, evicted
}

func (s *shard) set(k key) *set { return &s.sets[k.low&uint64(len(s.sets)-1)] }

// seek finds a key's bucket; nil: there is none. With mu held.
func (s *shard) seek(k key) *bucket {
	for all, i := s.set(k), 0; i < ways; i++ {
		if all[i].key == k {
			return &all[i]
		}
	}
	return nil
}

// find finds a key's bucket, as of now, or makes it. With mu held.
func (s *shard) find(k key, now int64) *bucket {
	if b := s.seek(k); b != nil {
		b.level = s.rate.refilled(b.level, now-b.at)
		b.at = max(b.at, now)
		return b
	}
	b := s.room(k, now)
	for b == nil {
		s.grow()
		b = s.room(k, now)
	}
	if b.key == (key{}) {
		s.keys++
	}
	*b = bucket{k, s.rate.full(), now}
	return b
}

// room finds a place for a key; nil: the table should grow. With mu held.
func (s *shard) room(k key, now int64) *bucket {
	all := s.set(k)
	var fullest *bucket
	best := int64(-1)
	for i := range all {
		b := &all[i]
		if b.key == (key{}) {
			return b
		}
		if level := s.rate.refilled(b.level, now-b.at); level > best {
			best, fullest = level, b
		}
	}
	if best < s.rate.full() {
		if 2*len(s.sets) <= s.most {
			return nil
		}
		s.evicted++
	}
	return fullest
}

// grow doubles the sets, which takes as long as a copy of some ten kilobytes. With mu held.
func (s *shard) grow() {
	old := s.sets
	s.sets = make([]set, 2*len(old))
	for i := range old {
		for _, b := range old[i] {
			if b.key == (key{}) {
				continue
			}
			// Of one set there are two now, so there is room.
			to := s.set(b.key)
			for j := range to {
				if to[j].key == (key{}) {
					to[j] = b
					break
				}
			}
		}
	}
}
