package cache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/gateway/redisstore"
)

// shared is the tier that several gateways have together, in a Redis. Each keeps its own memory in front of it; what one
// purges it removes there and tells the others.
//
// Nothing that was asked for before a purge gets into Redis after it, whoever asked: a fetch reads the versions of its URI and of all
// before it asks the responder, and what it brings is kept only if they are the same then; a purge changes them.
// Where Redis was away everything that it has, and that the memories have, is of no use: nobody knows what was purged meanwhile.
type shared struct {
	*redisstore.Store
	c    *Cache
	id   string // of this gateway, in messages
	log  *slog.Logger
	owed atomic.Bool // a purge did not reach Redis
	lost atomic.Bool // messages were missed

	hits, misses, stored, purged, heardOf atomic.Uint64
}

// channel is where purges are told.
const channel = "cache"

// longestKey is the longest that is shared, in bytes.
const longestKey = 4 << 10

// redisPatience is how long a purge, which nobody must wait for in vain, takes at most.
const redisPatience = 5 * time.Second

func newShared(c *Cache, store *redisstore.Store, log *slog.Logger) *shared {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	s := &shared{Store: store, c: c, log: log, id: hex.EncodeToString(id[:])}
	s.lost.Store(true) // until it hears what others purge
	return s
}

func entryKey(key string) string { return "cache:e:" + key }
func tagKey(tag string) string   { return "cache:t:" + tag }
func uriKey(uri string) string   { return "cache:u:" + uri }
func versionKey(uri string) string {
	return "cache:v:" + uri
}

const allVersions = "cache:v"

// versions are those that a fetch was begun with.
type versions struct{ uri, all string }

// get asks for an answer, and for the versions. Both may be there, or neither, as Redis may be away; then v is nil.
func (s *shared) get(ctx context.Context, key, uri string, variant func(names []string) string) (record, e *entry, v *versions) {
	for range 2 {
		result, err := s.Eval(ctx, getScript, []string{entryKey(key), versionKey(uri), allVersions})
		list, ok := result.([]any)
		if err != nil || !ok || len(list) != 3 {
			return nil, nil, nil
		}
		if v == nil {
			v = &versions{text(list[1]), text(list[2])}
		}
		found, _ := list[0].(string)
		if found == "" {
			return record, nil, v
		}
		if e, err = decode([]byte(found), s.c.Now()); err != nil || e.key != key {
			return record, nil, v
		}
		if e.names == nil {
			return record, e, v
		}
		record, key = e, variant(e.names)
	}
	return record, nil, v
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// put shares an answer, if nothing of its URI was purged since v. It returns at once.
func (s *shared) put(e, record *entry, v *versions) {
	now := s.c.Now()
	ttl := e.left(now) + max(e.while, e.onError)
	if ttl < time.Second || len(e.key) > longestKey || e.always {
		return
	}
	s.Go(func(ctx context.Context) {
		value, err := e.encode(now)
		var index []byte
		if err == nil && record != nil {
			index, err = record.encode(now)
		}
		if err != nil {
			s.log.Error(err.Error())
			return
		}
		keys := []string{versionKey(e.uri), allVersions, entryKey(e.key), entryKey(""), uriKey(e.uri)}
		if record != nil {
			keys[3] = entryKey(record.key)
		}
		for _, t := range e.tags {
			keys = append(keys, tagKey(t))
		}
		done, err := s.Eval(ctx, putScript, keys, value, ttl.Milliseconds(), v.uri, v.all, index)
		if n, _ := done.(int64); err == nil && n == 1 {
			s.stored.Add(1)
		}
	})
}

// message is what gateways tell each other: what to remove from their memories.
type message struct {
	From                  string
	URI, URL, Prefix, Tag string `json:",omitempty"`
	All                   bool   `json:",omitempty"`
}

// purge removes from Redis what p selects, and tells the others. It may block.
func (s *shared) purge(ctx context.Context, p *Purge) error {
	if err := s.remove(ctx, p); err != nil {
		return err
	}
	text, err := json.Marshal(message{From: s.id, URI: p.uri, URL: p.URL, Prefix: p.Prefix, Tag: p.Tag, All: p.All})
	if err != nil {
		return fmt.Errorf("cannot tell of a purge: %w", err)
	}
	s.purged.Add(1)
	return s.Publish(ctx, channel, text)
}

// remove removes from Redis what p selects.
func (s *shared) remove(ctx context.Context, p *Purge) error {
	switch {
	case p.uri != "":
		_, err := s.Eval(ctx, purgeScript, []string{versionKey(p.uri), uriKey(p.uri)})
		return err
	case p.Tag != "":
		_, err := s.Eval(ctx, purgeScript, []string{allVersions, tagKey(p.Tag)})
		return err
	}
	how, what := "all", ""
	switch {
	case p.URL != "":
		how, what = "url", p.URL
	case p.Prefix != "":
		how, what = "prefix", p.Prefix
	}
	cursor := "0"
	for {
		result, err := s.Eval(ctx, scanScript, []string{allVersions, entryKey("")}, cursor, how, what)
		if err != nil {
			return err
		}
		if cursor = text(result); cursor == "" || cursor == "0" {
			return nil
		}
	}
}

// tell has Redis and the others follow a purge of this gateway. It returns at once; what cannot be told now is owed.
func (s *shared) tell(p Purge) {
	if !s.Go(func(context.Context) { s.follow(&p) }) {
		s.owed.Store(true)
	}
}

// follow is a purge of this gateway in Redis. It may block.
func (s *shared) follow(p *Purge) {
	ctx, cancel := context.WithTimeout(context.Background(), redisPatience)
	defer cancel()
	if err := s.purge(ctx, p); err != nil {
		s.owed.Store(true)
	}
	// What was read of Redis before it was removed there must not stay.
	s.c.purgeHere(p)
}

// run hears of the others' purges until ctx ends.
func (s *shared) run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { s.settle(ctx) })
	s.Subscribe(ctx, channel, redisstore.Listener{
		Began: func() {
			s.c.purgeHere(&Purge{All: true})
			s.lost.Store(false)
		},
		Lost: func() {
			s.lost.Store(true)
			s.owed.Store(true) // it may come back with what it had some time ago
		},
		Message: s.heard,
	})
}

