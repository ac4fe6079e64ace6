package livereload

import (
	"strings"
	"testing"
)

// In each document | is where the script goes; without one it is the end.
func TestScanner(t *testing.T) {
	for _, doc := range []string{
		"<html><body><p>a</p>|</body></html>",
		"<HTML><BODY><p>a</p>|</BODY ></HTML>",
		"<p>a</p>|</body\n></html>",
		"<p>a</p>|</body/>",
		"<p>a</p>|</html>",
		"<p>a</p>",
		"",
		"a < b </bod></bodyx></ body></htm></body",
		"<</body",
		"<|</body>",
		"</</body>|</body>",
		"</>|</body>",
		"<!-- </body> -->|</body>",
		"<!-->|</body>",
		"<!--->|</body>",
		"<!---->|</body>",
		"<!-- > -- > </body> --!>|</body>",
		"<!-- --!-> </body> -->|</body>",
		"<!-- --- </body> --->|</body>",
		"<!- </body>|</body>",
		"<!doctype html>|</body>",
		"<![CDATA[ </body>|</body>",
		"<?php </body>|</body>",
		`<a title="</body>" rel='</html>' href=</body>x>|</body>`,
		`<a =">|</body>`,
		`<a b = "</body>">|</body>`,
		`<a b = '</body>' "c'>|</body>`,
		`<a b=c"d>|</body>`,
		`<a / b = "</body>"/>|</body>`,
		`<a b=>|</body>`,
		"<script>document.write('</body>')</script>|</body>",
		"<SCRIPT>'</body></scripty></script'</Script foo='</body>'>|</body>",
		"<script>a<</script>|</body>",
		"<script>a</</script>|</body>",
		"<script></body>",
		"<script type=text/template></body></script>|</body>",
		"<style>a::after{content:'</body>'}</style>|</body>",
		"<textarea></body></textarea>|</body>",
		"<title></body></title>|</body>",
		"<noscript></body></noscript>|</body>",
		"<plaintext></body>",
		"<plaintextual>|</body>",
		"</script>|</body>",
		"<scripting>|</body>",
	} {
		want := strings.Index(doc, "|")
		doc = strings.Replace(doc, "|", "", 1)
		for cut := range len(doc) + 1 {
			var s scanner
			at := s.find([]byte(doc[:cut]))
			if at < 0 {
				held := s.held()
				if held > marker || held > cut {
					t.Fatalf("%q: %d bytes are held after %d", doc, held, cut)
				}
				if at = s.find([]byte(doc[cut:])); at >= 0 {
					if at += cut; at-marker < cut-held {
						t.Errorf("%q: the marker at %d was not held after %d", doc, at-marker, cut)
					}
				}
			}
			if at >= 0 {
				at -= marker
			}
			if at != want {
				t.Errorf("%q, cut at %d: found at %d, want %d", doc, cut, at, want)
			}
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	doc := []byte(strings.Repeat(`<div class="card"><a href="/x?y=1">Some text, as it is</a> and more of it</div>`+"\n", 1000))
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		var s scanner
		s.find(doc)
	}
}
