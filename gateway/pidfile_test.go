package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pyspeed/internal/logfile"
)

// TestBystander is no test but a process of the same program, which runs until its input ends.
func TestBystander(t *testing.T) {
	if os.Getenv("GATEWAY_TEST_BYSTANDER") == "" {
		t.Skip("a process for TestPIDFileOfAnother")
	}
	fmt.Println("runs")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestPIDFileOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gw.pid")
	p := pidFile(path)
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := fmt.Sprintf("%d\n", os.Getpid())
	written := func(before string) {
		t.Helper()
		put(before)
		if err := p.write(logfile.Owner{}); err != nil {
			t.Errorf("over %q: %v", before, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != own {
			t.Errorf("over %q: %q, %v", before, b, err)
		}
	}
	written("")
	written("4194305\n")
	written("not a number")
	written("-1\n")
	written("1\n") // runs, and is another program
	written(own)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(exe, "-test.run=^TestBystander$")
	other.Env = append(os.Environ(), "GATEWAY_TEST_BYSTANDER=1")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	theirs := fmt.Sprintf("%d\n", other.Process.Pid)
	put(theirs)
	if err := p.write(logfile.Owner{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("stop it (kill %d)", other.Process.Pid)) {
		t.Errorf("over one that runs: %v", err)
	}
	if err := p.remove(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != theirs {
		t.Errorf("another's file holds %q, %v", b, err)
	}
	_ = in.Close()
	for { // a zombie, which has a name, and holds nothing
		if _, state := program(fmt.Sprint(other.Process.Pid)); state == "Z" {
			break
		}
	}
	written(theirs)
	_ = other.Wait()
	if err := p.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after remove: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	if err := pidFile(filepath.Join(path, "no", "such")).write(logfile.Owner{}); err == nil || !strings.Contains(err.Error(), "cannot write the pid file") {
		t.Errorf("error is %v", err)
	}
	var none pidFile
	if none.write(logfile.Owner{}) != nil || none.remove() != nil {
		t.Error("no file is an error")
	}
	if os.Getuid() == 0 {
		if err := p.write(logfile.Owner{Set: true, UID: 65534, GID: 65534}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 65534 {
			t.Errorf("the owner is not who it was made for: %v", err)
		}
	}
}
