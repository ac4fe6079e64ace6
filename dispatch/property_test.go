package dispatch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/gateway/exchange"
)

// fleet counts what all workers of a random schedule ran.
type fleet struct {
	r       *rig
	mu      sync.Mutex
	runs    map[string]int
	back    int // requests that were given back
	serial  int
	running sync.WaitGroup
}

// ran is called as an application would be.
func (f *fleet) ran(nonce string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[nonce]++
}

// job is one request in a randomWorker.
type job struct {
	asked
	got     []byte // of its body
	ended   bool   // all of it
	aborted bool
	parts   int  // still to be sent; below 0: the head was not sent
	begun   bool // marked
	stuck   int  // steps that it takes after it was aborted; it takes for ever before
}

// isEvents is whether a request's answer, where it comes in parts, is an event stream.
func isEvents(nonce string) bool { return len(nonce)%3 == 0 }

// add starts a worker that answers at random until a random end; it comes back as another.
func (f *fleet) add(seed uint64) {
	f.mu.Lock()
	f.serial++
	id := fmt.Sprint(f.serial)
	f.mu.Unlock()
	w := newFakeWorker(f.r.t, id)
	w.serve(f.r.Dispatcher, Worker{Threads: 4})
	f.running.Add(1)
	go func() {
		defer f.running.Done()
		w.random(f, rand.New(rand.NewPCG(seed, 1)))
	}()
}

// random answers whatever comes, in any order, in any number of parts, until its life is over.
func (w *fakeWorker) random(f *fleet, rnd *rand.Rand) {
	jobs := map[uint16]*job{}
	var order []uint16
	life := 20 + rnd.IntN(300)
	drain := rnd.IntN(3) == 0
	garbage := !drain && rnd.IntN(4) == 0
	stall := 10 + rnd.IntN(100)
	var empty <-chan struct{}
	for {
		// Take one record, or go on with a request when there is none.
		select {
		case rec, ok := <-w.got:
			if !ok {
				w.over(f)
				return
			}
			w.take(jobs, &order, rec)
		default:
			if len(order) == 0 {
				select {
				case rec, ok := <-w.got:
					if !ok {
						w.over(f)
						return
					}
					w.take(jobs, &order, rec)
				case <-empty:
					w.over(f)
					return
				}
				continue
			}
			i := rnd.IntN(len(order))
			if w.step(f, jobs[order[i]], rnd) {
				delete(jobs, order[i])
				order[i] = order[len(order)-1]
				order = order[:len(order)-1]
			}
		}
		life--
		if stall--; stall == 0 && f.r.Suspend(w.id) {
			// As when its event loop is held: what it has not begun goes to others.
			w.giveBack(f, jobs, &order)
		}
		switch {
		case life > 0 || empty != nil:
		case drain:
			empty = f.r.Drain(w.id)
			w.giveBack(f, jobs, &order)
		case garbage:
			w.write(appendResponse(nil, 60000, fcgi.FlagLast, 200, "/nobody"))
			<-w.served
			w.over(f)
			return
		default:
			w.over(f)
			return
		}
	}
}

// giveBack answers the command reclaim: it gives up what was not begun, neither aborted nor streamed.
func (w *fakeWorker) giveBack(f *fleet, jobs map[uint16]*job, order *[]uint16) {
	var ids []uint16
	*order = slices.DeleteFunc(*order, func(id uint16) bool {
		j := jobs[id]
		back := !j.begun && !j.aborted && !j.open
		if back {
			ids = append(ids, id)
			delete(jobs, id)
		}
		return back
	})
	f.mu.Lock()
	f.back += len(ids)
	f.mu.Unlock()
	f.r.Reclaimed(w.id, ids)
}

// over is the end of the process, and its replacement.
func (w *fakeWorker) over(f *fleet) {
	w.die()
	f.r.Lost(w.id)
	f.r.mu.Lock()
	closed := f.r.closing
	f.r.mu.Unlock()
	if !closed {
		f.add(uint64(len(w.id)) + uint64(time.Now().UnixNano()))
	}
}

