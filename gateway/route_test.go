package gateway

import (
	"testing"

	"pyspeed/gateway/exchange"
)

// TestRoutes: the longest prefix in whole segments wins, on the path that was decoded once.
func TestRoutes(t *testing.T) {
	var app, php, admin, all passed
	r := newRoutes(&app, []route{{"/php", &php}, {"/php/admin", &admin}})
	site := newRoutes(&app, []route{{"", &all}, {"/php", &php}})
	f := func(r routes, path string, want *passed) {
		t.Helper()
		before := *want
		x := &exchange.Exchange{}
		x.Request.Path = []byte(path)
		r.Respond(x)
		if *want != before+1 {
			t.Errorf("%s went elsewhere", path)
		}
	}
	f(r, "/php", &php)
	f(r, "/php/", &php)
	f(r, "/php/x", &php)
	f(r, "/php/administrator", &php)
	f(r, "/php/admin", &admin)
	f(r, "/php/admin/x", &admin)
	f(r, "/php//admin", &php)
	f(r, "/phpinfo", &app)
	f(r, "/PHP", &app)
	f(r, "/", &app)
	f(r, "/x/../php", &app)
	f(site, "/", &all)
	f(site, "/x", &all)
	f(site, "*", &all)
	f(site, "/php/x", &php)
	if app+php+admin+all != 15 {
		t.Errorf("one request went to several: %d", app+php+admin+all)
	}
}
