package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/internal/logfile"
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
	l, err := Open(Combined, path, logfile.Owner{})
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
	_, err := Open(JSON, path, logfile.Owner{})
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
	l, err := Open(JSON, "-", logfile.Owner{})
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
	l, err := Open(Combined, "-", logfile.Owner{})
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

// run runs l until the returned function is called, which returns when all is written.
func run(t *testing.T, l *Log) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	return func() { cancel(); <-done }
}

// TestRotatedUnderLoad: of lines that are written while the file is renamed and opened anew none is lost or torn.
func TestRotatedUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := Open(Combined, path, logfile.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	end := run(t, l)
	sent := 0
	x := newExchange()
	for i := range 20 {
		for range 3000 {
			l.Ended(x, 0)
			sent++
		}
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	end()
	names, err := filepath.Glob(path + "*")
	if err != nil || len(names) != 21 {
		t.Fatalf("files %q, %v", names, err)
	}
	line := regexp.MustCompile(`^192\.0\.2\.7 .* "wrk/4\.1"\n$`)
	got := int(l.Dropped())
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(b)) {
			if !line.MatchString(text) {
				t.Fatalf("%s has %q", name, text)
			}
			got++
		}
	}
	if got != sent {
		t.Errorf("%d lines of %d", got, sent)
	}
}

// TestSet: format and file change while lines are written; what cannot be opened changes nothing.
func TestSet(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	l, err := Open(Off, first, logfile.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log that is off has a file: %v", err)
	}
	end := run(t, l)
	x := newExchange()
	set := func(format, path string) {
		t.Helper()
		if err := l.Set(format, path); err != nil {
			t.Fatal(err)
		}
	}
	l.Ended(x, 0)
	set(Combined, first)
	l.Ended(x, 0)
	until(t, first, 1)
	set(JSON, second)
	l.Ended(x, 0)
	if err := l.Set(Combined, filepath.Join(dir, "no", "such")); err == nil || !strings.Contains(err.Error(), "cannot open the access log") {
		t.Errorf("error is %v", err)
	}
	l.Ended(x, 0)
	set(Off, first)
	l.Ended(x, 0)
	end()
	for path, want := range map[string]string{first: "192.0.2.7 -", second: `{"time":`} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		n := map[string]int{first: 1, second: 2}[path]
		if len(lines) != n {
			t.Errorf("%s has %d lines, want %d", path, len(lines), n)
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, want) {
				t.Errorf("%s has %q", path, line)
			}
		}
	}
}

// until waits until a file has that many lines.
func until(t *testing.T, path string, lines int) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		b, err := os.ReadFile(path)
		if err == nil && bytes.Count(b, []byte("\n")) >= lines {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %q, %v", path, b, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAllocations(t *testing.T) {
	for _, format := range []string{Combined, JSON} {
		l, err := Open(format, "-", logfile.Owner{})
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
