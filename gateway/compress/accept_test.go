package compress

import "testing"

func TestAccept(t *testing.T) {
	all := []Coding{Zstd, Brotli, Gzip}
	f := func(want Coding, prefer []Coding, fields ...string) {
		t.Helper()
		q := weights{-1, -1, -1, -1}
		for _, v := range fields {
			q.accept([]byte(v))
		}
		if got := q.best(prefer); got != want {
			t.Errorf("%q: got %q, want %q", fields, got, want)
		}
	}
	f(Gzip, all, "gzip")
	f(Zstd, all, "gzip, deflate, br, zstd")
	f(Brotli, all, "gzip, deflate, br")
	f(Gzip, []Coding{Gzip}, "gzip, deflate, br, zstd")
	f(Gzip, all, "br;q=0.5, gzip;q=0.8")
	f(Gzip, all, "br;q=0.5", "gzip;q=0.8")
	f(identity, all, "")
	f(identity, all, "identity")
	f(identity, all, "deflate")
	f(identity, all, "gzip;q=0")
	f(identity, all, "gzip;q=0.5, identity;q=0.8")
	f(Gzip, all, "gzip;q=0.5, identity;q=0.5")
	f(Zstd, all, "*")
	f(Brotli, all, "zstd;q=0, *;q=0.1")
	f(Gzip, all, "GZIP ; Q=1.000")
	f(Gzip, all, "x-gzip")
	f(identity, all, "gzip;q=1.1")
	f(identity, all, "gzip;q=x")
	f(identity, all, "gzip;q=0.1234")
	f(identity, all, "gzip;level=9")
	f(Gzip, all, ",, gzip ,")
	f(identity, all, "*;q=0")
}
