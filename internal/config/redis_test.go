package config

import (
	"strings"
	"testing"
)

// TestRedisURL: what is a URL of Redis, and that a password of one is in no error and in nothing that is printed.
func TestRedisURL(t *testing.T) {
	dir := t.TempDir()
	f := func(url, printedAs string) {
		t.Helper()
		c, s, err := Load([]string{"config", "--redis-url", url}, nil, dir)
		if (err == nil) != (printedAs != "") {
			t.Errorf("%s: error is %v", url, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: error is %v", url, err)
			}
			return
		}
		out := printed(t, c, s)
		if c.Redis.URL != url || !strings.Contains(out, `url = "`+printedAs+`"`) || strings.Contains(out, "s3cret") {
			t.Errorf("%s: is %s, printed as\n%s", url, c.Redis.URL, out)
		}
	}
	f("redis://localhost", "redis://localhost")
	f("redis://:s3cret@10.0.0.1:6379/2", "redis://:xxxxx@10.0.0.1:6379/2")
	f("rediss://u:s3cret%2F@h:1/", "rediss://u:xxxxx@h:1/")
	f("unix:///run/redis.sock", "unix:///run/redis.sock")
	f("unix://u:s3cret@/run/redis.sock?db=3", "unix://u:xxxxx@/run/redis.sock?db=3")
	f("redis://u:s3cret/@h", "")
	f("redis://u:s3cret@h:99999", "")
	f("redis://u:s3cret@h/a", "")
	f("redis://u:s3cret@h/1/2", "")
	f("redis://u:s3cret@h?db=1", "")
	f("redis://u:s3cret@", "")
	f("unix://u:s3cret@run/redis.sock", "")
	f("unix:///run/redis.sock?db=3&password=s3cret", "")
	f("redis:s3cret", "")
	f("http://u:s3cret@h", "")
	f("s3cret", "")
}
