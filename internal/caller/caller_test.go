package caller

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestNobody(t *testing.T) {
	t.Setenv(Variable, "")
	c, err := Take()
	if c != nil || err != nil {
		t.Fatalf("Take: %v, %v", c, err)
	}
	if c.Python() != "" || c.PID() != 0 || c.Worker() != nil || c.Gone() != nil || c.Failed(errors.New("x"), 1) {
		t.Error("nobody said something")
	}
	if err := c.CheckVersion("1.0"); err != nil {
		t.Error(err)
	}
	c.Listening(nil)
}

func TestReplaced(t *testing.T) {
	t.Setenv(Variable, `{"version": "1.0", "python": "/usr/bin/python3"}`)
	c, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	if _, set := os.LookupEnv(Variable); set {
		t.Error("children would take it for their own")
	}
	if c.Python() != "/usr/bin/python3" || c.Worker() != nil || c.Gone() != nil || c.Failed(errors.New("x"), 1) {
		t.Errorf("%+v", c)
	}
	if err := c.CheckVersion("1.0"); err != nil {
		t.Error(err)
	}
	if err := c.CheckVersion("2.0"); err == nil || !strings.Contains(err.Error(), "pyspeed 1.0: this pyspeed-gw has version 2.0") {
		t.Error(err)
	}
}

func TestNotUnderstood(t *testing.T) {
	for _, text := range []string{"{", "[]", `{"tether": "x"}`, `{"tether": 987654}`} {
		t.Setenv(Variable, text)
		if _, err := Take(); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// TestChild runs this test's binary as the child of a caller, which the parent is.
func TestChild(t *testing.T) {
	if os.Getenv("CALLER_TEST_CHILD") != "" {
		child()
		return
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "theirs")
	syscall.CloseOnExec(fds[0])
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "CALLER_TEST_CHILD=1",
		fmt.Sprintf(`%s={"version": "1.0", "pid": %d, "tether": 3}`, Variable, os.Getpid()))
	cmd.ExtraFiles = []*os.File{theirs} // becomes 3
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	lines := bufio.NewReader(mine)
	for _, want := range []string{
		fmt.Sprintf(`{"addresses":["http://127.0.0.1:1","leads true","pid %d"],"event":"listening"}`, os.Getpid()),
		`{"code":4,"error":"cannot \"import\" �\nit","event":"failed"}`,
	} {
		line, err := lines.ReadString('\n')
		if err != nil || strings.TrimSuffix(line, "\n") != want {
			t.Errorf("told %q, %v\nwant %q", line, err, want)
		}
	}
	mine.Close() // the caller is gone
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func child() {
	c, err := Take()
	if err != nil {
		panic(err)
	}
	leads := fmt.Sprint("leads ", syscall.Getpgrp() == os.Getpid())
	c.Listening([]string{"http://127.0.0.1:1", leads, fmt.Sprint("pid ", c.PID())})
	if !c.Failed(errors.New("cannot \"import\" \xff\nit"), 4) {
		panic("not told")
	}
	<-c.Gone()
	if c.Failed(errors.New("too late"), 1) {
		panic("somebody was told")
	}
}
