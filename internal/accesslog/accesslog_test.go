package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
)

// newExchange is a request that was answered.
func newExchange() *exchange.Exchange {
	x := &exchange.Exchange{
		Peer:     &exchange.Peer{RemoteAddr: "192.0.2.7", RemotePort: "4711"},
		Accepted: time.Second, Dispatched: time.Second + 1500*time.Microsecond, Worker: "2.3",
		Status: 201, BytesOut: 42,
	}
	r := &x.Request
	r.Method, r.Target, r.Minor = []byte("POST"), []byte("/items?a=1"), 1
	r.Authority = []byte("shop.test")
	r.Fields = []exchange.Field{
		{Name: []byte("User-Agent"), Value: []byte("wrk/4.1")},
		{Name: []byte("REFERER"), Value: []byte("http://shop.test/")},
	}
	return x
}

func TestCombined(t *testing.T) {
	const stamp = "09/Mar/2026:10:11:12 +0000"
	f := func(name string, change func(*exchange.Exchange), want string) {
		t.Helper()
		x := newExchange()
		change(x)
		if got := string(appendCombined(nil, x, []byte(stamp), time.Second)); got != want+"\n" {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
		}
	}
	head := "192.0.2.7 - - [" + stamp + "] "
	tail := ` "http://shop.test/" "wrk/4.1"`
	f("answered", func(*exchange.Exchange) {}, head+`"POST /items?a=1 HTTP/1.1" 201 42`+tail)
	f("HTTP/1.0", func(x *exchange.Exchange) { x.Request.Minor = 0 }, head+`"POST /items?a=1 HTTP/1.0" 201 42`+tail)
	f("the client left", func(x *exchange.Exchange) { x.Status, x.BytesOut = 0, 0 }, head+`"POST /items?a=1 HTTP/1.1" 499 0`+tail)
	f("a unix socket", func(x *exchange.Exchange) { x.Peer = &exchange.Peer{} },
		"- - - ["+stamp+`] "POST /items?a=1 HTTP/1.1" 201 42`+tail)
	f("no fields", func(x *exchange.Exchange) { x.Request.Fields = nil }, head+`"POST /items?a=1 HTTP/1.1" 201 42 "-" "-"`)
	f("refused before it was read", func(x *exchange.Exchange) {
		x.Request, x.Status, x.BytesOut = exchange.Request{}, 400, 12
	}, head+`"-" 400 12 "-" "-"`)
	f("forged", func(x *exchange.Exchange) {
		x.Request.Target = []byte("/\x1b[31m\"\r\n\\")
		x.Request.Fields[0].Value = []byte("x\" 200 1 \"y\x00\x7f\x9b")
		x.Request.Fields[1].Value = []byte("\xc3\xa9")
	}, head+`"POST /\x1b[31m\x22\x0d\x0a\x5c HTTP/1.1" 201 42 "\xc3\xa9" "x\x22 200 1 \x22y\x00\x7f\x9b"`)
}

