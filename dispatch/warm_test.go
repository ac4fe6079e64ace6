package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
)

// held starts a worker that gets nothing yet, and waits until it has answered.
func held(t *testing.T, r *rig, id string, cfg Worker) *fakeWorker {
	t.Helper()
	w := newFakeWorker(t, id)
	opened := make(chan struct{})
	cfg.Held, cfg.Opened = true, func() { close(opened) }
	w.serve(r.Dispatcher, cfg)
	select {
	case <-opened:
	case <-time.After(time.Minute):
		t.Fatalf("worker %s has not answered", id)
	}
	return w
}

func TestHeldWorkerGetsNothing(t *testing.T) { eachLoop(t, heldWorkerGetsNothing) }

func heldWorkerGetsNothing(t *testing.T, s Settings) {
	r := newRig(t, s)
	w := held(t, r, "2", Worker{ASGI: true})
	_, waiting := r.ask("/a")
	if n, _ := r.State(); n != 1 || r.Ready() != 0 {
		t.Errorf("%d wait, %d workers are ready", n, r.Ready())
	}
	w.none()
	r.Activate("2")
	req := w.request()
	if req.head[0].Key != "type" {
		t.Errorf("an ASGI worker got %v", req.head)
	}
	w.answer(req.id, "2")
	waiting.want(200, "2")
	if _, loads := r.State(); r.Ready() != 1 || loads[0].Requests != 1 {
		t.Errorf("loads %+v", loads)
	}
	r.Activate("unknown") // no harm
}

// TestActivateComesLate: a worker that was drained, or has died, gets nothing.
func TestActivateComesLate(t *testing.T) {
	f := func(name string, first func(*rig, *fakeWorker)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Settings{})
			w := held(t, r, "1", Worker{})
			first(r, w)
			_, waiting := r.ask("/a")
			r.Activate("1")
			if r.Ready() != 0 {
				t.Error("it takes requests")
			}
			waiting.open()
			other := startWorker(t, r.Dispatcher, "2", Worker{})
			req := other.request()
			other.answer(req.id, "2")
			waiting.want(200, "2")
		})
	}
	f("drained", func(r *rig, _ *fakeWorker) { <-r.Drain("1") })
	f("dead", func(r *rig, w *fakeWorker) {
		w.die()
		<-w.served
		r.Lost("1")
	})
	f("its connection has ended", func(_ *rig, w *fakeWorker) {
		w.die()
		<-w.served
	})
}

func TestWarm(t *testing.T) { eachLoop(t, warms) }