func (w *fakeWorker) take(jobs map[uint16]*job, order *[]uint16, rec fcgi.Record) {
	j := jobs[rec.ID]
	switch rec.Type {
	case fcgi.TypeRequest:
		a, err := parseRequest(rec)
		if err != nil {
			w.t.Error(err)
		}
		if j != nil {
			w.t.Errorf("id %d was given to %s while %s has it", rec.ID, a.nonce, j.nonce)
		}
		jobs[rec.ID] = &job{asked: a, got: a.body, ended: !a.open, parts: -1}
		*order = append(*order, rec.ID)
	case fcgi.TypeStdin:
		if j != nil {
			j.got = append(j.got, rec.Content...)
			j.ended = j.ended || len(rec.Content) == 0
			if len(rec.Content) > 0 {
				w.write(fcgi.AppendWindow(nil, rec.ID, uint32(len(rec.Content))))
			}
		}
	case fcgi.TypeAbortRequest:
		if j != nil {
			j.aborted = true
		}
	}
}

// step goes on with j; true when it has ended.
func (w *fakeWorker) step(f *fleet, j *job, rnd *rand.Rand) bool {
	if j.stuck > 0 {
		if j.aborted {
			j.stuck--
		}
		return false
	}
	if j.aborted && (!j.begun || rnd.IntN(2) == 0) {
		w.end(j.id, 2)
		return true
	}
	if !j.begun {
		j.begun = true
		w.marks[j.id] = 1
		f.ran(j.nonce)
		if rnd.IntN(40) == 0 {
			j.stuck = 1 + rnd.IntN(30)
		}
		return false
	}
	if !j.ended {
		return false
	}
	text := j.nonce + "|" + string(j.got)
	if j.parts < 0 {
		switch rnd.IntN(4) {
		case 0:
			w.end(j.id, 1)
			return true
		case 1:
			j.parts = rnd.IntN(4)
			if isEvents(j.nonce) {
				j.parts = rnd.IntN(100)
				w.write(appendEvents(nil, j.id, "text/event-stream", ""))
			} else {
				w.write(appendResponse(nil, j.id, 0, 200, ""))
			}
			return false
		}
		w.answer(j.id, text)
		return true
	}
	if j.parts > 0 {
		j.parts--
		return false
	}
	half := len(text) / 2
	b := fcgi.AppendStream(nil, fcgi.TypeStdout, j.id, []byte(text[:half]))
	b = fcgi.AppendStream(b, fcgi.TypeStdout, j.id, []byte(text[half:]))
	w.write(fcgi.AppendEndRequest(b, j.id, fcgi.EndRequest{}))
	return true
}

// TestRandomSchedules: clients that come and leave, workers that answer, hang, give back, die, spoil their connection, drain
// and come back, requests that take too long, event streams that are ended, and now and then nothing is given to anybody.
// Every exchange ends once (recorder checks that nothing follows), with its own
// answer or an error, no request is run twice, and no id is used again before its request has ended (take checks that).
func TestRandomSchedules(t *testing.T) { eachLoop(t, randomSchedules) }

