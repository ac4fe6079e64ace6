package gateway

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
	"pyspeed/internal/logline"
	"pyspeed/supervisor"
)

// unixPair returns the two ends of a socket, the gateway's first.
func unixPair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// TestAttachedGoesBeforeItServes: a gateway whose only worker is gone before it ever served ends too, as nothing
// else would tell it to.
func TestAttachedGoesBeforeItServes(t *testing.T) {
	data, guestData := unixPair(t)
	control, guestControl := unixPair(t)
	defer func() { _, _ = guestData.Close(), guestControl.Close() }()
	marks, err := os.Create(filepath.Join(t.TempDir(), "marks"))
	if err != nil {
		t.Fatal(err)
	}
	if err := marks.Truncate(1 << 16); err != nil {
		t.Fatal(err)
	}
	r := prepare(t, t.TempDir(), "app:wsgi")
	attached := &supervisor.Attached{PID: os.Getppid(), Data: data, Control: control, Marks: marks}
	if r.Gateway, err = New(r.cfg, Start{Attached: attached}, "test", logline.New(r.log, "text", "info")); err != nil {
		t.Fatal(err)
	}
	r.run()
	if _, err := guestControl.Read(make([]byte, 1<<16)); err != nil { // start
		t.Fatal(err)
	}
	ready := marshal.AppendStr(marshal.AppendStr(marshal.AppendDictStart(nil), "event"), "ready")
	ready = marshal.AppendDictEnd(marshal.AppendStr(marshal.AppendStr(ready, "interface"), "wsgi"))
	if _, err := guestControl.Write(fcgi.AppendRecord(nil, fcgi.TypeMessage, 0, 0, ready)); err != nil {
		t.Fatal(err)
	}
	if _, err := guestData.Read(make([]byte, 1)); err != nil { // it is asked for the profile
		t.Fatal(err)
	}
	_, _ = guestData.Close(), guestControl.Close()
	select {
	case <-r.ended:
		if r.err == nil || !strings.Contains(r.err.Error(), "the process that runs the application") {
			t.Errorf("Run: %v", r.err)
		}
	case <-time.After(patience):
		t.Error("Run does not end")
	}
}
