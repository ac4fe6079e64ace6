package http1

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pyspeed/gateway/exchange"
)

var (
	seedFlag   = flag.Uint64("http1.seed", 0, "seed of the random cuts; 0 picks one")
	updateFlag = flag.Bool("http1.update", false, "write the events that are seen into testdata")
)

// reader is the simplest connection there can be: it feeds the codec and
// writes down what happened, one event per line.
type reader struct {
	tls     bool
	parser  Parser
	chunked Chunked
	req     exchange.Request
	inBody  bool
	left    int64
	body    []byte
	buf     []byte // not consumed
	events  []string
	failed  bool
	once    bool // stop after one body
	stopped bool
}

func (r *reader) event(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

// feed appends p in new memory and spoils the old, so that whatever still points
// there is found out.
func (r *reader) feed(p []byte) {
	if r.failed || r.stopped {
		return
	}
	if old := r.buf; len(old) < 2048 { // large heads would cost quadratic time
		r.buf = slices.Concat(old, p)
		for i := range old {
			old[i] = 0xEE
		}
	} else {
		r.buf = append(old, p...)
	}
	for !r.failed && !r.stopped && r.step() {
	}
}

func (r *reader) step() bool {
	if r.inBody {
		return r.stepBody()
	}
	r.req.TLS = r.tls
	n, err := r.parser.Head(r.buf, nil, &r.req)
	if err != nil {
		r.fail(err)
		return false
	}
	if n == 0 {
		return false
	}
	r.writeRequest()
	r.buf = r.buf[n:]
	r.inBody, r.body, r.left, r.chunked = true, nil, r.req.ContentLength, Chunked{}
	return true
}

func (r *reader) stepBody() bool {
	if r.left >= 0 {
		n := min(int64(len(r.buf)), r.left)
		r.body = append(r.body, r.buf[:n]...)
		r.buf = r.buf[n:]
		if r.left -= n; r.left > 0 {
			return false
		}
	} else {
		n, data, done, err := r.chunked.Next(r.buf)
		if err != nil {
			r.event("body %q", r.body)
			r.fail(err)
			return false
		}
		r.body = append(r.body, data...)
		r.buf = r.buf[n:]
		if !done {
			return n > 0
		}
	}
	r.event("body %q", r.body)
	r.inBody = false
	r.stopped = r.once
	return true
}

func (r *reader) fail(err *Error) {
	r.failed = true
	r.event("error %d %s", err.Status, err.Reason)
}

func (r *reader) writeRequest() {
	q := &r.req
	r.event("request %s %q HTTP/1.%d", q.Method, q.Target, q.Minor)
	r.event("  path %q raw %q", q.Path, q.RawPath)
	if q.Query != nil {
		r.event("  query %q", q.Query)
	}
	r.event("  authority %q", q.Authority)
	for _, f := range q.Fields {
		r.event("  field %q %q", f.Name, f.Value)
	}
	line := fmt.Sprintf("  length %d", q.ContentLength)
	if q.KeepAlive {
		line += " keep-alive"
	}
	if q.ExpectContinue {
		line += " expects"
	}
	r.event("%s", line)
}

// result is all events, and a last one if something was begun and not ended.
func (r *reader) result() string {
	events := r.events
	switch {
	case r.failed || r.stopped:
	case r.inBody:
		events = append(events, fmt.Sprintf("body-incomplete %q", r.body))
	case len(r.buf) > 0:
		events = append(events, "head-incomplete")
	}
	return strings.Join(events, "\n") + "\n"
}

// cuts are the ways input is fed.
func cuts(rng *rand.Rand) map[string]func(data []byte, feed func([]byte)) {
	return map[string]func([]byte, func([]byte)){
		"whole": func(data []byte, feed func([]byte)) { feed(data) },
		"byte by byte": func(data []byte, feed func([]byte)) {
			for i := range data {
				feed(data[i : i+1])
			}
		},
		"random": func(data []byte, feed func([]byte)) {
			for len(data) > 0 {
				n := 1 + rng.IntN(min(len(data), 1+rng.IntN(200)))
				feed(data[:n])
				data = data[n:]
			}
		},
	}
}

func pickSeed(t testing.TB) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat with -http1.seed=%d", seed)
	return seed
}

