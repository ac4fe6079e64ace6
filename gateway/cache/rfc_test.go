package cache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sentence is one of the RFC's, and what follows of it. A line of play is
//
//	< STATUS | Field: value …      what the application answers from now on
//	> METHOD target | Field: value …  a request
//	= app STATUS | Field: value …  who answered, with what; a field without a value is not there; {-60s} is that time
//	? Field: value                 what the application was asked with; without a value: not with that field
//	+ 30s                          time passes
type sentence struct{ section, text, play string }

func TestRFC9111(t *testing.T) {
	for _, s := range sentences() {
		t.Run(s.section+" "+s.text, func(t *testing.T) { play(t, newRig(t), s.play) })
	}
}

func play(t *testing.T, r *rig, script string) {
	t.Helper()
	var got *recorder
	before := 0
	for line := range strings.Lines(script) {
		line = times(strings.TrimSpace(line))
		if line == "" {
			continue
		}
		first, fields, _ := strings.Cut(line[1:], "|")
		first = strings.TrimSpace(first)
		switch line[0] {
		case '<':
			var status int
			fmt.Sscan(first, &status)
			r.answers(status, strings.ReplaceAll(fields, "|", "\n"), "body of "+first)
		case '>':
			before = r.called()
			got = r.ask(first, strings.ReplaceAll(fields, "|", "\n"))
		case '+':
			d, err := time.ParseDuration(first)
			if err != nil {
				t.Fatal(err)
			}
			r.pass(d)
		case '?':
			name, want, _ := strings.Cut(first, ":")
			if have := string(r.last.Get(strings.ToLower(name))); have != strings.TrimSpace(want) {
				t.Errorf("%s: the application was asked with %q", line, have)
			}
		case '=':
			who := "cache"
			if r.called() > before {
				who = "app"
			}
			if have := fmt.Sprintf("%s %d", who, got.status); have != first {
				t.Errorf("%s: got %s, Cache-Status %q", line, have, got.fields["cache-status"])
			}
			for field := range strings.SplitSeq(fields, "|") {
				name, want, _ := strings.Cut(strings.TrimSpace(field), ":")
				if have := got.fields[strings.ToLower(name)]; name != "" && have != strings.TrimSpace(want) {
					t.Errorf("%s: %s is %q", line, name, have)
				}
			}
		}
	}
}

// times puts dates in the place of {-60s}.
func times(line string) string {
	for {
		from := strings.IndexByte(line, '{')
		if from < 0 {
			return line
		}
		to := strings.IndexByte(line, '}')
		d, err := time.ParseDuration(line[from+1 : to])
		if err != nil {
			panic(err)
		}
		line = line[:from] + time.Now().Add(d).UTC().Format(http.TimeFormat) + line[to+1:]
	}
}

