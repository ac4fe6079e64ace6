package ratelimit

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// TestLimit: the burst passes, then 429 until there is a token again; all of that is in the fields.
func TestLimit(t *testing.T) {
	r := newRig(t, nil, Rule{Name: "api", Rate: Rate{2, 10 * time.Second, 3}, Fields: true})
	f := func(from string, status int, limit string) {
		t.Helper()
		a := r.get(from, "GET /")
		if a.status != status || a.get("RateLimit") != limit || a.get("RateLimit-Policy") != `"api";q=3;w=15` {
			t.Errorf("%d\n%s", a.status, a.text)
		}
		if after := a.get("Retry-After"); (status == 429) != (after != "") || status == 429 && !strings.HasSuffix(limit, ";t="+after) {
			t.Errorf("Retry-After is %q", after)
		}
		if (status == 200) != (a.get("X") == "1") || a.ends != 1 {
			t.Errorf("%d, ended %d times, with\n%s", a.status, a.ends, a.text)
		}
	}
	f("192.0.2.1", 200, `"api";r=2;t=5`)
	f("192.0.2.1", 200, `"api";r=1;t=5`)
	f("192.0.2.1", 200, `"api";r=0;t=5`)
	f("192.0.2.1", 429, `"api";r=0;t=5`)
	f("192.0.2.2", 200, `"api";r=2;t=5`)
	r.pass(4999 * time.Millisecond)
	f("192.0.2.1", 429, `"api";r=0;t=1`)
	r.pass(time.Millisecond)
	f("192.0.2.1", 200, `"api";r=0;t=5`)
	f("192.0.2.1", 429, `"api";r=0;t=5`)
	r.pass(time.Hour)
	f("192.0.2.1", 200, `"api";r=2;t=5`)
	if r.runs() != 6 {
		t.Errorf("the application had %d requests", r.runs())
	}
	r.metric(`pyspeed_rate_limit_requests_total{rule="api",result="allowed"} 6`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="api",result="limited"} 3`)
	r.metric(`pyspeed_rate_limit_keys{rule="api"} 2`)
}

// TestRefusal: what a client gets that asks for JSON, and one that does not.
func TestRefusal(t *testing.T) {
	r := newRig(t, nil, Rule{Name: "a.b", Kind: ByRoute, Rate: Rate{1, time.Minute, 1}})
	if a := r.get("", "POST /"); a.status != 200 || a.get("RateLimit") != "" || a.get("RateLimit-Policy") != "" {
		t.Errorf("%d\n%s", a.status, a.text)
	}
	a := r.get("", "POST /", "Accept", "text/html")
	if a.status != 429 || a.get("Content-Type") != "text/plain; charset=utf-8" || a.get("Retry-After") != "60" ||
		a.body != "429 Too Many Requests\ntoo many requests, try again in 60 s\n" || a.get("RateLimit") != "" {
		t.Errorf("%d\n%s\n%s", a.status, a.text, a.body)
	}
	a = r.get("", "POST /", "Accept", "application/json;q=0.9, */*;q=0.1")
	var problem struct {
		Type, Title string
		Status      int
		Violated    []string `json:"violated-policies"`
	}
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.get("Content-Type") != "application/problem+json" || problem.Status != 429 ||
		!slices.Equal(problem.Violated, []string{"a.b"}) || problem.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" {
		t.Errorf("%s\n%s\n%v", a.text, a.body, err)
	}
}

// TestSeveralRules: a request has to pass all, and one that does not takes nothing from any.
func TestSeveralRules(t *testing.T) {
	r := newRig(t, nil,
		Rule{Name: "all", Rate: Rate{1, time.Hour, 10}, Fields: true},
		Rule{Name: "hidden", Rate: Rate{1, time.Hour, 1000}},
		Rule{Name: "login", Paths: []string{"/login"}, Methods: []string{"POST"}, Kind: ByRoute, Rate: Rate{1, time.Minute, 1}, Fields: true},
	)
	f := func(what string, status int, limit string) {
		t.Helper()
		if a := r.get("192.0.2.1", what); a.status != status || a.get("RateLimit") != limit {
			t.Errorf("%s: %d\n%s", what, a.status, a.text)
		}
	}
	f("GET /login", 200, `"all";r=9;t=3600`)
	f("POST /login", 200, `"all";r=8;t=3600, "login";r=0;t=60`)
	for range 20 {
		f("POST /login", 429, `"all";r=8;t=3600, "login";r=0;t=60`)
	}
	f("GET /", 200, `"all";r=7;t=3600`)
	if a := r.get("192.0.2.1", "POST /login"); a.get("RateLimit-Policy") != `"all";q=10;w=36000, "login";q=1;w=60` {
		t.Errorf("got\n%s", a.text)
	}
	r.metric(`pyspeed_rate_limit_requests_total{rule="all",result="allowed"} 3`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="all",result="limited"} 0`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="login",result="limited"} 21`)
}

// TestLogOnly: nothing is refused and no field is there, but it is counted, and logged once a second at most.
func TestLogOnly(t *testing.T) {
	r := newRig(t, nil,
		Rule{Name: "dry", Rate: Rate{1, time.Minute, 1}, LogOnly: true, Fields: true},
		Rule{Name: "wet", Paths: []string{"/wet"}, Rate: Rate{1, time.Minute, 1}},
	)
	for range 5 {
		if a := r.get("192.0.2.1", "GET /x"); a.status != 200 || a.get("RateLimit") != "" {
			t.Errorf("%d\n%s", a.status, a.text)
		}
	}
	r.pass(2 * time.Second)
	r.get("192.0.2.1", "GET /y")
	if log := r.log.String(); strings.Count(log, "would have refused") != 2 || !strings.Contains(log, "rule=dry key=192.0.2.1 method=GET path=/x") || !strings.Contains(log, `path=/y "others since the last line"=3`) {
		t.Errorf("the log is\n%s", log)
	}
	r.metric(`pyspeed_rate_limit_requests_total{rule="dry",result="allowed"} 1`)
	r.metric(`pyspeed_rate_limit_requests_total{rule="dry",result="would_limit"} 5`)
	// What another rule refuses is not counted by this one either.
	r.pass(time.Minute)
	r.get("192.0.2.2", "GET /wet")
	r.get("192.0.2.2", "GET /wet")
	r.metric(`pyspeed_rate_limit_requests_total{rule="dry",result="would_limit"} 5`)
	r.configure(Rule{Name: "key", Kind: ByHeader, Header: "x-key", Rate: Rate{1, time.Minute, 1}, LogOnly: true})
	r.get("", "GET /", "X-Key", "secret")
	r.get("", "GET /", "X-Key", "secret")
	if log := r.log.String(); !strings.Contains(log, `key="a value of x-key"`) || strings.Contains(log, "secret") {
		t.Errorf("the log is\n%s", log)
	}
}

// TestReconfigure: what was counted goes on under the same name, also with another rate; not where something else is counted.
func TestReconfigure(t *testing.T) {
	rule := Rule{Name: "a", Rate: Rate{10, time.Hour, 10}, Fields: true}
	r := newRig(t, nil, rule)
	left := func(from string) string {
		t.Helper()
		_, n, _ := strings.Cut(r.get(from, "GET /").get("RateLimit"), ";r=")
		n, _, _ = strings.Cut(n, ";")
		return n
	}
	f := func(want string) {
		t.Helper()
		if got := left("2001:db8::1"); got != want {
			t.Errorf("%s left, want %s", got, want)
		}
	}
	f("9")
	f("8")
	r.configure(rule)
	f("7")
	rule.Rate = Rate{5, time.Minute, 100}
	r.configure(rule)
	f("6")
	rule.Rate = Rate{5, time.Minute, 2}
	r.configure(rule)
	f("1")
	rule.IPv6Prefix = 48
	r.configure(rule)
	f("1")
	f("0")
	rule.Name = "b"
	r.configure(rule)
	f("1")
	r.configure()
	if r.Wrap(r) != exchange.Responder(r) {
		t.Error("without rules there is something before the application")
	}
	f("") // there is no limit
	r.configure(rule)
	f("1") // it was forgotten
	rule.Shared = true
	r.configure(rule)
	if !strings.Contains(r.log.String(), "there is no Redis to share it through; set redis.url") {
		t.Errorf("the log is\n%s", r.log)
	}
	f("0")
}

// TestAnswers: whatever way an answer goes, our fields are in it once, and it ends once.
func TestAnswers(t *testing.T) {
	r := newRig(t, nil, Rule{Name: "a", Rate: Rate{1000, time.Second, 1000}, Fields: true})
	for range 3 {
		a := r.get("192.0.2.1", "GET /stream")
		if a.status != 200 || a.body != "streamed" || a.ends != 1 || strings.Count(a.text, "RateLimit") != 2 || !slices.Equal(a.infos, []int{103}) {
			t.Errorf("%+v", a)
		}
		if a = r.get("192.0.2.1", "GET /bad"); a.status != 500 || a.ends != 1 || a.text != "" {
			t.Errorf("%+v", a)
		}
		if a = r.get("192.0.2.1", "GET /shared"); a.body != "shared" || a.ends != 1 || strings.Count(a.text, "RateLimit") != 2 || a.shared != 1 || a.piped != 3 {
			t.Errorf("%+v", a)
		}
		if a = r.get("192.0.2.1", "HEAD /"); a.status != 200 || strings.Count(a.text, "RateLimit") != 2 || !strings.Contains(a.text, "X: 1\n") {
			t.Errorf("%+v", a)
		}
	}
}
