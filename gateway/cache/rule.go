package cache

import (
	"strings"
	"time"
)

// Policy is what holds for all answers.
type Policy struct {
	// Heuristic lets answers be fresh for a while that do not say for how long (RFC 9111 §4.2.2).
	Heuristic bool
	// ShareCookies lets answers to requests with cookies be stored that say no more than max-age, as the RFC allows.
	ShareCookies bool
	// ClientControl is whether requests' Cache-Control counts (§5.2.1).
	ClientControl bool
}

// Rule is what the operator says of a part of the paths.
type Rule struct {
	// Path is a prefix in whole segments; or a pattern with * for anything but a slash and ** for anything.
	Path string
	// Off keeps the cache out of it.
	Off bool
	// TTL is how long answers are fresh that do not say so themselves; 0: no longer than they say. Override: whatever they say.
	TTL                                time.Duration
	Override                           bool
	StaleWhileRevalidate, StaleIfError time.Duration
	Statuses                           []int
	// QueryOnly are the only parameters that count, where there are any; QueryIgnore those that do not. What does not count
	// is not given to the application either. A name may end with *.
	QueryOnly, QueryIgnore []string
	NoQuery                bool // none counts
	// Headers are request fields, lower case, that answers differ by.
	Headers []string
	// RemoveCookies takes the cookies from requests; RemoveSetCookie those from answers.
	RemoveCookies, RemoveSetCookie bool
}

func (r *Rule) status(n int) bool {
	if len(r.Statuses) == 0 {
		return n == 200 || n == 203 || n == 301 || n == 308
	}
	for _, s := range r.Statuses {
		if s == n {
			return true
		}
	}
	return false
}

// match is whether a decoded path is the rule's.
func (r *Rule) match(path []byte) bool {
	if strings.Contains(r.Path, "*") {
		return matches(r.Path, path)
	}
	p := strings.TrimSuffix(r.Path, "/")
	return len(path) >= len(p) && string(path[:len(p)]) == p && (len(path) == len(p) || path[len(p)] == '/')
}

// matches compares a path with a pattern. It takes time in proportion to the product of their lengths, at most: a star that
// could stand for more is tried again only for the last one of its kind.
func matches(pattern string, path []byte) bool {
	p, i := 0, 0
	star, starAt := -1, 0   // behind the last *, and where it stands for nothing yet
	stars, starsAt := -1, 0 // of **
	for i < len(path) || p < len(pattern) {
		if p < len(pattern) {
			switch {
			case strings.HasPrefix(pattern[p:], "**"):
				p += 2
				stars, starsAt, star = p, i, -1
				continue
			case pattern[p] == '*':
				p++
				star, starAt = p, i
				continue
			case i < len(path) && pattern[p] == path[i]:
				p, i = p+1, i+1
				continue
			}
		}
		switch {
		case star >= 0 && starAt < len(path) && path[starAt] != '/':
			starAt++
			p, i = star, starAt
		case stars >= 0 && starsAt < len(path):
			starsAt++
			p, i, star = stars, starsAt, -1
		default:
			return false
		}
	}
	return true
}
