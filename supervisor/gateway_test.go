package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gatewayVariable makes the test binary run as a little gateway.
const gatewayVariable = "PYSPEED_TEST_GATEWAY"

func TestMain(m *testing.M) {
	if target := os.Getenv(gatewayVariable); target != "" {
		runGateway(target)
	}
	os.Exit(m.Run())
}

// runGateway starts one worker, writes its pid, and stops when its stdin ends.
func runGateway(target string) {
	if err := os.Unsetenv(gatewayVariable); err != nil {
		panic(err)
	}
	pool := newTestPool()
	s := New(Settings{
		Launch:  Launch{Python: testPython(), Count: 1, Start: map[string]any{"target": target}},
		Archive: zooArchive(),
	}, pool)
	if err := s.Start(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println((<-pool.added).PID)
	// Threads come and go in a gateway; the workers must outlive all but the spawner's.
	for range 20 {
		go func() {
			runtime.LockOSThread() // and not unlocked: the thread ends
		}()
	}
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	pid := s.Workers()[0].PID
	fmt.Println(pid)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	os.Exit(1)
}

func TestGatewayDeathKillsWorkers(t *testing.T) {
	f := func(target string) {
		t.Helper()
		t.Run(target, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			gateway := exec.Command(self)
			gateway.Env = append(os.Environ(), gatewayVariable+"="+target)
			gateway.Stderr = os.Stderr
			stdin, err := gateway.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := gateway.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := gateway.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = gateway.Process.Kill()
				_ = gateway.Wait()
			}()
			lines := bufio.NewScanner(stdout)
			pid := func() int {
				if !lines.Scan() {
					t.Fatal("the gateway said nothing")
				}
				n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			worker := pid()
			if _, err := stdin.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			if again := pid(); again != worker {
				t.Errorf("worker %d was replaced by %d when other threads ended", worker, again)
			}
			if !aliveInGroup(t, worker) {
				t.Fatal("the worker is not there")
			}
			if err := gateway.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			waitForNoGroup(t, worker)
			t.Logf("gone within %v", time.Since(start))
		})
	}
	f("good") // reads EOF
	if runtime.GOOS == "linux" {
		f("ignores everything once ready") // PR_SET_PDEATHSIG only
	}
}
