package upstream

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pyspeed/fcgi"
)

// nowhere is an address at which nobody listens.
func nowhere(t *testing.T) Address {
	return Address{"unix", filepath.Join(t.TempDir(), "nobody")}
}

// TestNextAddress: who cannot be connected to is passed over, and left alone after max_fails.
func TestNextAddress(t *testing.T) {
	r := start(t, Settings{Addresses: []Address{nowhere(t), always(t, whole("ok")).address, nowhere(t)}, MaxFails: 2})
	for range 10 {
		if a := r.get("/"); a.body != "ok" {
			t.Errorf("got %v", a)
		}
	}
	_, loads := r.State()
	if loads[0].Up || !loads[1].Up {
		t.Errorf("loads %+v", loads)
	}
	// Asked until max_fails; the third only when the first was down.
	if n := strings.Count(r.log.String(), "cannot connect to "+loads[0].Address); n != 2 {
		t.Errorf("the first was asked %d times", n)
	}
}

// TestAllDown: 503 with Retry-After; a single address is asked again all the same.
func TestAllDown(t *testing.T) {
	for n := 1; n <= 2; n++ {
		addresses := []Address{nowhere(t), nowhere(t)}[:n]
		r := start(t, Settings{Addresses: addresses, MaxFails: 1})
		for i := 1; i <= 3; i++ {
			if a := r.get("/"); a.status != 503 || a.header.Get("Retry-After") == "" || r.failed(FailUnreachable) != i {
				t.Errorf("got %v", a)
			}
		}
		if got, want := strings.Count(r.log.String(), "cannot connect"), map[int]int{1: 3, 2: 2}[n]; got != want {
			t.Errorf("%d addresses: %d attempts to connect, want %d", n, got, want)
		}
	}
}

// TestFailTimeout: after it an address is asked again.
func TestFailTimeout(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	p := listen(t, func(c *peerConn) {
		if _, ok := c.request(); ok && !broken.Load() {
			c.send(whole("ok"))
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address, nowhere(t)}, MaxFails: 1, FailTimeout: 20 * time.Millisecond})
	if a := r.get("/"); a.status != 502 {
		t.Errorf("got %v", a)
	}
	broken.Store(false)
	eventually(t, "asked again", func() bool { return r.get("/").body == "ok" })
}

// TestLeastBusy: the address with the fewest requests is next.
func TestLeastBusy(t *testing.T) {
	release := make(chan struct{})
	begun := make(chan string, 10)
	peers := make([]Address, 3)
	for i := range peers {
		peers[i] = listen(t, func(c *peerConn) {
			if _, ok := c.request(); ok {
				begun <- fmt.Sprint(i)
				<-release
				c.send(whole(""))
			}
		}).address
	}
	r := start(t, Settings{Addresses: peers, Connections: 2})
	var all sync.WaitGroup
	counts := map[string]int{}
	for range 6 {
		all.Go(func() { r.get("/") })
		counts[<-begun]++
	}
	close(release)
	all.Wait()
	for i := range peers {
		if counts[fmt.Sprint(i)] != 2 {
			t.Errorf("requests by address: %v", counts)
		}
	}
}

// TestQueue: requests wait for a connection, in order; too many, or for too long, get 503; who leaves is forgotten.
func TestQueue(t *testing.T) {
	turn := make(chan string)
	p := listen(t, func(c *peerConn) {
		for {
			a, ok := c.request()
			if !ok {
				return
			}
			turn <- a.params["PATH_INFO"]
			<-turn
			c.send(whole(""))
		}
	})
	r := start(t, Settings{Addresses: []Address{p.address}, Connections: 1, Queue: 2, KeepAlive: true})
	waiting := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d waiting", n), func() bool { w, _ := r.State(); return w == n })
	}
	var all sync.WaitGroup
	ask := func(path string) {
		all.Go(func() {
			if a := r.get(path); a.status != 200 {
				t.Errorf("%s: got %v", path, a)
			}
		})
	}
	ask("/1")
	if got := <-turn; got != "/1" {
		t.Errorf("%s first", got)
	}
	ask("/2")
	waiting(1)
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
	waiting(2)
	if a := r.get("/full"); a.status != 503 || a.header.Get("Retry-After") == "" || r.failed(FailQueueFull) != 1 {
		t.Errorf("got %v", a)
	}
	c.Close()
	waiting(1)
	ask("/3")
	waiting(2)
	for _, next := range []string{"/2", "/3"} {
		turn <- ""
		if got := <-turn; got != next {
			t.Errorf("%s, want %s", got, next)
		}
	}
	turn <- ""
	all.Wait()
}

