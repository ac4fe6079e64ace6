package gateway

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pyspeed/internal/config"
)

// socketPath is a path short enough for a socket's address.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// mustListen listens, and checks that a client gets through.
func mustListen(t *testing.T, a config.Address) net.Listener {
	t.Helper()
	ln, err := listen(a, 16, socketAccess{mode: 0o666})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatalf("cannot connect to %s: %v", a, err)
	}
	_ = c.Close()
	return ln
}

// refuse checks that an address is refused with all of these in the message.
func refuse(t *testing.T, a config.Address, parts ...string) {
	t.Helper()
	ln, err := listen(a, 16, socketAccess{mode: 0o666})
	if err == nil {
		_ = ln.Close()
		t.Fatalf("%s was opened", a)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", a, err, part)
		}
	}
}

func TestListenTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln := mustListen(t, config.Address{Network: "tcp", Address: address})
		if got := url(ln); got != "http://"+ln.Addr().String() {
			t.Errorf("url is %q", got)
		}
		taken := ln.Addr().String()
		refuse(t, config.Address{Network: "tcp", Address: taken}, "cannot listen on "+taken, "in use", "stop the server that listens there", "--bind")
	}
	// TEST-NET-1 (RFC 5737) is no interface's.
	refuse(t, config.Address{Network: "tcp", Address: "192.0.2.1:0"}, "cannot listen on 192.0.2.1:0", "no network interface has that address")
}

func TestListenUnix(t *testing.T) {
	path := socketPath(t)
	a := config.Address{Network: "unix", Address: path}
	ln := mustListen(t, a)
	if got := url(ln); got != "unix:"+path {
		t.Errorf("url is %q", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v; want mode 0666", info, err)
	}
	refuse(t, a, "cannot listen on unix:"+path, "another server listens there")
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other server's socket is gone: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket outlives its listener")
	}
	refuse(t, config.Address{Network: "unix", Address: filepath.Join(path, "no", "folder")}, "cannot listen on unix:")
}

// TestStaleSocket: what a gateway that was killed left behind is replaced.
func TestStaleSocket(t *testing.T) {
	path := socketPath(t)
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	mustListen(t, config.Address{Network: "unix", Address: path})
}

// TestNoSocket: a file or link that is in the way is never removed.
func TestNoSocket(t *testing.T) {
	path := socketPath(t)
	a := config.Address{Network: "unix", Address: path}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, a, "cannot listen on unix:"+path, "not a socket", "remove it or choose another path")
	if got, err := os.ReadFile(path); err != nil || string(got) != "precious" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+"2", path); err != nil {
		t.Fatal(err)
	}
	refuse(t, a, "not a socket")
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}

// descriptor is a duplicate of ln's, as a parent process would leave it to us.
func descriptor(t *testing.T, ln net.Listener) int {
	t.Helper()
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	copied := -1
	if err := raw.Control(func(fd uintptr) { copied, err = syscall.Dup(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestListenDescriptor(t *testing.T) {
	given, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fd := descriptor(t, given)
	ln := mustListen(t, config.Address{Network: "fd", Address: fmt.Sprint(fd)})
	if ln.Addr().String() != given.Addr().String() {
		t.Errorf("listens at %s, not at %s", ln.Addr(), given.Addr())
	}
	if err := given.Close(); err != nil {
		t.Error(err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	defer func() { _ = w.Close() }()
	pipe, err := syscall.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, config.Address{Network: "fd", Address: fmt.Sprint(pipe)}, fmt.Sprintf("cannot listen on fd:%d", pipe), "must be a listening socket")
	refuse(t, config.Address{Network: "fd", Address: "1000000"}, "cannot listen on fd:1000000")
}

func TestServerName(t *testing.T) {
	f := func(name, port string, bind ...config.Address) {
		t.Helper()
		if n, p := serverName(bind); n != name || p != port {
			t.Errorf("%v: %s %s, want %s %s", bind, n, p, name, port)
		}
	}
	tcp := func(s string) config.Address { return config.Address{Network: "tcp", Address: s} }
	unix := config.Address{Network: "unix", Address: "/run/s"}
	f("127.0.0.1", "8000", tcp("127.0.0.1:8000"))
	f("shop.test", "80", unix, tcp("shop.test:80"))
	f("::1", "8000", tcp("[0:0::1]:8000"), tcp("127.0.0.1:8000"))
	f("127.0.0.1", "9000", tcp("127.0.0.1:0"), tcp("127.0.0.1:9000"))
	f("localhost", "80", unix)
}
