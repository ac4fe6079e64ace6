package marshal_test

import (
	"testing"

	"pyspeed/fcgi/marshal"
)

// typicalEnviron is what a browser's request adds to the environ.
var typicalEnviron = []field{
	{[]byte("REQUEST_METHOD"), []byte("GET")},
	{[]byte("PATH_INFO"), []byte("/items/17")},
	{[]byte("QUERY_STRING"), []byte("q=1")},
	{[]byte("REQUEST_URI"), []byte("/items/17?q=1")},
	{[]byte("REMOTE_ADDR"), []byte("127.0.0.1")},
	{[]byte("REMOTE_PORT"), []byte("54321")},
	{[]byte("HTTP_HOST"), []byte("localhost:8000")},
	{[]byte("HTTP_USER_AGENT"), []byte("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")},
	{[]byte("HTTP_ACCEPT"), []byte("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")},
	{[]byte("HTTP_ACCEPT_ENCODING"), []byte("gzip, deflate, br, zstd")},
}

func appendEnviron(dst []byte, environ []field) []byte {
	dst = marshal.AppendTuple(dst, 2)
	dst = marshal.AppendDictStart(dst)
	for i := range environ {
		dst = marshal.AppendStr(dst, environ[i].Name)
		dst = marshal.AppendStr(dst, environ[i].Value)
	}
	dst = marshal.AppendDictEnd(dst)
	return marshal.AppendBytes(dst, "")
}

// typicalHead is the head of an answer with three headers, as WSGI (str) or as
// ASGI (bytes) has it.
func typicalHead(kind string) marshal.Value {
	headers := marshal.List{}
	for _, h := range [][2]string{
		{"content-type", "application/json"},
		{"content-length", "1024"},
		{"cache-control", "no-cache, no-store"},
	} {
		if kind == "str" {
			headers = append(headers, marshal.Tuple{h[0], h[1]})
		} else {
			headers = append(headers, marshal.Tuple{[]byte(h[0]), []byte(h[1])})
		}
	}
	if kind == "str" {
		return marshal.Tuple{"200 OK", headers}
	}
	return marshal.Tuple{200, headers}
}

func BenchmarkDecodeAnswerHead(b *testing.B) {
	for _, kind := range []string{"str", "bytes"} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			head := appendValue(nil, typicalHead(kind))
			fields := make([]field, 0, 16)
			var err error
			for b.Loop() {
				if _, fields, _, err = marshal.DecodeAnswerHead(head, fields[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppendEnviron encodes ten keys of a WSGI environ.
func BenchmarkAppendEnviron(b *testing.B) {
	b.ReportAllocs()
	dst := make([]byte, 0, 4096)
	for b.Loop() {
		dst = appendEnviron(dst[:0], typicalEnviron)
	}
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	message := appendValue(nil, marshal.Dict{{"event", "pong"}, {"n", 17}, {"loop_ms", 3}})
	for b.Loop() {
		if _, _, err := marshal.Decode(message, marshal.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