func sentences() []sentence {
	return []sentence{
		{"§2", "the method is part of the key: what is stored for GET answers HEAD, and nothing else", `
			< 200 | Cache-Control: max-age=60
			> GET /
			= app 200
			> HEAD /
			= cache 200 | Content-Length: 11
			> OPTIONS /
			= app 200
			> GET /other
			= app 200
			> GET /?a
			= app 200
			> GET //other.example/
			= app 200`},
		{"§3", "MUST NOT store unless the method is understood", `
			< 200 | Cache-Control: max-age=60
			> POST /
			= app 200
			> GET /
			= app 200`},
		{"§3", "the response status code is final", `
			< 206 | Cache-Control: max-age=60 | Content-Range: bytes 0-1/2
			> GET /
			= app 206
			> GET /
			= app 206`},
		{"§3", "if must-understand is present the cache understands the status code", `
			< 299 | Cache-Control: max-age=60, must-understand, no-store
			> GET /
			= app 299
			> GET /
			= app 299
			< 200 | Cache-Control: max-age=60, must-understand, no-store
			> GET /understood
			= app 200
			> GET /understood
			= cache 200`},
		{"§3", "the no-store cache directive is not present in the response", `
			< 200 | Cache-Control: max-age=60, no-store
			> GET /
			= app 200
			> GET /
			= app 200`},
		{"§3", "if the cache is shared, the private directive is not present", `
			< 200 | Cache-Control: max-age=60, private
			> GET /
			= app 200
			> GET /
			= app 200
			< 200 | Cache-Control: max-age=60, private="Set-Cookie"
			> GET /fields
			= app 200
			> GET /fields
			= app 200`},
		{"§3", "the Authorization header field is not present in the request, or a directive allows it", `
			< 200 | Cache-Control: max-age=60
			> GET / | Authorization: Basic eDp5
			= app 200
			> GET / | Authorization: Basic eDp5
			= app 200`},
		{"§3", "a response needs public, Expires, max-age, s-maxage or a heuristically cacheable status", `
			< 200
			> GET /
			= app 200
			> GET /
			= app 200
			< 500 | Cache-Control: public | ETag: "x"
			> GET /error
			= app 500
			> GET /error
			= app 500
			< 418 | Cache-Control: max-age=60
			> GET /explicit
			= app 418
			> GET /explicit
			= cache 418`},
		{"§3.1", "Connection and the fields it names are not stored", `
			< 200 | Cache-Control: max-age=60 | Connection: x-hop, close | X-Hop: 1 | Keep-Alive: 5 | X-Stays: 1
			> GET /
			> GET /
			= cache 200 | X-Hop: | Keep-Alive: | X-Stays: 1`},
		{"§3.2", "the cache MUST add each header field of the 304 to the stored response, replacing", `
			< 200 | Cache-Control: max-age=10 | ETag: "1" | X-A: old | X-B: kept | Content-Type: text/html
			> GET /
			+ 20s
			< 304 | Cache-Control: max-age=100 | ETag: "1" | X-A: new | X-C: more | Content-Type: text/plain
			> GET /
			= app 200 | X-A: new | X-B: kept | X-C: more | Content-Type: text/html | Age: 0
			+ 50s
			> GET /
			= cache 200 | X-A: new | Cache-Control: max-age=100 | Age: 50`},
		{"§3.3", "a cache MUST NOT use an incomplete response; Range goes to the application, and is answered of what is whole", `
			< 206 | Cache-Control: max-age=60 | Content-Range: bytes 0-3/11
			> GET / | Range: bytes=0-3
			= app 206
			< 200 | Cache-Control: max-age=60 | ETag: "1"
			> GET /
			= app 200
			> GET / | Range: bytes=0-3
			= cache 206 | Content-Range: bytes 0-3/11
			> GET / | Range: bytes=-3 | If-Range: "1"
			= cache 206 | Content-Range: bytes 8-10/11
			> GET / | Range: bytes=0-3 | If-Range: "2"
			= cache 200 | Content-Range:
			> GET / | Range: bytes=50-
			= cache 416 | Content-Range: bytes */11`},
		{"§3.5", "must-revalidate, public and s-maxage allow answers to requests with Authorization", `
			< 200 | Cache-Control: max-age=60, must-revalidate
			> GET /a | Authorization: x
			> GET /a | Authorization: y
			= cache 200
			< 200 | Cache-Control: max-age=60, public
			> GET /b | Authorization: x
			> GET /b | Authorization: y
			= cache 200
			< 200 | Cache-Control: s-maxage=60
			> GET /c | Authorization: x
			> GET /c
			= cache 200`},
		{"§3.5", "what says no such thing is not given to who is authorized either", `
			< 200 | Cache-Control: max-age=60
			> GET /
			> GET / | Authorization: x
			= app 200
			> GET /
			= cache 200`},
		{"§4", "MUST generate an Age header field, replacing any, with the stored response's current_age", `
			< 200 | Cache-Control: max-age=600 | Age: 100
			> GET /
			= app 200
			+ 30s
			> GET /
			= cache 200 | Age: 130`},
		{"§4.1", "when a cache has a Vary field, it MUST NOT use it unless all nominated fields match", `
			< 200 | Cache-Control: max-age=60 | Vary: X-A, X-B
			> GET / | X-A: 1 | X-B: 2
			= app 200
			> GET / | X-A: 1 | X-B: 2
			= cache 200
			> GET / | X-A: 1
			= app 200
			> GET / | X-A: 1
			= cache 200
			> GET / | X-A: 1 | X-B: 2
			= cache 200`},
		{"§4.1", "fields match when they can be transformed by whitespace, by combining lines, or as their own syntax says", `
			< 200 | Cache-Control: max-age=60 | Vary: Accept-Encoding
			> GET / | Accept-Encoding: gzip, br;q=0.5
			> GET / | Accept-Encoding: GZIP,br;q=0.5
			= cache 200
			> GET / | Accept-Encoding: gzip | Accept-Encoding: br;q=0.5
			= cache 200`},
		{"§4.1", "a stored response with a Vary field value of * always fails to match", `
			< 200 | Cache-Control: max-age=60 | Vary: *
			> GET /
			> GET /
			= app 200`},
		{"§4.1", "of responses of which some omit Vary, one with Vary SHOULD be chosen", `
			< 200 | Cache-Control: max-age=60
			> GET / | X-L: de
			< 200 | Cache-Control: max-age=60 | Vary: X-L
			+ 61s
			> GET / | X-L: de
			= app 200
			< 200 | Cache-Control: max-age=60
			> GET / | X-L: en
			= app 200
			> GET / | X-L: fr
			= app 200`},
		{"§4.2", "a fresh response is one whose age has not yet exceeded its freshness lifetime", `
			< 200 | Cache-Control: max-age=60
			> GET /
			+ 59s
			> GET /
			= cache 200 | Age: 59
			+ 1s
			> GET /
			= app 200`},
		{"§4.2.1", "if the cache is shared and s-maxage is present, use its value", `
			< 200 | Cache-Control: max-age=1, s-maxage=60
			> GET /
			+ 30s
			> GET /
			= cache 200
			+ 30s
			> GET /
			= app 200`},
		{"§4.2.1", "if max-age is present, use its value, whatever Expires says", `
			< 200 | Cache-Control: max-age=60 | Expires: {-60s}
			> GET /
			+ 30s
			> GET /
			= cache 200`},
		{"§4.2.1", "if Expires is present, use its value minus the value of the Date field", `
			< 200 | Expires: {40s} | Date: {-20s}
			> GET /
			+ 30s
			> GET /
			= cache 200
			+ 15s
			> GET /
			= app 200`},
		{"§4.2.1", "of duplicate directives the smaller counts, and what is no number is stale", `
			< 200 | Cache-Control: max-age=600, max-age=60
			> GET /twice
			+ 61s
			> GET /twice
			= app 200
			< 200 | Cache-Control: max-age=abc
			> GET /none
			> GET /none
			= app 200
			< 200 | Cache-Control: max-age="60"
			> GET /quoted
			> GET /quoted
			= cache 200
			< 200 | Cache-Control: max-age=99999999999999999999
			> GET /huge
			+ 1000h
			> GET /huge
			= cache 200`},
		{"§4.2.3", "apparent_age = max(0, response_time - date_value)", `
			< 200 | Cache-Control: max-age=600 | Date: {-100s}
			> GET /
			+ 500s
			> GET /
			= app 200
			< 200 | Cache-Control: max-age=600 | Date: {100s}
			> GET /ahead
			+ 500s
			> GET /ahead
			= cache 200 | Age: 500`},
		{"§4.2.4", "MUST NOT generate a stale response if prohibited by must-revalidate, no-cache, s-maxage or proxy-revalidate", `
			< 200 | Cache-Control: max-age=10, must-revalidate
			> GET /a
			+ 20s
			> GET /a | Cache-Control: max-stale
			= app 200
			< 200 | Cache-Control: s-maxage=10
			> GET /b
			+ 20s
			> GET /b | Cache-Control: max-stale
			= app 200
			< 200 | Cache-Control: max-age=10, proxy-revalidate
			> GET /c
			+ 20s
			> GET /c | Cache-Control: max-stale
			= app 200`},
		{"§4.3.1", "conditional requests have the stored validators, whatever the client's", `
			< 200 | Cache-Control: max-age=10 | ETag: "1" | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT
			> GET /
			+ 20s
			< 304
			> GET / | If-None-Match: "other"
			= app 200
			? If-None-Match: "1"
			? If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT`},
		{"§4.3.2", "If-None-Match is answered with 304 if it matches, weakly, and If-Modified-Since is ignored then", `
			< 200 | Cache-Control: max-age=60 | ETag: W/"1" | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT
			> GET /
			> GET / | If-None-Match: "x", "1"
			= cache 304 | ETag: W/"1" | Content-Type:
			> GET / | If-None-Match: *
			= cache 304
			> GET / | If-None-Match: "x" | If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT
			= cache 200
			> HEAD / | If-None-Match: "1"
			= cache 304`},
		{"§4.3.2", "If-Modified-Since is answered with 304 if the stored response is no newer", `
			< 200 | Cache-Control: max-age=60 | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT
			> GET /
			> GET / | If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT
			= cache 304
			> GET / | If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT
			= cache 200
			> GET / | If-Modified-Since: yesterday
			= cache 200`},
		{"§4.3.2", "a client's conditions do not keep the answer from being stored", `
			< 200 | Cache-Control: max-age=60 | ETag: "1"
			> GET / | If-None-Match: "1"
			= app 304
			? If-None-Match:
			> GET /
			= cache 200
			< 200 | Cache-Control: private | ETag: "1"
			> GET /private | If-None-Match: "1"
			= app 304
			> GET /private | If-None-Match: "2"
			= app 200
			? If-None-Match: "2"`},
		{"§4.3.3", "a 304 means that the stored response can be updated and reused", `
			< 200 | Cache-Control: max-age=10 | ETag: "1"
			> GET /
			+ 20s
			< 304 | Cache-Control: max-age=10
			> GET /
			= app 200
			> GET /
			= cache 200`},
		{"§4.3.3", "a full response is used and replaces the stored one", `
			< 200 | Cache-Control: max-age=10 | ETag: "1" | X-V: 1
			> GET /
			+ 20s
			< 200 | Cache-Control: max-age=10 | ETag: "2" | X-V: 2
			> GET /
			= app 200 | X-V: 2
			> GET /
			= cache 200 | X-V: 2`},
		{"§4.3.3", "on a 5xx a cache can forward it", `
			< 200 | Cache-Control: max-age=10 | ETag: "1"
			> GET /
			+ 20s
			< 503
			> GET /
			= app 503`},
		{"§4.3.4", "a 304 with another strong validator does not freshen the stored response", `
			< 200 | Cache-Control: max-age=10 | ETag: "1"
			> GET /
			+ 20s
			< 304 | Cache-Control: max-age=100 | ETag: "2"
			> GET /
			= app 200
			< 200
			> GET /
			= app 200`},
		{"§4.3.5", "a HEAD that says another validator or length invalidates what is stored", `
			< 200 | Cache-Control: max-age=10, stale-if-error=600 | ETag: "1"
			> GET /
			+ 20s
			< 200 | ETag: "1"
			> HEAD /
			= app 200
			< 503
			> GET /
			= app 200
			< 200 | ETag: "2"
			> HEAD /
			< 503
			> GET /
			= app 503`},
		{"§4.4", "MUST invalidate the target URI when a non-error response to an unsafe method comes", `
			< 200 | Cache-Control: max-age=60
			> GET /a
			> PUT /a
			> GET /a
			= app 200
			< 400 | Cache-Control: max-age=60
			> POST /a
			> GET /a
			= cache 200
			> FROBNICATE /a
			> GET /a
			= cache 200
			< 303 | Cache-Control: max-age=60
			> FROBNICATE /a
			> GET /a
			= app 303`},
		{"§4.4", "MAY invalidate Location and Content-Location of the same origin, MUST NOT of another", `
			< 200 | Cache-Control: max-age=60
			> GET /list
			> GET /item?n=1
			> GET //other.example/list
			< 201 | Location: /list | Content-Location: http://EXAMPLE.com:80/item?n=1
			> POST /new
			< 200 | Cache-Control: max-age=60
			> GET /list
			= app 200
			> GET /item?n=1
			= app 200
			< 201 | Location: http://other.example/list
			> POST /new
			> GET //other.example/list
			= cache 200`},
		{"§4.4", "invalidation is of all variants", `
			< 200 | Cache-Control: max-age=60 | Vary: X-L
			> GET / | X-L: de
			> GET / | X-L: en
			> DELETE /
			> GET / | X-L: de
			= app 200
			> GET / | X-L: en
			= app 200`},
		{"§5.2.1.1", "max-age: the client prefers a response whose age is less or equal", `
			< 200 | Cache-Control: max-age=600
			> GET /
			+ 30s
			> GET / | Cache-Control: max-age=30
			= cache 200
			> GET / | Cache-Control: max-age=29
			= app 200`},
		{"§5.2.1.2", "max-stale: the client accepts a response that has exceeded its lifetime", `
			< 200 | Cache-Control: max-age=10
			> GET /
			+ 20s
			> GET / | Cache-Control: max-stale=10
			= cache 200 | Age: 20
			> GET / | Cache-Control: max-stale
			= cache 200
			> GET / | Cache-Control: max-stale=9
			= app 200`},
		{"§5.2.1.3", "min-fresh: the client prefers a response that stays fresh for so long", `
			< 200 | Cache-Control: max-age=60
			> GET /
			+ 30s
			> GET / | Cache-Control: min-fresh=30
			= cache 200
			> GET / | Cache-Control: min-fresh=31
			= app 200`},
		{"§5.2.1.4", "no-cache: a stored response MUST NOT be used without validation", `
			< 200 | Cache-Control: max-age=60 | ETag: "1"
			> GET /
			< 304
			> GET / | Cache-Control: no-cache
			= app 200
			? If-None-Match: "1"`},
		{"§5.2.1.5", "no-store: a cache MUST NOT store any part of this request or any response to it", `
			< 200 | Cache-Control: max-age=60
			> GET / | Cache-Control: no-store
			> GET /
			= app 200`},
		{"§5.2.1.7", "only-if-cached: 504 unless there is a stored response", `
			< 200 | Cache-Control: max-age=60
			> GET / | Cache-Control: only-if-cached
			= cache 504
			> GET /
			> GET / | Cache-Control: only-if-cached
			= cache 200`},
		{"§5.2.2", "directives are compared without case", `
			< 200 | cache-control: MAX-AGE=60
			> GET /
			> GET /
			= cache 200
			< 200 | Cache-Control: max-age=60, No-Store
			> GET /b
			> GET /b
			= app 200`},
		{"§5.2.2.4", "no-cache: MUST NOT be used for any other request without forwarding it for validation", `
			< 200 | Cache-Control: no-cache, max-age=60 | ETag: "1"
			> GET /
			< 304
			> GET /
			= app 200
			? If-None-Match: "1"
			> GET / | Cache-Control: max-stale
			= app 200`},
		{"§5.2.2.2", "must-revalidate: once stale it MUST NOT be reused without validation; a failure is passed on", `
			< 200 | Cache-Control: max-age=10, must-revalidate, stale-if-error=600, stale-while-revalidate=600
			> GET /
			+ 20s
			< 503
			> GET /
			= app 503`},
		{"§5.2.3", "unrecognized directives are ignored", `
			< 200 | Cache-Control: community="UCI, no-store", max-age=60, , x
			> GET /
			> GET /
			= cache 200`},
		{"§5.3", "invalid date formats, especially 0, are in the past", `
			< 200 | Expires: 0
			> GET /
			> GET /
			= app 200`},
		{"§5.4", "Pragma: no-cache counts where there is no Cache-Control", `
			< 200 | Cache-Control: max-age=60
			> GET /
			> GET / | Pragma: no-cache
			= app 200
			> GET / | Pragma: no-cache | Cache-Control: max-age=60
			= cache 200`},
		{"§7.3", "Set-Cookie: what sets a cookie is for one client", `
			< 200 | Cache-Control: max-age=60, public | Set-Cookie: a=b
			> GET /
			> GET /
			= app 200`},
		{"RFC 5861 §3", "stale-while-revalidate: MAY serve the response in which it appears after it becomes stale", `
			< 200 | Cache-Control: max-age=10, stale-while-revalidate=30 | X-V: 1
			> GET /
			+ 20s
			< 200 | Cache-Control: max-age=10 | X-V: 2
			> GET /
			= app 200 | X-V: 1 | Age: 20
			> GET /
			= cache 200 | X-V: 2
			+ 41s
			> GET /
			= app 200`},
		{"RFC 5861 §4", "stale-if-error: MAY be used when an error is encountered", `
			< 200 | Cache-Control: max-age=10, stale-if-error=30 | X-V: 1
			> GET /
			+ 20s
			< 503
			> GET /
			= app 200 | X-V: 1 | Age: 20
			+ 21s
			> GET /
			= app 503`},
		{"RFC 9213 §2.1", "CDN-Cache-Control is used, and Cache-Control and Expires are not", `
			< 200 | Cache-Control: no-store | CDN-Cache-Control: max-age=60 | Expires: 0
			> GET /
			> GET /
			= cache 200 | CDN-Cache-Control: max-age=60
			< 200 | Cache-Control: max-age=60 | CDN-Cache-Control: no-store
			> GET /b
			> GET /b
			= app 200`},
		{"RFC 9213 §2.1", "what is no dictionary, or empty, is ignored", `
			< 200 | Cache-Control: max-age=60 | CDN-Cache-Control: no-store, =
			> GET /
			> GET /
			= cache 200`},
		{"RFC 9211 §2", "Cache-Status says what was done", `
			< 200 | Cache-Control: max-age=60
			> GET /
			= app 200 | Cache-Status: pyspeed; fwd=uri-miss; stored; ttl=60
			+ 10s
			> GET /
			= cache 200 | Cache-Status: pyspeed; hit; ttl=50
			> POST /
			= app 200 | Cache-Status: pyspeed; fwd=method
			< 200 | Cache-Control: private | Cache-Status: origin; hit
			> GET /
			= app 200 | Cache-Status: origin; hit, pyspeed; fwd=uri-miss; detail=private`},
	}
}
