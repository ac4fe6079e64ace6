package logfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, f *File, lines string) {
	t.Helper()
	if n, err := f.Write([]byte(lines)); err != nil || n != len(lines) {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, os.Stdout, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, "one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, f, "three\n")
	if err := f.Move(path + ".other"); err != nil {
		t.Fatal(err)
	}
	write(t, f, "four\n")
	f.Close()
	for name, want := range map[string]string{path + ".1": "before\none\ntwo\n", path: "three\n", path + ".other": "four\n"} {
		if got := read(t, name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestReopenFails: the old file stays in use, under its old name.
func TestReopenFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "a.log")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, os.Stdout, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Dir(path), filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "old file") {
		t.Errorf("Reopen: %v", err)
	}
	if err := f.Move(filepath.Join(path, "x")); err == nil || f.Path() != path {
		t.Errorf("Move: %v, and the path is %s", err, f.Path())
	}
	write(t, f, "one\n")
	f.Close()
	if got := read(t, filepath.Join(dir, "gone", "a.log")); got != "one\n" {
		t.Errorf("the old file holds %q", got)
	}
}

func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such")
	if _, err := Open(path, os.Stdout, Owner{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v", err)
	}
}

// TestStream: a stream is what "-" stands for, and stays open.
func TestStream(t *testing.T) {
	stream, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open("-", stream, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, "one\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\n")
	path := filepath.Join(t.TempDir(), "a.log")
	for _, to := range []string{path, "-", path, "-"} {
		if err := f.Move(to); err != nil {
			t.Fatal(err)
		}
	}
	write(t, f, "three\n")
	f.Close()
	if _, err := stream.WriteString("four\n"); err != nil {
		t.Errorf("the stream was closed: %v", err)
	}
	if got := read(t, stream.Name()); got != "one\ntwo\nthree\nfour\n" {
		t.Errorf("the stream holds %q", got)
	}
}

// TestRotatedUnderLoad: of lines that are written while the file is renamed and opened anew none is lost or torn.
func TestRotatedUnderLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	f, err := Open(path, os.Stdout, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var over atomic.Bool
	var written atomic.Int64
	running.Go(func() {
		for n := int64(0); !over.Load(); n++ {
			line := fmt.Sprintf("%d %s\n", n, strings.Repeat("x", 100))
			if _, err := f.Write([]byte(line)); err != nil {
				t.Error(err)
				return
			}
			written.Store(n + 1)
		}
	})
	for i := range 50 {
		for at := written.Load(); written.Load() == at; { // so that each file gets a line
			if t.Failed() {
				return
			}
		}
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := f.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	over.Store(true)
	running.Wait()
	f.Close()
	next := 0
	for i := range 51 {
		name := fmt.Sprintf("%s.%d", path, i)
		if i == 50 {
			name = path
		}
		for line := range strings.Lines(read(t, name)) {
			if want := fmt.Sprintf("%d %s\n", next, strings.Repeat("x", 100)); line != want {
				t.Fatalf("%s has %q, want line %d", name, line, next)
			}
			next++
		}
	}
	if int64(next) != written.Load() {
		t.Errorf("%d lines in the files, %d were written", next, written.Load())
	}
}

// TestFullDisk: half a line that a full disk took stays a line of its own.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	f, err := Open(path, os.Stdout, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	// A file that may not grow beyond 6 bytes is as a disk with so many left. Go ignores SIGXFSZ.
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 6, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	n, err := f.Write([]byte("one\ntwo\n"))
	_, again := f.Write([]byte("three\n"))
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); e != nil {
		t.Fatal(e)
	}
	if n != 6 || err == nil || again == nil {
		t.Fatalf("a file of 6 bytes took %d, %v, then %v", n, err, again)
	}
	write(t, f, "four\n")
	f.Close()
	if got := read(t, path); got != "one\ntw\nfour\n" {
		t.Errorf("the file holds %q", got)
	}
}

// TestOwner: a file that is made belongs to who it is made for; one that is there, also behind a link, keeps its owner.
func TestOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	owner := func(path string) int {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return int(info.Sys().(*syscall.Stat_t).Uid)
	}
	there, link := filepath.Join(dir, "there"), filepath.Join(dir, "link")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(there, link); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "made"), dangling); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{filepath.Join(dir, "new"): 65534, there: 0, link: 0, dangling: 0} {
		f, err := Open(name, os.Stdout, Owner{Set: true, UID: 65534, GID: 65534})
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got := owner(name); got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}
