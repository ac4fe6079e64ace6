package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	f := func(s string, want Rate, again string) {
		t.Helper()
		v, err := rate{}.read(s, "")
		if (err == nil) != (want.Count > 0) {
			t.Errorf("%s: error is %v", s, err)
			return
		}
		if err == nil && (v != want || rate{}.write(v) != tomlString(again)) {
			t.Errorf("%s: is %v, written as %s", s, v, rate{}.write(v))
		}
	}
	f("10/s", Rate{10, time.Second}, "10/s")
	f("100 / m", Rate{100, time.Minute}, "100/m")
	f("1000/h", Rate{1000, time.Hour}, "1000/h")
	f("20000/d", Rate{20000, 24 * time.Hour}, "20000/d")
	f("5/10s", Rate{5, 10 * time.Second}, "5/10s")
	f("5/60s", Rate{5, time.Minute}, "5/m")
	f("5/1.5h", Rate{5, 90 * time.Minute}, "5/90m")
	f("1/31d", Rate{1, 31 * 24 * time.Hour}, "1/31d")
	for _, s := range []string{"", "10", "10/", "/s", "0/s", "-1/s", "1.5/s", "10/w", "10/ms", "10/1500ms", "10/0s", "10/-1s", "10/32d", "100000001/s", "10/s/s", "10/9999999999999h"} {
		f(s, Rate{}, "")
	}
	if _, err := (rate{}).read(int64(10), ""); err == nil {
		t.Error("10 is a rate")
	}
}

func TestNetworks(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		p, err := ParseNetwork(s)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%s: is %v, %v", s, p, err)
		}
	}
	f("10.0.0.1", "10.0.0.1/32")
	f("10.1.2.3/8", "10.0.0.0/8")
	f("::1", "::1/128")
	f("2001:db8::1/32", "2001:db8::/32")
	f("::ffff:10.0.0.1", "10.0.0.1/32")
	f("::ffff:10.1.2.3/104", "10.0.0.0/8")
	f("fe80::1%eth0", "")
	f("10.0.0.0/33", "")
	f("localhost", "")
	f("", "")
}

// TestRateLimits: what an entry becomes, and what is wrong with one.
func TestRateLimits(t *testing.T) {
	dir := t.TempDir()
	load := func(content string) (*Config, error) {
		if err := os.WriteFile(filepath.Join(dir, "c.toml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load([]string{"config", "-c", "c.toml"}, nil, dir)
		return c, err
	}
	c, err := load("[[rate_limit]]\nrate = '5/s'\npath = '/a/'\nkey = 'header:X-Key'\n[[rate_limit]]\nrate = '1/m'\nname = 'n'\nburst = 3\nallow = '::1'\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []RateLimit{
		{Name: "limit1", Paths: []string{"/a"}, Methods: []string{}, Key: "header:x-key", Rate: Rate{5, time.Second}, Allow: []string{}, IPv6Prefix: 64, Headers: true, Keys: 131072},
		{Name: "n", Paths: []string{}, Methods: []string{}, Key: "address", Rate: Rate{1, time.Minute}, Burst: 3, Allow: []string{"::1"}, IPv6Prefix: 64, Headers: true, Keys: 131072},
	}
	if !reflect.DeepEqual(c.RateLimits, want) {
		t.Errorf("got  %+v\nwant %+v", c.RateLimits, want)
	}
	f := func(want, lines string) {
		t.Helper()
		if _, err := load(lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", lines, err)
		}
	}
	f(`rate_limit.rate (c.toml:1): is missing; write, for example, rate = "10/s"`, "[[rate_limit]]\n")
	f("rate_limit.name (c.toml:6): \"a\" is the name of an entry before", "[[rate_limit]]\nrate='1/s'\nname='a'\n[[rate_limit]]\nrate='1/s'\nname='a'\n")
	f("limit2\" is the name of an entry before", "[[rate_limit]]\nrate='1/s'\nname='limit2'\n[[rate_limit]]\nrate='1/s'\n")
	f("are more than can be counted; write the same rate with a shorter time", "[[rate_limit]]\nrate='100000000/d'\n")
	f("are more than can be counted", "[[rate_limit]]\nrate='1/31d'\nburst=5000\n")
	f("rate_limit.shared (c.toml:3): there is no Redis to share it through; set redis.url", "[[rate_limit]]\nrate='1/s'\nshared=true\n")
	f(`expected "address", "route" or the name of a field`, "[[rate_limit]]\nrate='1/s'\nkey='header:'\n")
	f(`expected "address", "route" or the name of a field`, "[[rate_limit]]\nrate='1/s'\nkey='header:a b'\n")
	f("expected an array of addresses or networks", "[[rate_limit]]\nrate='1/s'\nallow=['10.0.0.0/99']\n")
	f("expected an array of methods", "[[rate_limit]]\nrate='1/s'\nmethods=['GET POST']\n")
	f("without empty", "[[rate_limit]]\nrate='1/s'\npath=['/a//b']\n")
	f("expected at most 64 letters", "[[rate_limit]]\nrate='1/s'\nname='a b'\n")
}