// example is one file of the corpus.
type example struct {
	name string
	data []byte
	tls  bool
	want string
}

func readCorpus(t testing.TB, kind string) []example {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", kind, "*.http"))
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find the corpus %s: %v", kind, err)
	}
	var all []example
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(strings.TrimSuffix(file, ".http") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		e := example{name: strings.TrimSuffix(filepath.Base(file), ".http"), data: data}
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.HasPrefix(line, "#"):
			case line == "option tls\n":
				e.tls = true
			default:
				e.want += line
			}
		}
		all = append(all, e)
	}
	return all
}

// update keeps what a file's comments and options say and replaces the events.
func update(t *testing.T, kind string, e example, events string) {
	t.Helper()
	file := filepath.Join("testdata", kind, e.name+".txt")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.TrimSuffix(string(text), e.want)
	if err := os.WriteFile(file, []byte(kept+events), 0o644); err != nil {
		t.Fatal(err)
	}
}

const trailing = "GET /trailing HTTP/1.1\r\nHost: t\r\n\r\n"

const trailingEvents = `request GET "/trailing" HTTP/1.1
  path "/trailing" raw "/trailing"
  authority "t"
  field "Host" "t"
  length 0 keep-alive
body ""
`

func TestCorpus(t *testing.T) {
	seed := pickSeed(t)
	for _, kind := range []string{"valid", "invalid"} {
		for _, e := range readCorpus(t, kind) {
			t.Run(kind+"/"+e.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 0)) // one case alone is cut the same way
				f := func(cut string, data []byte, want string) {
					t.Helper()
					r := reader{tls: e.tls}
					cuts(rng)[cut](data, r.feed)
					if got := r.result(); got != want {
						t.Errorf("fed %s:\ngot\n%swant\n%s", cut, got, want)
					}
				}
				if *updateFlag {
					r := reader{tls: e.tls}
					r.feed(slices.Clone(e.data))
					update(t, kind, e, r.result())
					e.want = r.result()
				}
				isError := strings.Contains(e.want, "error ")
				if isError != (kind == "invalid") {
					t.Errorf("a case of %s whose events are\n%s", kind, e.want)
				}
				for _, cut := range []string{"whole", "byte by byte", "random"} {
					f(cut, e.data, e.want)
					switch {
					case isError:
						// Nothing after the error is looked at, whatever it is.
						f(cut, slices.Concat(e.data, []byte(trailing)), e.want)
					case !isError && !strings.Contains(e.want, "-incomplete"):
						f(cut, slices.Concat(e.data, []byte(trailing)), e.want+trailingEvents)
					}
				}
			})
		}
	}
}

// TestCorpusSize keeps the corpus from shrinking unseen.
func TestCorpusSize(t *testing.T) {
	f := func(kind string, least int) {
		t.Helper()
		if n := len(readCorpus(t, kind)); n < least {
			t.Errorf("%d cases in %s; at least %d were there", n, kind, least)
		}
	}
	f("valid", 110)
	f("invalid", 250)
}

// Byte by byte, a head costs linear time only if no byte is searched for LF twice.
func TestHeadRemembersHowFarItScanned(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 60000))
	var p Parser
	var req exchange.Request
	for i := range head {
		if n, err := p.Head(head[:i+1], nil, &req); n != 0 || err != nil {
			t.Fatalf("at byte %d: %d, %v", i, n, err)
		}
		if i > 0 && p.at.scanned != i+1 {
			t.Fatalf("after %d bytes it remembers %d", i+1, p.at.scanned)
		}
	}
	if want := bytes.LastIndexByte(head, '\n') + 1; p.at.next != want {
		t.Errorf("the line to go on with begins at %d; want %d", p.at.next, want)
	}
}
