package dispatch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"pyspeed/fcgi/marshal"
	"pyspeed/gateway/exchange"
)

// python returns the interpreter that reads what we encode.
func python() string {
	if path := os.Getenv("PYSPEED_TEST_PYTHON"); path != "" {
		return path
	}
	return "python3"
}

// decoder prints each value as a line of JSON; bytes become a str with "b:" before it.
const decoder = `
import json, marshal, struct, sys
def plain(v):
    if isinstance(v, bytes): return "b:" + v.decode("latin-1")
    if isinstance(v, (tuple, list)): return [plain(i) for i in v]
    if isinstance(v, dict): return {k: plain(i) for k, i in v.items()}
    return v
while head := sys.stdin.buffer.read(4):
    print(json.dumps(plain(marshal.loads(sys.stdin.buffer.read(*struct.unpack("<I", head))))))
`

// loads decodes values with CPython.
func loads(t *testing.T, values [][]byte) []map[string]any {
	t.Helper()
	var in []byte
	for _, v := range values {
		in = append(binary.LittleEndian.AppendUint32(in, uint32(len(v))), v...)
	}
	cmd := exec.CommandContext(t.Context(), python(), "-I", "-c", decoder)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot run %s: %v; name another Python in PYSPEED_TEST_PYTHON\n%s", python(), err, &stderr)
	}
	var all []map[string]any
	for _, line := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if len(all) != len(values) {
		t.Fatalf("CPython decoded %d values of %d", len(all), len(values))
	}
	return all
}

var testEncoder = Encoder{ServerName: "localhost", ServerPort: "80"}

// request makes an exchange from "Name: value" lines.
func request(lines ...string) *exchange.Exchange {
	x := &exchange.Exchange{
		Request: exchange.Request{
			Method: []byte("GET"), Target: []byte("/p%20q?a=b"), RawPath: []byte("/p%20q"), Path: []byte("/p q"),
			Query: []byte("a=b"), Minor: 1,
		},
		Peer: &exchange.Peer{RemoteAddr: "192.0.2.1", RemotePort: "5000", ServerName: "localhost", ServerPort: "80"},
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		x.Request.Fields = append(x.Request.Fields, exchange.Field{Name: []byte(name), Value: []byte(value)})
	}
	return x
}

func with(x *exchange.Exchange, f func(x *exchange.Exchange)) *exchange.Exchange {
	f(x)
	return x
}