func randomSchedules(t *testing.T, s Settings) {
	rnd, _ := newRand(t)
	const clients, each = 40, 60
	var slow, overdue, streams atomic.Int64
	r := newRig(t, Settings{
		Queue: clients - 5, Loop: s.Loop, RequestSoft: 5 * time.Second, Request: 20 * time.Second,
		Slow:    func(_ string, all []Slow) { slow.Add(int64(len(all))) },
		Overdue: func(_ string, all []Slow) { overdue.Add(int64(len(all))) },
	})
	f := &fleet{r: r, runs: map[string]int{}}
	for range 3 {
		f.add(rnd.Uint64())
	}
	stop := make(chan struct{})
	var ticking, asking sync.WaitGroup
	whims := rand.New(rand.NewPCG(rnd.Uint64(), 2))
	ticking.Go(func() { // timeouts, and what others ask of the dispatcher
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		defer r.Release()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			r.clock.advance(time.Second)
			r.expire()
			r.look(0)
			switch whims.IntN(20) {
			case 0:
				r.Hold()
			case 1, 2, 3, 4, 5, 6:
				r.Release()
			case 7, 8, 9, 10, 11, 12, 13, 14:
				_, loads := r.State()
				for _, l := range loads {
					streams.Add(int64(r.EndStreams(l.ID)))
				}
			}
		}
	})
	var answered, failed, left atomic.Int64
	var mu sync.Mutex
	completed := map[string]bool{}
	for i := range clients {
		own := rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))
		asking.Go(func() {
			c := r.client()
			for n := range each {
				text := fmt.Sprintf("/%d/%d", i, n)
				a, data := f.send(c, text, own)
				if own.IntN(10) == 0 {
					if own.IntN(2) == 0 {
						r.State() // a moment later
					}
					c.x.Source.Cancelled()
				}
				o := a.wait()
				if c.x.Body != nil {
					c.x.Body.Close()
				}
				switch {
				case !o.aborted:
					answered.Add(1)
					ended := isEvents(text) && strings.HasPrefix(text+"|"+data, o.body) // before its end
					if o.status != 200 || o.body != text+"|"+data && !ended {
						t.Errorf("%s: status %d, body %.60q", text, o.status, o.body)
					}
					mu.Lock()
					completed[text] = true
					mu.Unlock()
				case o.status == 0:
					left.Add(1)
				default:
					failed.Add(1)
					if o.body != "" && !strings.HasPrefix(text+"|"+data, o.body) {
						t.Errorf("%s: cut body %.60q", text, o.body)
					}
				}
			}
		})
	}
	asking.Wait()
	close(stop)
	ticking.Wait()
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	if waiting, loads := r.State(); waiting != 0 {
		t.Errorf("%d wait, %v", waiting, loads)
	}
	twice := 0
	f.mu.Lock()
	for text, n := range f.runs {
		if n > 1 {
			twice++
			t.Errorf("%s ran %d times", text, n)
		}
	}
	for text := range completed {
		if f.runs[text] != 1 {
			t.Errorf("%s was answered and ran %d times", text, f.runs[text])
		}
	}
	serial := f.serial
	f.mu.Unlock()
	for id := range serial {
		r.Drain(fmt.Sprint(id + 1))
		r.Lost(fmt.Sprint(id + 1))
	}
	f.running.Wait()
	t.Logf("%d answered, %d failed, %d left, %d workers; %d slow, %d overdue, %d given back, %d streams ended; failures %v",
		answered.Load(), failed.Load(), left.Load(), serial, slow.Load(), overdue.Load(), f.back, streams.Load(), r.counts())
	if answered.Load() == 0 || left.Load() == 0 || serial < 4 || overdue.Load() == 0 || f.back == 0 {
		t.Error("the schedule tested nothing")
	}
}

// send starts an exchange with no body, a whole one, or one that arrives in parts.
func (f *fleet) send(c *client, text string, rnd *rand.Rand) (*recorder, string) {
	switch rnd.IntN(4) {
	case 0:
		return c.post(text, newBody("whole", true), 5), "whole"
	case 1:
		data := strings.Repeat(text, 1+rnd.IntN(20))
		body := exchange.NewBody(1<<20, nil, "")
		a := c.post(text, body, -1)
		for at := 0; at < len(data); {
			n := min(1+rnd.IntN(100), len(data)-at)
			_ = body.Append([]byte(data[at : at+n])) // stays in memory
			at += n
		}
		body.Finish()
		return a, data
	}
	return c.get(text), ""
}
