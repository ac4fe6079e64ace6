package supervisor

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed testdata/zoo.py
var zooSource []byte

// testPython is what the tests run workers with: the interpreter itself, as what PATH
// names may be a slow script in front of it.
var testPython = sync.OnceValue(func() string {
	name := os.Getenv("PYSPEED_TEST_PYTHON")
	if name == "" {
		name = "python3"
	}
	path, err := exec.Command(name, "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		panic("the tests need Python 3 (PYSPEED_TEST_PYTHON or python3 on PATH): " + err.Error())
	}
	return strings.TrimSpace(string(path))
})

// zooArchive is a zip whose program is testdata/zoo.py.
func zooArchive() []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("__main__.py")
	if err == nil {
		_, err = w.Write(zooSource)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// deadline ends a test that waits for what never comes.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// testPool is a Pool that reports what it is told.
type testPool struct {
	added  chan *Worker // by Serve
	lost   chan loss
	drains chan *Worker
	hold   bool // Drain never becomes empty
	open   func(context.Context, *Worker) error
}

type loss struct {
	w     *Worker
	cause error
}

func newTestPool() *testPool {
	return &testPool{added: make(chan *Worker, 100), lost: make(chan loss, 100), drains: make(chan *Worker, 100)}
}

func (p *testPool) Open(ctx context.Context, w *Worker) error {
	if p.open != nil {
		return p.open(ctx, w)
	}
	return nil
}

func (p *testPool) Serve(w *Worker) { p.added <- w }

func (p *testPool) Drain(w *Worker, _ time.Time) <-chan struct{} {
	empty := make(chan struct{})
	if !p.hold {
		close(empty)
	}
	p.drains <- w
	return empty
}

func (p *testPool) Lost(w *Worker, cause error) { p.lost <- loss{w, cause} }

func (p *testPool) nextAdded(t *testing.T) *Worker {
	t.Helper()
	select {
	case w := <-p.added:
		return w
	case <-deadline(t).Done():
		t.Fatal("no worker was added")
		return nil
	}
}

func (p *testPool) nextLost(t *testing.T) loss {
	t.Helper()
	select {
	case l := <-p.lost:
		l.w.Release()
		return l
	case <-deadline(t).Done():
		t.Fatal("no worker was lost")
		return loss{}
	}
}

// recorder is a slog.Handler that keeps lines "LEVEL message key=value …".
type recorder struct {
	*recorded
	attrs string
}

type recorded struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
	block   chan struct{} // when not nil, lines of output wait for it
}

func newRecorder() recorder { return recorder{&recorded{changed: make(chan struct{})}, ""} }

func (r recorder) Enabled(context.Context, slog.Level) bool { return true }

func (r recorder) Handle(_ context.Context, rec slog.Record) error {
	line := fmt.Sprint(rec.Level, " ", rec.Message, r.attrs)
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "stream" && r.block != nil {
			<-r.block
		}
		line += fmt.Sprint(" ", a)
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

func (r recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		r.attrs += fmt.Sprint(" ", a)
	}
	return r
}

func (r recorder) WithGroup(string) slog.Handler { return r }

// text is the whole log so far.
func (r recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// waitFor waits for a line that contains part.
func (r recorder) waitFor(t *testing.T, part string) string {
	t.Helper()
	ctx := deadline(t)
	for {
		r.mu.Lock()
		for _, line := range r.lines {
			if strings.Contains(line, part) {
				r.mu.Unlock()
				return line
			}
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the log has no line with %q:\n%s", part, r.text())
		}
	}
}

func (r recorder) wants(t *testing.T, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(r.text(), p) {
			t.Errorf("the log has no line with %q:\n%s", p, r.text())
		}
	}
}

// zoo is a supervisor over stand-in workers, with what it told.
type zoo struct {
	*Supervisor
	pool *testPool
	log  recorder
}

// newZoo makes count workers of one character; changes may follow. At the end it checks that nothing is left.
func newZoo(t *testing.T, target string, count int, change ...func(*Settings)) zoo {
	t.Helper()
	leaks(t)
	log := newRecorder()
	settings := Settings{
		Launch: Launch{
			Python: testPython(), Directory: t.TempDir(), Count: count,
			Start:          map[string]any{"target": target},
			StartupTimeout: 30 * time.Second, ShutdownTimeout: 30 * time.Second,
		},
		Archive: zooArchive(), Log: slog.New(log),
	}
	for _, c := range change {
		c(&settings)
	}
	z := zoo{pool: newTestPool(), log: log}
	z.Supervisor = New(settings, z.pool)
	t.Cleanup(func() {
		if err := z.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		for {
			select {
			case l := <-z.pool.lost:
				l.w.Release()
				continue
			default:
			}
			return
		}
	})
	return z
}

func (z zoo) mustStart(t *testing.T) {
	t.Helper()
	if err := z.Start(deadline(t)); err != nil {
		t.Fatalf("Start: %v\n%s", err, z.log.text())
	}
}

// leaks checks at the test's end that it left no descriptor, child process or goroutine behind.
func leaks(t *testing.T) {
	t.Helper()
	// The first use of the runtime's poller opens descriptors that stay.
	if r, w, err := os.Pipe(); err != nil || errors.Join(r.Close(), w.Close()) != nil {
		t.Fatal("cannot open a pipe")
	}
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		// A goroutine that has closed its last channel still needs a moment to end.
		for runtime.NumGoroutine() > goroutines && ctx.Err() == nil {
			runtime.Gosched()
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			stacks := make([]byte, 1<<16)
			t.Errorf("%d goroutines before, %d after:\n%s", goroutines, n, stacks[:runtime.Stack(stacks, true)])
		}
		if after := openFiles(t); after > files {
			t.Errorf("%d descriptors before, %d after", files, after)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	dir := "/dev/fd"
	if runtime.GOOS == "linux" {
		dir = "/proc/self/fd"
	}
	entries, err := fs.ReadDir(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