// base is what every environ here has, changed by what is given; nil takes a key away.
func base(changes map[string]any) map[string]any {
	m := map[string]any{
		"REQUEST_METHOD": "GET", "PATH_INFO": "/p q", "QUERY_STRING": "a=b", "REQUEST_URI": "/p%20q?a=b", "RAW_URI": "/p%20q?a=b",
		"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "5000",
	}
	for k, v := range changes {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	return m
}

func TestEnviron(t *testing.T) {
	long := strings.Repeat("Long-", 300) + "Name"
	value := strings.Repeat("v", 70000)
	many := make([]string, 500)
	for i := range many {
		many[i] = "X-Many: v"
	}
	cases := []struct {
		name string
		x    *exchange.Exchange
		want map[string]any
	}{
		{"nothing", request(), nil},
		{"known and others", request("Host: h", "User-Agent: u", "X-Own: o", "x-lower: l"), map[string]any{
			"HTTP_HOST": "h", "HTTP_USER_AGENT": "u", "HTTP_X_OWN": "o", "HTTP_X_LOWER": "l",
		}},
		{"repeated", request("Accept: a", "X-Own: 1", "accept: b", "x-own: 2", "X-OWN: 3", "X-Other: 4"), map[string]any{
			"HTTP_ACCEPT": "a, b", "HTTP_X_OWN": "1, 2, 3", "HTTP_X_OTHER": "4",
		}},
		{"repeated many times", request(many...), map[string]any{"HTTP_X_MANY": strings.Repeat("v, ", 499) + "v"}},
		{"cookies", request("Cookie: a=1", "cookie: b=2", "COOKIE: c=3"), map[string]any{"HTTP_COOKIE": "a=1; b=2; c=3"}},
		{"same length and last letter", request("X-Abc: 1", "X-Xyc: 2"), map[string]any{"HTTP_X_ABC": "1", "HTTP_X_XYC": "2"}},
		{"underscores", request("X_Forwarded_For: evil", "X-Forwarded-For: 203.0.113.9", "Content_Length: 5", "X_Own: 1"), map[string]any{
			"HTTP_X_FORWARDED_FOR": "203.0.113.9",
		}},
		{"underscores among repeated", request("A: 1", "A: 2", "A_B: 3", "Content_Type: 4"), map[string]any{"HTTP_A": "1, 2"}},
		{"httpoxy", request("Proxy: http://evil", "PROXY: x"), nil},
		{"httpoxy among repeated", request("A: 1", "Proxy: http://evil", "A: 2"), map[string]any{"HTTP_A": "1, 2"}},
		{"connection names others", request("Connection: close, X-Forwarded-For, Host", "Host: h", "X-Forwarded-For: f"), map[string]any{
			"HTTP_CONNECTION": "close, X-Forwarded-For, Host", "HTTP_HOST": "h", "HTTP_X_FORWARDED_FOR": "f",
		}},
		{"what a proxy would say changes nothing", request("X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=evil", "X-Real-IP: 1.2.3.4", "SSL-Client-Verify: SUCCESS", "Remote-User: root", "Https: on"), map[string]any{
			"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "evil", "HTTP_FORWARDED": "for=evil", "HTTP_X_REAL_IP": "1.2.3.4",
			"HTTP_SSL_CLIENT_VERIFY": "SUCCESS", "HTTP_REMOTE_USER": "root", "HTTP_HTTPS": "on",
		}},
		{"names of CGI variables", request("SCRIPT_NAME: /evil", "Script-Name: s", "PATH_INFO: /evil", "Path-Info: p", "wsgi.url_scheme: https", "wsgi.input: x", "REMOTE_ADDR: evil", "Request-Method: m", "HTTP_HOST: evil", "Server-Name: n"), map[string]any{
			"HTTP_SCRIPT_NAME": "s", "HTTP_PATH_INFO": "p", "HTTP_WSGI.INPUT": "x", "HTTP_REQUEST_METHOD": "m", "HTTP_SERVER_NAME": "n",
		}},
		{"obs-text", request("X-Own: caf\xe9", "Referer: \xff\x80"), map[string]any{"HTTP_X_OWN": "café", "HTTP_REFERER": "\u00ff\u0080"}},
		{"path in UTF-8", with(request(), func(x *exchange.Exchange) { x.Request.Path = []byte("/é") }), map[string]any{"PATH_INFO": "/\u00c3\u00a9"}},
		{"long", request(long+": 1", "X-Own: "+value, strings.Repeat("n", 250)+": 250", strings.Repeat("n", 251)+": 251"), map[string]any{
			"HTTP_" + strings.ToUpper(strings.ReplaceAll(long, "-", "_")): "1", "HTTP_X_OWN": value,
			"HTTP_" + strings.Repeat("N", 250): "250", "HTTP_" + strings.Repeat("N", 251): "251",
		}},
		{"content", with(request("Content-Type: t", "Content-Length: 5"), func(x *exchange.Exchange) {
			x.Request.ContentLength, x.Body = 5, newBody("hello", true)
		}), map[string]any{"CONTENT_TYPE": "t", "CONTENT_LENGTH": "5"}},
		{"no content", request("Content-Length: 0"), map[string]any{"CONTENT_LENGTH": "0"}},
		{"content among repeated", with(request("A: 1", "Content-Type: t", "Content-Length: 5", "A: 2", "Transfer-Encoding: x"), func(x *exchange.Exchange) {
			x.Request.ContentLength, x.Body = 5, newBody("hello", true)
		}), map[string]any{"CONTENT_TYPE": "t", "CONTENT_LENGTH": "5", "HTTP_A": "1, 2"}},
		{"chunked and buffered", with(request("Transfer-Encoding: chunked"), func(x *exchange.Exchange) {
			x.Request.ContentLength, x.Body = -1, newBody("hello!", true)
		}), map[string]any{"CONTENT_LENGTH": "6"}},
		{"chunked and on its way", with(request("Transfer-Encoding: chunked"), func(x *exchange.Exchange) {
			x.Request.ContentLength, x.Body = -1, newBody("hello!", false)
		}), nil},
		{"HTTP/1.0", with(request(), func(x *exchange.Exchange) { x.Request.Minor = 0 }), map[string]any{"SERVER_PROTOCOL": "HTTP/1.0"}},
		{"TLS", with(request(), func(x *exchange.Exchange) { x.Request.TLS = true }), map[string]any{"wsgi.url_scheme": "https"}},
		{"another listener", with(request(), func(x *exchange.Exchange) { x.Peer.ServerName, x.Peer.ServerPort = "::1", "81" }), map[string]any{
			"SERVER_NAME": "::1", "SERVER_PORT": "81",
		}},
		{"unix socket", with(request(), func(x *exchange.Exchange) { x.Peer = &exchange.Peer{ServerName: "/run/app.sock"} }), map[string]any{
			"REMOTE_ADDR": "", "REMOTE_PORT": "",
		}},
	}
	values := make([][]byte, 0, len(cases))
	for _, c := range cases {
		values = append(values, testEncoder.appendEnviron(nil, c.x))
	}
	for i, got := range loads(t, values) {
		if want := base(cases[i].want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%.2000v\nwant\n%.2000v", cases[i].name, got, want)
		}
	}
}

func TestScope(t *testing.T) {
	root := Encoder{ServerName: "localhost", ServerPort: "80", RootPath: "/m\u00fcnt"}
	base := func(changes map[string]any) map[string]any {
		m := map[string]any{
			"type": "http", "http_version": "1.1", "scheme": "http", "method": "GET", "path": "/p q", "raw_path": "b:/p%20q",
			"query_string": "b:a=b", "root_path": "", "headers": []any{}, "client": []any{"192.0.2.1", 5000.0}, "server": []any{"localhost", 80.0},
		}
		for k, v := range changes {
			m[k] = v
		}
		return m
	}
	headers := func(pairs ...string) map[string]any {
		list := []any{}
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, []any{"b:" + pairs[i], "b:" + pairs[i+1]})
		}
		return map[string]any{"headers": list}
	}
	long := strings.Repeat("Long-", 300)
	cases := []struct {
		name    string
		encoder *Encoder
		x       *exchange.Exchange
		want    map[string]any
	}{
		{"nothing", &testEncoder, request(), nil},
		{
			"in order, lower case", &testEncoder, request("Host: h", "X-B: 1", "X-A: 2", "x-b: 3", "Cookie: a", "Cookie: b"),
			headers("host", "h", "x-b", "1", "x-a", "2", "x-b", "3", "cookie", "a", "cookie", "b"),
		},
		{"underscores", &testEncoder, request("X_A: evil", "X-A: 1", "_: 2"), headers("x-a", "1")},
		{"obs-text and long", &testEncoder, request("X-A: \xff\xe9", long+": v"), headers("x-a", "\u00ff\u00e9", strings.ToLower(long), "v")},
		{"method in lower case", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.Method = []byte("patch-x") }), map[string]any{"method": "PATCH-X"}},
		{"path in UTF-8", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.Path = []byte("/é") }), map[string]any{"path": "/é"}},
		{
			"path not in UTF-8", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.Path = []byte("/a\xff\xc3/\xed\xa0\x80") }),
			map[string]any{"path": "/a\ufffd/\ufffd"},
		},
		{
			"long path", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.Path = []byte(strings.Repeat("/p", 4000)) }),
			map[string]any{"path": strings.Repeat("/p", 4000)},
		},
		{"root path", &root, request(), map[string]any{"path": "/münt/p q", "root_path": "/münt", "raw_path": "b:/m\u00c3\u00bcnt/p%20q"}},
		{"HTTP/1.0", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.Minor = 0 }), map[string]any{"http_version": "1.0"}},
		{"TLS", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.TLS = true }), map[string]any{"scheme": "https"}},
		{"no query", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Request.Query = nil }), map[string]any{"query_string": "b:"}},
		{
			"unix socket", &testEncoder, with(request(), func(x *exchange.Exchange) { x.Peer = &exchange.Peer{ServerName: "/run/\xff.sock"} }),
			map[string]any{"client": nil, "server": []any{"/run/\ufffd.sock", nil}},
		},
	}
	values := make([][]byte, 0, len(cases))
	for _, c := range cases {
		values = append(values, c.encoder.appendScope(nil, c.x))
	}
	for i, got := range loads(t, values) {
		if want := base(cases[i].want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%.2000v\nwant\n%.2000v", cases[i].name, got, want)
		}
	}
}