// heard is told of a purge.
func (s *shared) heard(b []byte) {
	var m message
	if json.Unmarshal(b, &m) != nil || m.From == s.id {
		return
	}
	p := Purge{uri: m.URI, URL: m.URL, Prefix: m.Prefix, Tag: m.Tag, All: m.All}
	s.c.purgeHere(&p)
	s.heardOf.Add(1)
}

// settle pays what is owed: once a purge has not reached Redis, everything in it is of no use.
func (s *shared) settle(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.Up() || !s.owed.Swap(false) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, redisPatience)
		if err := s.purge(limited, &Purge{All: true}); err != nil {
			s.owed.Store(true)
		}
		cancel()
	}
}

// usable is whether it is worth to ask Redis, and what it says may be believed.
func (s *shared) usable() bool { return s != nil && s.Up() && !s.owed.Load() && !s.lost.Load() }

// metrics are this tier's counters, by their label.
func (s *shared) metrics() map[string]uint64 {
	return map[string]uint64{"hit": s.hits.Load(), "miss": s.misses.Load(), "stored": s.stored.Load(), "purged": s.purged.Load(), "heard": s.heardOf.Load()}
}

// Keys of the scripts: the first are named where they are called; all of them begin with the store's prefix.
var (
	// getScript returns the entry and both versions.
	getScript = redisstore.NewScript(`
return {redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''}`)

	// putScript keeps an entry, and says in the sets of its URI and its tags that it is there. Sets live as long as the
	// longest of what they name.
	putScript = redisstore.NewScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[3] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[4] then return 0 end
local ttl = tonumber(ARGV[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ttl)
if ARGV[5] ~= '' then redis.call('SET', KEYS[4], ARGV[5], 'PX', ttl) end
for i = 5, #KEYS do
  redis.call('SADD', KEYS[i], KEYS[3])
  if i == 5 and ARGV[5] ~= '' then redis.call('SADD', KEYS[i], KEYS[4]) end
  if redis.call('PTTL', KEYS[i]) < ttl then redis.call('PEXPIRE', KEYS[i], ttl) end
end
return 1`)

	// purgeScript removes what a set names, and changes a version, which outlives every fetch.
	purgeScript = redisstore.NewScript(`
local t = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ` + strconv.FormatInt(versionLife.Milliseconds(), 10) + `)
local names = redis.call('SMEMBERS', KEYS[2])
for _, name in ipairs(names) do redis.call('DEL', name) end
redis.call('DEL', KEYS[2])
return #names`)

	// scanScript does that for entries by their URIs, some at a time.
	scanScript = redisstore.NewScript(`
if ARGV[1] == '0' then
  redis.call('INCR', KEYS[1])
  redis.call('PEXPIRE', KEYS[1], ` + strconv.FormatInt(versionLife.Milliseconds(), 10) + `)
end
local found = redis.call('SCAN', ARGV[1], 'COUNT', 500)
for _, name in ipairs(found[2]) do
  if string.sub(name, 1, #KEYS[2]) == KEYS[2] then
    local uri = string.match(string.sub(name, #KEYS[2] + 1), '^[^\n]*')
    if string.sub(ARGV[3], 1, 1) == '/' then uri = string.match(uri, '^%a+://[^/]*(/.*)$') or '' end
    if ARGV[2] == 'all' or ARGV[2] == 'url' and uri == ARGV[3] or ARGV[2] == 'prefix' and string.sub(uri, 1, #ARGV[3]) == ARGV[3] then
      redis.call('DEL', name)
    end
  end
end
return found[1]`)
)

// versionLife is how long a version is kept; no fetch takes as long.
const versionLife = 24 * time.Hour
