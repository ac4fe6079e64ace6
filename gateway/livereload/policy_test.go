package livereload

import "testing"

func TestPolicies(t *testing.T) {
	const authority = "localhost:8000"
	for _, c := range []struct {
		fields []string // of Content-Security-Policy
		nonce  string
		ok     bool
	}{
		{nil, "", true},
		{[]string{""}, "", true},
		{[]string{"frame-ancestors 'none'; img-src *"}, "", true},
		{[]string{"default-src 'self'"}, "", true},
		{[]string{"DEFAULT-SRC 'SELF'"}, "", true},
		{[]string{"default-src *"}, "", true},
		{[]string{"default-src http:"}, "", true},
		{[]string{"default-src localhost:8000"}, "", true},
		{[]string{"default-src http://localhost:*/"}, "", true},
		{[]string{"script-src 'self' https://cdn.example; connect-src 'self'"}, "", true},
		{[]string{"script-src 'unsafe-inline'; connect-src 'self'"}, "", false},
		{[]string{"script-src 'nonce-abc+/=' 'unsafe-inline'; object-src 'none'"}, "abc+/=", true},
		{[]string{"script-src 'nonce-abc' 'strict-dynamic' 'self'"}, "abc", true},
		{[]string{"script-src 'self' 'strict-dynamic' 'sha256-AAAA'"}, "", false},
		{[]string{"script-src 'self' 'nonce-abc'"}, "", true},
		{[]string{"default-src 'nonce-abc'"}, "", false},
		{[]string{"default-src 'none'; script-src 'nonce-abc'; connect-src 'self'"}, "abc", true},
		{[]string{"script-src 'none'; script-src-elem 'self'"}, "", true},
		{[]string{"script-src 'self'; script-src-elem 'none'"}, "", false},
		{[]string{"script-src 'self'; script-src 'none'"}, "", true},
		{[]string{"script-src"}, "", false},
		{[]string{"default-src 'none'"}, "", false},
		{[]string{"default-src https:"}, "", false},
		{[]string{"default-src localhost"}, "", false},
		{[]string{"default-src http://localhost:8000/static/"}, "", false},
		{[]string{"default-src *.localhost:8000"}, "", false},
		{[]string{"connect-src https://api.example"}, "", false},
		{[]string{"sandbox allow-scripts"}, "", false},
		{[]string{"sandbox allow-scripts allow-same-origin"}, "", true},
		{[]string{`script-src 'nonce-"onload=x'`}, "", false},
		{[]string{"script-src 'nonce-'"}, "", false},
		{[]string{"script-src 'nonce-a' 'nonce-b'", "script-src 'nonce-b' 'nonce-c'"}, "b", true},
		{[]string{"script-src 'nonce-a', script-src 'nonce-b'"}, "", false},
		{[]string{"script-src 'nonce-a'", "default-src 'self'"}, "a", true},
		{[]string{"default-src 'self'", "script-src 'none'"}, "", false},
	} {
		var p policies
		for _, f := range c.fields {
			p = p.add(f)
		}
		if nonce, ok := p.allows(false, authority); nonce != c.nonce || ok != c.ok {
			t.Errorf("%q: nonce %q, %v, want %q, %v", c.fields, nonce, ok, c.nonce, c.ok)
		}
	}
	if _, ok := (policies{}).add("default-src *.localhost:8000").allows(false, "shop.localhost:8000"); !ok {
		t.Error("a name below a wildcard is not allowed")
	}
	if _, ok := (policies{}).add("default-src https://localhost").allows(true, "localhost"); !ok {
		t.Error("the origin of a page over TLS is not allowed")
	}
}
