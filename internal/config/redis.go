package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Redis is what several gateways share things through; it is used by what is said to be shared.
type Redis struct {
	URL     string // "": there is none
	Timeout time.Duration
	Prefix  string
}

const keyRedisURL = "redis.url"

// redisOptions are the records of [redis].
func redisOptions() []option {
	return []option{
		{
			key: keyRedisURL, applies: AtRestart, kind: redisURL{}, value: "", flags: []string{"--redis-url"},
			field: func(c *Config) any { return &c.Redis.URL },
			help:  "Redis that rate limits and cached answers can be shared through, as redis://HOST:PORT/DB; empty: none",
			more: "`rediss://` is with TLS, `unix:///PATH?db=DB` a socket; `redis://USER:PASSWORD@…` is allowed. A password is better given as the variable `PYSPEED_REDIS_URL`, as everybody on a " +
				"machine sees flags; it is neither logged nor printed by `pyspeed-gw config`. While Redis is down the gateway serves on, with limits of its own. See `docs/redis.md`.",
		},
		{
			key: "redis.timeout", applies: AtRestart, kind: duration{time.Millisecond, time.Minute}, value: "100ms", flags: []string{"--redis-timeout"},
			field: func(c *Config) any { return &c.Redis.Timeout },
			help:  "time for each question to Redis, with the connection that it may need; then the gateway goes on alone",
		},
		{
			key: "redis.prefix", applies: AtRestart, kind: keyPrefix{}, value: "pyspeed:", flags: []string{"--redis-prefix"},
			field: func(c *Config) any { return &c.Redis.Prefix },
			help:  "what all keys and channels begin with; gateways of the same site have the same",
		},
	}
}

// redisURL is where a Redis is, or "". What is wrong with it is said without repeating it, for it may have a password.
type redisURL struct{}

func (k redisURL) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok {
		return nil, fmt.Errorf("expected %s", k.expects())
	}
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("expected %s; characters such as / and @ in a password are written %%2F and %%40", k.expects())
	}
	query, err := url.ParseQuery(u.RawQuery)
	database := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		ok = u.Host != "" && u.RawQuery == "" && (u.Port() == "" || isNumber(u.Port(), 65535))
	case "unix":
		database = query.Get("db")
		ok = u.Host == "" && strings.HasPrefix(u.Path, "/") && len(query) <= 1 && (len(query) == 0 || query.Has("db"))
	default:
		ok = false
	}
	if !ok || err != nil || u.Opaque != "" || u.Fragment != "" || database != "" && !isNumber(database, 1<<20) {
		return nil, fmt.Errorf("expected %s", k.expects())
	}
	return s, nil
}

func isNumber(s string, most uint64) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && n <= most
}

// write leaves the password out.
func (redisURL) write(v any) string {
	u, err := url.Parse(v.(string))
	if err != nil {
		return tomlString("")
	}
	return tomlString(u.Redacted())
}
func (redisURL) argument() string { return "URL" }
func (redisURL) expects() string {
	return `"", redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB`
}

// keyPrefix is what keys in Redis begin with.
type keyPrefix struct{}

func (k keyPrefix) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || len(s) > 100 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (keyPrefix) write(v any) string { return tomlString(v.(string)) }
func (keyPrefix) argument() string   { return "TEXT" }
func (keyPrefix) expects() string    { return "at most 100 printable characters without spaces" }
