package logline

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/internal/logfile"
)

const (
	// most is what waits to be written; lines beyond it are dropped.
	most = 1 << 20
	// plenty is what may wait before Room makes its caller wait.
	plenty = 256 << 10
	// stuckAfter is how long one write may take before nobody waits for it any more.
	stuckAfter = time.Second
	// pipeWrite is the most that a pipe takes in one piece when others write to it too: PIPE_BUF of pipe(7).
	pipeWrite = 4096
	// keep is the largest buffer that is kept for the next lines.
	keep = 64 << 10
)

// Log is a log to a file or a stream. Its methods may be called from any goroutine.
type Log struct {
	rules  *rules
	logger *slog.Logger
	file   *logfile.File
	sink   io.Writer     // file, unless a test says otherwise
	wake   chan struct{} // has an element when there is something to do
	done   chan struct{} // closed when the goroutine has ended

	dropped atomic.Int64 // not yet told
	lost    atomic.Int64 // in all
	since   atomic.Int64 // when the write under way began, by clock; 0: none is
	start   time.Time

	mu     sync.Mutex
	buf    []byte
	spare  []byte
	taken  chan struct{} // closed when buf is taken; nil when nobody waits for that
	closed bool
}

// Open makes a log to a file, which is made for owner if it is not there, or to standard error for "-".
func Open(path, format, level string, owner logfile.Owner) (*Log, error) {
	file, err := logfile.Open(path, os.Stderr, owner)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w; set log.file to another path or to -", err)
	}
	l := newLog(file, format, level)
	l.file = file
	l.alsoCrashes()
	return l, nil
}

func newLog(sink io.Writer, format, level string) *Log {
	l := &Log{
		rules: newRules(format, level), sink: sink, start: time.Now(),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	l.logger = newLogger(lines{l}, l.rules)
	go l.run()
	return l
}

// Logger is what to log with.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Set changes format and level, from the next record on.
func (l *Log) Set(format, level string) { l.rules.set(format, level) }

// Reopen opens the file anew by its name. On an error the old one stays in use.
func (l *Log) Reopen() error { return l.Move(l.file.Path()) }

// Move goes on in another file, "-" for standard error. On an error the old one stays in use.
func (l *Log) Move(path string) error {
	if err := l.file.Move(path); err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	l.alsoCrashes()
	l.poke() // so that the old file is let go of, also when there is nothing to say
	return nil
}

// Dropped is how many lines were lost.
func (l *Log) Dropped() int64 { return l.lost.Load() }

// alsoCrashes has the runtime write what it says when the program crashes to the log's file too. It always
// writes it to standard error, which a service may have closed.
func (l *Log) alsoCrashes() {
	if l.file.Path() == "-" {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{}) // fails never
		return
	}
	if file, err := os.OpenFile(l.file.Path(), os.O_APPEND|os.O_WRONLY, 0); err == nil {
		_ = debug.SetCrashOutput(file, debug.CrashOptions{}) // duplicates; without it standard error has to do
		_ = file.Close()
	}
}

// lines is the Writer of a Log's handlers: each write is a line.
type lines struct{ l *Log }

func (w lines) Write(line []byte) (int, error) {
	l := w.l
	l.mu.Lock()
	if len(l.buf)+len(line) > most {
		l.mu.Unlock()
		l.drop(1)
		return len(line), nil
	}
	if l.buf == nil {
		l.buf, l.spare = l.spare, nil
	}
	l.buf = append(l.buf, line...)
	l.mu.Unlock()
	l.poke()
	return len(line), nil
}

func (l *Log) drop(n int) {
	l.dropped.Add(int64(n))
	l.lost.Add(int64(n))
}

func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Room waits while much waits to be written, unless that takes nothing any more. Only a Log's loggers ever make anybody wait.
func Room(logger *slog.Logger) {
	h, ok := logger.Handler().(*handler)
	if !ok {
		return
	}
	if w, ok := h.w.(lines); ok {
		w.l.room()
	}
}

func (l *Log) room() {
	for {
		l.mu.Lock()
		if len(l.buf) <= plenty || l.closed || l.stuck() {
			l.mu.Unlock()
			return
		}
		if l.taken == nil {
			l.taken = make(chan struct{})
		}
		taken := l.taken
		l.mu.Unlock()
		again := time.NewTimer(stuckAfter / 10)
		select {
		case <-taken:
		case <-again.C:
		}
		again.Stop()
	}
}

// stuck is whether the write under way takes too long.
func (l *Log) stuck() bool {
	since := l.since.Load()
	return since != 0 && time.Since(l.start)-time.Duration(since) > stuckAfter
}

// run writes what waits. It is the Log's goroutine.
func (l *Log) run() {
	defer close(l.done)
	for range l.wake {
		for {
			l.mu.Lock()
			out, closed := l.buf, l.closed
			l.buf = nil
			if l.taken != nil {
				close(l.taken)
				l.taken = nil
			}
			l.mu.Unlock()
			l.write(out) // also nothing, which changes to a new file
			if cap(out) <= keep && len(out) > 0 {
				l.mu.Lock()
				l.spare = out[:0]
				l.mu.Unlock()
			}
			if closed && len(out) == 0 {
				return
			}
			if len(out) == 0 {
				break
			}
		}
	}
}

// write writes lines in pieces that arrive as one.
func (l *Log) write(out []byte) {
	for first := true; first || len(out) > 0; first = false {
		n := len(out)
		if n > pipeWrite {
			n = bytes.LastIndexByte(out[:pipeWrite], '\n') + 1
			if n == 0 {
				n = bytes.IndexByte(out, '\n') + 1
			}
		}
		l.since.Store(int64(max(1, time.Since(l.start))))
		wrote, err := l.sink.Write(out[:n])
		l.since.Store(0)
		if err != nil {
			l.drop(bytes.Count(out[wrote:n], []byte{'\n'}))
		} else if n > 0 {
			l.tellDropped()
		}
		out = out[n:]
	}
}

// tellDropped logs how many lines were lost, once there is hope that this one is not.
func (l *Log) tellDropped() {
	if n := l.dropped.Swap(0); n > 0 {
		l.logger.Warn("lines of this log were lost: it could not be written in time, or its disk was full", "lines", n)
	}
}

// Close writes what waits, for at most a moment: the log may be stuck. Nothing that is logged later is written.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
	patience := time.NewTimer(stuckAfter)
	defer patience.Stop()
	select {
	case <-l.done:
		if l.file != nil {
			l.file.Close()
		}
	case <-patience.C:
	}
}