func TestQueueTimeout(t *testing.T) {
	release := make(chan struct{})
	p := listen(t, func(c *peerConn) {
		c.request()
		<-release
		c.send(whole("ok"))
	})
	r := start(t, Settings{Addresses: []Address{p.address}, Connections: 1, Queue: 1, QueueTimeout: 20 * time.Millisecond})
	var all sync.WaitGroup
	all.Go(func() {
		if a := r.get("/"); a.body != "ok" {
			t.Errorf("got %v", a)
		}
	})
	eventually(t, "begun", func() bool { _, loads := r.State(); return loads[0].Outstanding == 1 })
	if a := r.get("/"); a.status != 503 || r.failed(FailQueueTime) != 1 {
		t.Errorf("got %v", a)
	}
	close(release)
	all.Wait()
}

// TestStop: what waits gets 503, what runs is answered.
func TestStop(t *testing.T) {
	release := make(chan struct{})
	p := listen(t, func(c *peerConn) {
		c.request()
		<-release
		c.send(whole("ok"))
	})
	r := start(t, Settings{Addresses: []Address{p.address}, Connections: 1, Queue: 1})
	var all sync.WaitGroup
	all.Go(func() {
		if a := r.get("/"); a.body != "ok" {
			t.Errorf("got %v", a)
		}
	})
	eventually(t, "begun", func() bool { _, loads := r.State(); return loads[0].Outstanding == 1 })
	all.Go(func() {
		if a := r.get("/"); a.status != 503 {
			t.Errorf("got %v", a)
		}
	})
	eventually(t, "waiting", func() bool { n, _ := r.State(); return n == 1 })
	r.Stop()
	eventually(t, "refused", func() bool { return r.failed(FailStopping) == 1 })
	close(release)
	all.Wait()
}

// TestIdleConnections: are closed when nobody used them for long.
func TestIdleConnections(t *testing.T) {
	ended := make(chan struct{})
	p := listen(t, func(c *peerConn) {
		c.request()
		c.send(whole("ok"))
		c.next()
		close(ended)
	})
	now := time.Duration(0)
	s := Settings{Addresses: []Address{p.address}, KeepAlive: true}
	r := start(t, s)
	r.get("/")
	r.pool.mu.Lock()
	now = r.pool.addresses[0].idle[0].since + keepIdle + 1
	r.pool.now = func() time.Duration { return now }
	r.pool.mu.Unlock()
	r.pool.turn()
	<-ended
}

// TestHealth: an address that is not well gets no requests until it is.
func TestHealth(t *testing.T) {
	var status atomic.Value
	status.Store("Status: 500\r\n\r\n")
	looked := make(chan map[string]string, 100)
	p := listen(t, func(c *peerConn) {
		a, ok := c.request()
		if !ok {
			return
		}
		if a.params["REQUEST_URI"] == "/ping" {
			select {
			case looked <- a.params:
			default:
			}
			c.send(append(stdout(status.Load().(string)), end(0, fcgi.StatusRequestComplete)...))
			return
		}
		c.send(whole("ok"))
	})
	r := start(t, Settings{Addresses: []Address{p.address}, Health: "/ping", HealthInterval: 5 * time.Millisecond, Files: Files{Root: "/srv", Split: ".php"}})
	up := func(want bool) func() bool {
		return func() bool { _, loads := r.State(); return loads[0].Up == want }
	}
	eventually(t, "down", up(false))
	if a := <-looked; a["SCRIPT_NAME"] != "/ping" || a["SCRIPT_FILENAME"] != "/srv/ping" || a["REQUEST_METHOD"] != "GET" {
		t.Errorf("asked with %v", a)
	}
	status.Store("Content-Type: text/plain\r\n\r\npong")
	eventually(t, "up", up(true))
	status.Store("nonsense\r\n\r\n")
	eventually(t, "down", up(false))
	p.ln.Close()
	if err := r.examine(context.Background(), r.pool.addresses[0]); err == nil || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("nobody listens: %v", err)
	}
}