func TestJSON(t *testing.T) {
	f := func(name string, change func(*exchange.Exchange), want map[string]any) {
		t.Helper()
		x := newExchange()
		change(x)
		line := appendJSON(nil, x, nil, 2500*time.Microsecond)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Errorf("%s: not one line: %q", name, line)
		}
		if regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f]`).Match(line) {
			t.Errorf("%s: a control character is in %q", name, line)
		}
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v in %q", name, err, line)
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", got["time"].(string)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %#v, want %#v", name, key, got[key], value)
			}
		}
	}
	f("answered", func(*exchange.Exchange) {}, map[string]any{
		"remote": "192.0.2.7", "method": "POST", "target": "/items?a=1", "host": "shop.test", "status": 201.0,
		"bytes": 42.0, "duration_ms": 2.5, "queue_ms": 1.5, "worker": "2.3", "referer": "http://shop.test/", "user_agent": "wrk/4.1",
	})
	f("never given to a worker", func(x *exchange.Exchange) { x.Dispatched, x.Status = 0, 503 },
		map[string]any{"status": 503.0, "queue_ms": nil, "worker": nil})
	f("the client left", func(x *exchange.Exchange) { x.Status = 0 }, map[string]any{"status": 499.0})
	f("forged", func(x *exchange.Exchange) {
		x.Request.Target = []byte("/\x1b\x00\"\\\r\n\x7f")
		x.Request.Fields[0].Value = []byte("a\"}\n{\"b\xff\xc2\x9bé€😀")
	}, map[string]any{"target": "/\x1b\x00\"\\\r\n\x7f", "user_agent": "a\"}\n{\"b\uFFFD\u009bé€😀"})
}

// TestFile: lines reach the file while Run runs, and what is left at its end.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Combined, path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	x := newExchange()
	for range 1000 {
		l.Ended(x, time.Millisecond)
	}
	cancel()
	<-done
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	if len(lines) != 1001 || lines[0] != "before" {
		t.Fatalf("%d lines, the first %q", len(lines), lines[0])
	}
	want := regexp.MustCompile(`^192\.0\.2\.7 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "POST /items\?a=1 HTTP/1\.1" 201 42 "http://shop\.test/" "wrk/4\.1"$`)
	for _, line := range lines[1:] {
		if !want.MatchString(line) {
			t.Fatalf("unexpected line %q", line)
		}
	}
	if n := l.Dropped(); n != 0 {
		t.Errorf("%d lines dropped", n)
	}
}

func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such", "folder")
	_, err := Open(JSON, path)
	if err == nil || !strings.Contains(err.Error(), "cannot open the access log") || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v", err)
	}
}

// stuckDisk is a writer that holds its first Write until it is told to go on.
type stuckDisk struct {
	entered, release chan struct{}
	once             sync.Once
	lines            int
}

func (d *stuckDisk) Write(p []byte) (int, error) {
	d.once.Do(func() { close(d.entered); <-d.release })
	d.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// TestStuckDisk: a disk that does not keep up costs lines, which are counted, and no more memory
// than the bound; requests go on.
func TestStuckDisk(t *testing.T) {
	l, err := Open(JSON, "-")
	if err != nil {
		t.Fatal(err)
	}
	disk := &stuckDisk{entered: make(chan struct{}), release: make(chan struct{})}
	l.out = disk
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	x := newExchange()
	sent := 0
	for ; ; sent++ { // until the disk is stuck
		select {
		case <-disk.entered:
		default:
			l.Ended(x, 0)
			continue
		}
		break
	}
	x.Request.Target = bytes.Repeat([]byte("a"), 8000)
	for range 2000 { // 16 MB
		l.Ended(x, 0)
		sent++
	}
	l.mu.Lock()
	held := cap(l.buf)
	l.mu.Unlock()
	if held > 2*most {
		t.Errorf("%d bytes wait for a disk that is stuck", held)
	}
	dropped := int(l.Dropped())
	if dropped == 0 {
		t.Error("no line was dropped")
	}
	close(disk.release)
	cancel()
	<-done
	if disk.lines+dropped != sent {
		t.Errorf("%d lines written and %d dropped of %d", disk.lines, dropped, sent)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestFullDisk: lines that could not be written count as dropped.
func TestFullDisk(t *testing.T) {
	l, err := Open(Combined, "-")
	if err != nil {
		t.Fatal(err)
	}
	l.out = fullDisk{}
	for range 5 {
		l.Ended(newExchange(), 0)
	}
	l.flush()
	if n := l.Dropped(); n != 5 {
		t.Errorf("%d lines dropped, want 5", n)
	}
}

func TestAllocations(t *testing.T) {
	for _, format := range []string{Combined, JSON} {
		l, err := Open(format, "-")
		if err != nil {
			t.Fatal(err)
		}
		l.buf = make([]byte, 0, 1<<20)
		x := newExchange()
		if n := testing.AllocsPerRun(100, func() { l.Ended(x, time.Millisecond) }); n > 0 {
			t.Errorf("%s: %v allocations for a line", format, n)
		}
	}
}