func warms(t *testing.T, s Settings) {
	s.Encoder = Encoder{ServerName: "shop.test", ServerPort: "80"}
	r := newRig(t, s)
	w := held(t, r, "1", Worker{MaxRequests: 1, Spent: func() { t.Error("a warm-up counts as a request") }})
	result := make(chan error, 1)
	warm := func(paths ...string) { go func() { result <- r.Warm(t.Context(), "1", paths) }() }

	warm("/a%20b?x=%20&y", "/second")
	req := w.request()
	text := func(key string) string { s, _ := marshal.Get[string](req.head, key); return s }
	for key, want := range map[string]string{
		"REQUEST_METHOD": "GET", "PATH_INFO": "/a b", "QUERY_STRING": "x=%20&y", "REQUEST_URI": "/a%20b?x=%20&y",
		"HTTP_HOST": "localhost", "HTTP_USER_AGENT": "pyspeed-warmup", "REMOTE_ADDR": "127.0.0.1", "SERVER_NAME": "",
	} {
		if got := text(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	w.none() // one after the other
	w.answer(req.id, "answer")
	// A long answer is taken as fast as it comes, in parts.
	req = w.request()
	w.write(appendResponse(nil, req.id, 0, 404, ""))
	w.write(fcgi.AppendStream(nil, fcgi.TypeStdout, req.id, make([]byte, req.window)))
	if n := window(w.next(fcgi.TypeWindow)); n < req.window/2 {
		t.Errorf("credit for %d of %d bytes", n, req.window)
	}
	w.end(req.id, 0)
	if err := <-result; err != nil {
		t.Error(err)
	}

	fails := func(want string, act func(asked)) {
		t.Helper()
		warm("/warm")
		act(w.request())
		if err := <-result; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	fails("/warm was answered with 500", func(a asked) { w.write(appendResponse(nil, a.id, fcgi.FlagLast, 500, "")) })
	fails("/warm was answered with 500", func(a asked) { w.end(a.id, 1) })
	fails("/warm got no answer", func(a asked) { // it is cut
		w.write(appendResponse(nil, a.id, 0, 200, "half"))
		w.end(a.id, 1)
	})
	if len(r.counts()) > 0 {
		t.Errorf("a warm-up's failure counts as a client's: %v", r.counts())
	}
	if _, loads := r.State(); loads[0].Requests != 0 || loads[0].Outstanding != 0 {
		t.Errorf("loads %+v", loads)
	}
}

func TestWarmEndsInTime(t *testing.T) {
	r := newRig(t, Settings{})
	w := held(t, r, "1", Worker{})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- r.Warm(ctx, "1", []string{"/warm", "/never"}) }()
	req := w.request()
	cancel()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "/warm was not answered in time") {
		t.Error(err)
	}
	if rec := w.next(fcgi.TypeAbortRequest); rec.ID != req.id {
		t.Errorf("request %d was aborted", rec.ID)
	}
	w.end(req.id, 2) // nobody is there any more
	w.answerNext(r)
}

// answerNext has the worker serve, so that all that it sent before was read.
func (w *fakeWorker) answerNext(r *rig) {
	w.t.Helper()
	r.Activate(w.id)
	_, a := r.ask("/after")
	req := w.request()
	w.answer(req.id, "after")
	a.want(200, "after")
}

// TestWarmStaysWithItsWorker: what it had not begun when it died, or gives back, goes to no other.
func TestWarmStaysWithItsWorker(t *testing.T) {
	f := func(name string, act func(*rig, *fakeWorker, asked)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Settings{})
			w := held(t, r, "1", Worker{})
			other := startWorker(t, r.Dispatcher, "2", Worker{})
			result := make(chan error, 1)
			go func() { result <- r.Warm(t.Context(), "1", []string{"/warm"}) }()
			act(r, w, w.request())
			if err := <-result; err == nil {
				t.Error("no error")
			}
			other.none()
			if len(r.counts()) > 0 {
				t.Errorf("counted: %v", r.counts())
			}
		})
	}
	f("dies", func(r *rig, w *fakeWorker, _ asked) {
		w.die()
		<-w.served
		r.Lost("1")
	})
	f("gives it back", func(r *rig, _ *fakeWorker, a asked) { r.Reclaimed("1", []uint16{a.id}) })
}

func TestWarmOfNobody(t *testing.T) {
	r := newRig(t, Settings{})
	if err := r.Warm(t.Context(), "1", []string{"/warm"}); err == nil || !strings.Contains(err.Error(), "worker 1 takes no requests") {
		t.Error(err)
	}
	held(t, r, "1", Worker{})
	if err := r.Warm(t.Context(), "1", []string{"/%zz"}); err == nil || !strings.Contains(err.Error(), "set workers.warmup") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if err := r.Warm(ctx, "1", nil); err != nil { // nothing to wait for
		t.Error(err)
	}
}

func TestSpent(t *testing.T) {
	r := newRig(t, Settings{})
	spent := 0 // under the dispatcher's lock
	w := startWorker(t, r.Dispatcher, "1", Worker{MaxRequests: 3, Spent: func() { spent++ }})
	for i := range 6 {
		_, a := r.ask(nonce(i))
		req := w.request()
		w.answer(req.id, "")
		a.want(200, "")
		if want := min(1, (i+1)/3); spent != want {
			t.Errorf("after %d requests spent was called %d times, want %d", i+1, spent, want)
		}
	}
}
