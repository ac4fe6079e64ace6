package privilege

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestMain is also the process that becomes somebody else: its arguments are a user and a group.
func TestMain(m *testing.M) {
	if os.Getenv("PRIVILEGE_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	os.Exit(child(os.Args[1], os.Args[2]))
}

// told is what a child says of itself.
type told struct {
	Error   string
	Uids    []string // of its threads, real, effective, saved and file system's
	Gids    []string
	Groups  []string
	Threads int
	Env     map[string]string
	Back    []string // what it could do to get back
	Child   string   // output of id(1)
}

func child(user, group string) int {
	// Threads that are there before, and are somewhere in the kernel.
	var held sync.WaitGroup
	for range 4 {
		held.Add(1)
		go func() {
			runtime.LockOSThread()
			held.Done()
			var fds [2]int
			if err := syscall.Pipe(fds[:]); err == nil {
				_, _ = syscall.Read(fds[0], make([]byte, 1)) // never returns
			}
		}()
	}
	held.Wait()
	var say told
	id, err := Find(user, group)
	if err == nil {
		err = id.Become()
	}
	if err != nil {
		say.Error = err.Error()
	}
	say.look()
	_ = json.NewEncoder(os.Stdout).Encode(say)
	return 0
}

func (s *told) look() {
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	s.Threads = len(tasks)
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			value = strings.Join(strings.Fields(value), " ")
			list := map[string]*[]string{"Uid": &s.Uids, "Gid": &s.Gids, "Groups": &s.Groups}[name]
			if list != nil && !slices.Contains(*list, value) {
				*list = append(*list, value)
			}
		}
	}
	s.Env = map[string]string{"HOME": os.Getenv("HOME"), "USER": os.Getenv("USER"), "LOGNAME": os.Getenv("LOGNAME")}
	out, _ := exec.Command("id").Output()
	s.Child = strings.TrimSpace(string(out))
	for what, try := range map[string]func() error{
		"setuid": func() error { return syscall.Setuid(0) }, "setgid": func() error { return syscall.Setgid(0) },
		"setgroups": func() error { return syscall.Setgroups([]int{0}) },
		"setreuid":  func() error { return syscall.Setreuid(-1, 0) },
	} {
		if try() == nil {
			s.Back = append(s.Back, what)
		}
	}
}

// become runs a child, as another user if that is not root.
func become(t *testing.T, as uint32, user, group string) told {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if as != 0 {
		// Somewhere that everybody can read.
		b, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("/tmp", "privilege")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		exe = filepath.Join(dir, "child")
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(exe, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(exe, user, group)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PRIVILEGE_TEST_CHILD=1")
	cmd.Stderr = os.Stderr
	if as != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as, Gid: as}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var say told
	if err := json.Unmarshal(out, &say); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return say
}

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
}

// TestBecome: every thread, and what is started afterwards, is the user's, and there is no way back.
func TestBecome(t *testing.T) {
	needRoot(t)
	f := func(user, group string, uid, gid int, groups, name string) {
		t.Helper()
		say := become(t, 0, user, group)
		if say.Error != "" {
			t.Errorf("%s, %s: %s", user, group, say.Error)
			return
		}
		four := func(n int) []string { return []string{fmt.Sprintf("%d %d %d %d", n, n, n, n)} }
		if say.Threads < 5 || !slices.Equal(say.Uids, four(uid)) || !slices.Equal(say.Gids, four(gid)) || !slices.Equal(say.Groups, []string{groups}) {
			t.Errorf("%s, %s: %d threads with users %q, groups %q and %q", user, group, say.Threads, say.Uids, say.Gids, say.Groups)
		}
		if uid != 0 && len(say.Back) > 0 {
			t.Errorf("%s, %s: %q worked", user, group, say.Back)
		}
		if !strings.Contains(say.Child, fmt.Sprintf("uid=%d", uid)) || !strings.Contains(say.Child, fmt.Sprintf("gid=%d", gid)) {
			t.Errorf("%s, %s: its child is %s", user, group, say.Child)
		}
		if name != "" && (say.Env["USER"] != name || say.Env["LOGNAME"] != name || say.Env["HOME"] == os.Getenv("HOME")) {
			t.Errorf("%s, %s: environment %q", user, group, say.Env)
		}
	}
	f("www-data", "", 33, 33, "33", "www-data")
	f("33", "", 33, 33, "33", "www-data")
	f("nobody", "www-data", 65534, 33, "33", "nobody")
	f("12345", "54321", 12345, 54321, "54321", "12345")
	f("", "www-data", 0, 33, "33", "")
	f("root", "", 0, 0, "0", "")
}

// TestBecomeAsAUser: who is not root stays who he is, also when he is named, and is told what to do otherwise.
func TestBecomeAsAUser(t *testing.T) {
	needRoot(t)
	for _, same := range []struct{ user, group string }{{"www-data", ""}, {"33", "33"}, {"", "www-data"}, {"", ""}} {
		if say := become(t, 33, same.user, same.group); say.Error != "" {
			t.Errorf("%v: %s", same, say.Error)
		}
	}
	for _, other := range []struct{ user, group string }{{"nobody", ""}, {"root", ""}, {"www-data", "nogroup"}, {"", "root"}} {
		say := become(t, 33, other.user, other.group)
		if !strings.Contains(say.Error, "only root can") || !strings.Contains(say.Error, "start pyspeed-gw as root") {
			t.Errorf("%v: %q", other, say.Error)
		}
		if len(say.Back) > 0 {
			t.Errorf("%v: %q worked", other, say.Back)
		}
	}
}

func TestFind(t *testing.T) {
	if id, err := Find("", ""); id != nil || err != nil {
		t.Errorf("nobody is %v, %v", id, err)
	}
	var nobody *Identity
	if err := nobody.Become(); err != nil || nobody.Owner().Set {
		t.Errorf("nobody: %v", err)
	}
	f := func(user, group, want string) {
		t.Helper()
		if _, err := Find(user, group); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %q: error is %v, want %q", user, group, err, want)
		}
	}
	f("no-such-user", "", `no user "no-such-user"`)
	f("", "no-such-group", `no group "no-such-group"`)
	f("4000000", "", "set server.group too")
	f("4294967295", "0", "no user")
	f("", "4294967296", "no group")
	f("-1", "", "no user")
}
