//go:build linux

package netpolledge

import (
	"sync"
	"syscall"
	"unsafe"
)

const (
	// netpollRead is what netpoll reads at most from a connection whose input is always taken out
	// whole: a turn of the poller for every 4 KiB.
	netpollRead = 4 << 10
	// bulkRead is what drain reads at most. The poller's other connections wait meanwhile.
	bulkRead = 256 << 10
)

var bulkBuffers = sync.Pool{New: func() any { return new([bulkRead]byte) }}

// drain reads from a socket that netpoll watches, once and without blocking, what netpoll left in it
// and gives it to feed. It is called in netpoll's handler only. That runs on the poller's goroutine (see
// run), which alone reads fd, so the order of the bytes is kept; and netpoll, which handles hang-ups on
// other goroutines, closes fd only with the lock that it holds for the handler. FIN stays for netpoll to
// see; what an error leaves is the end of the connection too.
func drain(fd int, feed func(p []byte)) {
	buf := bulkBuffers.Get().(*[bulkRead]byte)
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(buf)), bulkRead)
		if errno == syscall.EINTR {
			continue
		}
		if errno == 0 && n > 0 {
			feed(buf[:n])
		}
		break
	}
	bulkBuffers.Put(buf)
}