// TestJoinedValuesAreCopies: joining must not write behind a value in the connection's buffer.
func TestJoinedValuesAreCopies(t *testing.T) {
	buf := []byte("one two three")
	x := request()
	for _, f := range [][2]int{{0, 3}, {4, 7}, {8, 13}} {
		x.Request.Fields = append(x.Request.Fields, exchange.Field{Name: []byte("A"), Value: buf[f[0]:f[1]]})
	}
	testEncoder.appendEnviron(nil, x)
	if string(buf) != "one two three" {
		t.Errorf("the request became %q", buf)
	}
}

// FuzzEnviron: whatever a request holds that the parser lets through, the head is one whole value, with
// only the keys that a client may set.
func FuzzEnviron(f *testing.F) {
	f.Add([]byte("GET"), []byte("/"), []byte("a=b"), []byte("Host: h\nAccept: a\nAccept: b"), "", false)
	f.Add([]byte("x"), []byte("/\xff"), []byte(""), []byte("Proxy: p\nA_B: c\nA-B: d\nCookie: 1\ncookie: 2"), "/root", true)
	f.Add([]byte("POST"), []byte("*"), []byte("\x80"), bytes.Repeat([]byte("X-Long: value\n"), 50), "", true)
	f.Fuzz(func(t *testing.T, method, path, query, lines []byte, root string, old bool) {
		x := request()
		x.Request.Method, x.Request.Path, x.Request.RawPath, x.Request.Query = method, path, path, query
		if old {
			x.Request.Minor = 0
		}
		for _, line := range bytes.Split(lines, []byte("\n")) {
			name, value, _ := bytes.Cut(line, []byte(": "))
			if token(name) {
				x.Request.Fields = append(x.Request.Fields, exchange.Field{Name: name, Value: value})
			}
		}
		e := Encoder{ServerName: "localhost", ServerPort: "80", RootPath: strings.ToValidUTF8(root, "")}
		for _, asgi := range []bool{false, true} {
			b := e.appendHead([]byte("before"), x, asgi)
			v, n, err := marshal.Decode(b[6:], marshal.Limits{Size: 1 << 24})
			if err != nil || n != len(b)-6 {
				t.Fatalf("asgi %v: %d bytes of %d: %v", asgi, n, len(b)-6, err)
			}
			head, ok := v.(marshal.Dict)
			if !ok {
				t.Fatalf("asgi %v: a %T", asgi, v)
			}
			keys := map[string]bool{}
			for _, item := range head {
				key, _ := item.Key.(string)
				if keys[key] {
					t.Errorf("asgi %v: %q comes twice", asgi, key)
				}
				keys[key] = true
			}
			if keys["HTTP_PROXY"] || keys["HTTP_CONTENT_LENGTH"] || keys["HTTP_CONTENT_TYPE"] || keys["SCRIPT_NAME"] {
				t.Errorf("keys that no client may set: %v", keys)
			}
		}
	})
}

// token is RFC 9110 §5.6.2, as http1 enforces it.
func token(name []byte) bool {
	for _, c := range name {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return len(name) > 0
}
