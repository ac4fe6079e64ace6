package static

import (
	"errors"

	"golang.org/x/sys/unix"
)

// pipes are what large files go through to their clients: the kernel moves its own pages, and nothing is copied. Safe for
// concurrent use.
type pipes struct{ free chan *pipe }

// idlePipes is how many are kept open while nobody needs one.
const idlePipes = 8

// pipe is empty while it is free.
type pipe struct{ read, write int }

func newPipes() pipes { return pipes{make(chan *pipe, idlePipes)} }

// get returns an empty pipe; nil: there is none, or none that is worth it.
func (s pipes) get() *pipe {
	select {
	case p := <-s.free:
		return p
	default:
	}
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	p := &pipe{ends[0], ends[1]}
	// Refused where a user's pipes take up much already: what the system gives then is too little.
	if _, err := unix.FcntlInt(uintptr(p.write), unix.F_SETPIPE_SZ, mostMoved); err != nil {
		p.close()
		return nil
	}
	return p
}

// put takes a pipe back with so many bytes in it.
func (s pipes) put(p *pipe, left int) {
	if left == 0 {
		select {
		case s.free <- p:
			return
		default:
		}
	}
	p.close() // and what is in it
}

func (s pipes) close() {
	for {
		select {
		case p := <-s.free:
			p.close()
		default:
			return
		}
	}
}

// fill moves up to n bytes of a file into an empty pipe. It waits for the disk. 0: there are none, or this file cannot be moved.
func (p *pipe) fill(f *file, at, n int64) int {
	for {
		moved, err := unix.Splice(int(f.handle), &at, p.write, nil, int(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == nil {
			return int(moved)
		}
		if !errors.Is(err, unix.EINTR) {
			return 0
		}
	}
}

func (p *pipe) end() int { return p.read }

func (p *pipe) close() {
	_ = unix.Close(p.read) // nothing is lost: the file has it
	_ = unix.Close(p.write)
}
