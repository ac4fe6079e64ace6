package gateway

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pyspeed/supervisor"
)

// counting notes the query of each request that it runs; some take a while, some read a body.
const counting = `
import os, time, threading

def note(nonce):
    with open("runs", "ab", buffering=0) as runs:
        runs.write(nonce.encode() + b"\n")

def wsgi(environ, start_response):
    nonce = environ["QUERY_STRING"]
    note(nonce)
    if nonce.endswith("7"):
        time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [nonce.encode()]

async def asgi(scope, receive, send):
    import asyncio
    if scope["type"] != "http":
        raise RuntimeError
    nonce = scope["query_string"].decode()
    note(nonce)
    if nonce.endswith("7"):
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": nonce.encode()})
`

// TestChurn: workers are reloaded, replaced, killed, added and taken away in random order while clients check every
// answer. None is lost but those that had begun in a worker that was killed, none goes to another, and none runs twice.
func TestChurn(t *testing.T) {
	for _, kind := range []string{"wsgi", "asgi"} {
		t.Run(kind, func(t *testing.T) { churn(t, kind) })
	}
}

func churn(t *testing.T, kind string) {
	r := prepare(t, t.TempDir(), "app:"+kind, "--workers", "3", "--max-requests", "2000", "--max-requests-jitter", "500", "--queue-timeout", "60s")
	r.write(counting)
	r.run()
	r.url = r.log.wait(t, `listening on (http://\S+)`)

	var over atomic.Bool
	var clients sync.WaitGroup
	var mu sync.Mutex
	statuses := map[string]int{}
	for client := range 12 {
		clients.Go(func() {
			for i := 0; !over.Load(); i++ {
				nonce := fmt.Sprintf("%d-%d", client, i)
				a := <-r.ask("/?" + nonce)
				if a.status == 200 && a.body != nonce {
					t.Errorf("%s got the answer to %s", nonce, a.body)
				}
				mu.Lock()
				statuses[nonce] = a.status
				mu.Unlock()
			}
		})
	}
	killed := 0
	ready := func() (pids []int, ids []string) {
		for _, st := range r.supervisor.Workers() {
			if st.State == supervisor.Ready {
				pids, ids = append(pids, st.PID), append(ids, st.ID)
			}
		}
		return pids, ids
	}
	actions := []func(){
		func() {
			if err := r.reload(); err != nil && killed == 0 { // one that is killed while it waits fails the reload
				t.Error(err)
			}
		},
		func() {
			if _, ids := ready(); len(ids) > 0 {
				_ = r.supervisor.Recycle(ids[rand.IntN(len(ids))], supervisor.ReasonControl) // it may be gone
			}
		},
		func() {
			r.until("two workers are ready", func() bool { pids, _ := ready(); return len(pids) >= 2 })
			if pids, _ := ready(); len(pids) > 0 {
				killed++
				_ = syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL) // it may be gone
			}
		},
		func() { _ = r.supervisor.Add(1) },
		func() { _ = r.supervisor.Remove(1, 2, nil) },
	}
	for range 3 {
		for _, i := range rand.Perm(len(actions)) {
			before := func() int { mu.Lock(); defer mu.Unlock(); return len(statuses) }()
			actions[i]()
			r.until("answers come", func() bool { mu.Lock(); defer mu.Unlock(); return len(statuses) > before+50 })
		}
	}
	over.Store(true)
	clients.Wait()

	content, err := os.ReadFile(filepath.Join(r.dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]int{}
	for _, nonce := range strings.Fields(string(content)) {
		runs[nonce]++
	}
	failed := 0
	for nonce, status := range statuses {
		switch {
		case status == 200 && runs[nonce] != 1:
			t.Errorf("%s was answered and ran %d times", nonce, runs[nonce])
		case status == 502 && runs[nonce] <= 1:
			failed++ // was about to run, or had begun
		case status != 200:
			t.Errorf("%s ended with %d and ran %d times", nonce, status, runs[nonce])
		}
	}
	if killed == 0 || failed > killed*64 {
		t.Errorf("%d failed in %d killed workers", failed, killed)
	}
	t.Logf("%d requests, %d failed, %d workers killed", len(statuses), failed, killed)
}
