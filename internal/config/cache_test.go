package config

import (
	"strings"
	"testing"
	"time"
)

// TestCacheRouteFlag: entries of flags come behind those of the file.
func TestCacheRouteFlag(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "pyspeed.toml", "[[cache_route]]\npath = \"/a\"\n")
	c, s := mustLoad(t, []string{"-c", "pyspeed.toml", "--cache-route", "/b=x/*=90s", "--cache-route=/c=1h"}, nil, dir)
	if len(c.CacheRoutes) != 3 || c.CacheRoutes[1].Path != "/b=x/*" || c.CacheRoutes[1].TTL != 90*time.Second || c.CacheRoutes[2].Path != "/c" {
		t.Errorf("%+v", c.CacheRoutes)
	}
	if origin := s.Origin("cache_route[2].ttl").String(); origin != "flag --cache-route" {
		t.Errorf("it comes from %q", origin)
	}
	f := func(value, want string) {
		t.Helper()
		if _, _, err := Load([]string{"config", "--cache-route", value}, nil, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
	f("/a", "--cache-route: expected PATH=TTL, such as /products=1m")
	f("/a=", "expected PATH=TTL")
	f("a=1m", "--cache-route: expected a path")
	f("/a=soon", "--cache-route: expected")
}

// TestSharedCacheNeedsRedis: without redis.url there is nothing to share through.
func TestSharedCacheNeedsRedis(t *testing.T) {
	dir := t.TempDir()
	_, _, err := Load([]string{"main:app", "--set", "cache.shared=true"}, nil, dir)
	if err == nil || !strings.Contains(err.Error(), "there is no Redis to share through; set redis.url") {
		t.Errorf("error is %v", err)
	}
	if _, _, err = Load([]string{"main:app", "--set", "cache.shared=true", "--redis-url", "redis://a"}, nil, dir); err != nil {
		t.Error(err)
	}
}
