package gateway

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// write replaces the application.
func (r *rig) write(source string) {
	r.t.Helper()
	name := filepath.Join(r.dir, "app.py")
	if err := os.WriteFile(name+".new", []byte(source), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) reload() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	return r.Reload(ctx, r.cfg, r.from)
}

// load asks all the time, several at once, until the function returned is called, which returns how often.
func (r *rig) load(path string) (stop func() int) {
	var asked atomic.Int64
	var clients sync.WaitGroup
	over := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if a := <-r.ask(path); a.status != 200 {
					r.t.Errorf("%d %q, %v", a.status, a.body, a.err)
				}
				asked.Add(1)
			}
		})
	}
	return func() int {
		close(over)
		clients.Wait()
		return int(asked.Load())
	}
}

// TestReloadUnderLoad: no answer is missing, the code that is broken is never seen and the one that is mended is.
func TestReloadUnderLoad(t *testing.T) {
	for _, kind := range []string{"wsgi", "asgi"} {
		t.Run(kind, func(t *testing.T) {
			r := start(t, "app:"+kind, "--workers", "2")
			files, goroutines := openFiles(t), runtime.NumGoroutine()
			stop := r.load("/pid")
			old := (<-r.ask("/pid")).body
			for range 3 {
				if err := r.reload(); err != nil {
					t.Error(err)
				}
			}
			if now := (<-r.ask("/pid")).body; now == old {
				t.Errorf("worker %s still answers", now)
			}
			r.write("import nowhere_to_be_found")
			if err := r.reload(); err == nil || !strings.Contains(err.Error(), "nowhere_to_be_found") {
				t.Errorf("broken code: %v", err)
			}
			r.write(strings.ReplaceAll(application, "str(os.getpid())", "'mended'"))
			if err := r.reload(); err != nil {
				t.Error(err)
			}
			if a := <-r.ask("/pid"); a.body != "mended" {
				t.Errorf("answered by %q", a.body)
			}
			t.Logf("%d requests", stop())
			r.until("as many descriptors and goroutines as before", func() bool {
				return openFiles(t) <= files && runtime.NumGoroutine() <= goroutines
			})
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestReloadLetsRequestsEnd: one that a worker of the generation before runs.
func TestReloadLetsRequestsEnd(t *testing.T) {
	r := start(t, "app:wsgi", "--threads", "1")
	slow := r.ask("/wait")
	r.until("begun", func() bool { return strings.Contains(r.events(), "begun") })
	waiting := r.ask("/pid") // behind it, in the same worker or in the queue
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if a := <-waiting; a.status != 200 {
		t.Errorf("what waited behind it: %d, %v", a.status, a.err)
	}
	select {
	case a := <-slow:
		t.Errorf("ended early: %d, %v", a.status, a.err)
	case <-time.After(time.Millisecond):
	}
	r.open()
	if a := <-slow; a.status != 200 {
		t.Errorf("%d, %v", a.status, a.err)
	}
	r.log.wait(t, `worker 1 \(pid \d+\) stopped as asked: the workers were reloaded`)
}

// notes is the application that notes every path; /fails does.
var notes = strings.NewReplacer(
	`path = scope["path"]`, `path = scope["path"]; note(path); assert path != "/fails"`,
	`path = environ["PATH_INFO"]`, `path = environ["PATH_INFO"]; note(path + "?" + environ["QUERY_STRING"]); assert path != "/fails"`,
).Replace(application)

// TestWarmup: before any client's request, in each worker, and an answer that is an error keeps the worker from serving.
func TestWarmup(t *testing.T) {
	r := prepare(t, t.TempDir(), "app:wsgi", "--warmup", "/first,/s%65cond?a=b", "--max-requests", "3")
	r.write(notes)
	r.run()
	r.url = r.log.wait(t, `listening on (http://\S+)`)
	if a := <-r.ask("/mine"); a.status != 200 {
		t.Errorf("%d, %v", a.status, a.err)
	}
	if got := r.events(); got != "/first? /second?a=b /mine?" {
		t.Errorf("events %q", got)
	}
	// They are nobody's requests.
	if _, loads := r.dispatcher.State(); len(loads) != 1 || loads[0].Requests != 1 {
		t.Errorf("loads %+v", loads)
	}
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if got := r.events(); got != "/first? /second?a=b /mine? /first? /second?a=b" {
		t.Errorf("events %q", got)
	}

	cfg := *r.cfg
	cfg.Workers.Warmup = []string{"/first", "/fails"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Reload(ctx, &cfg, r.from); err == nil || !strings.Contains(err.Error(), "the warm-up request /fails was answered with 500") {
		t.Errorf("Reload: %v", err)
	}
	if a := <-r.ask("/mine"); a.status != 200 {
		t.Errorf("%d, %v", a.status, a.err)
	}
}
