package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pyspeed/gateway/exchange"
	"pyspeed/internal/logfile"
)

// Formats.
const (
	Combined = "combined" // Apache's combined log format
	JSON     = "json"     // an object per line
	Off      = "off"      // no lines
)

const (
	flushEvery = 250 * time.Millisecond
	flushAt    = 64 << 10
	most       = 4 << 20 // waits for the disk; what comes beyond is dropped
)

type format func(b []byte, x *exchange.Exchange, stamp []byte, took time.Duration) []byte

// Log is one access log. Safe for concurrent use.
type Log struct {
	format  atomic.Pointer[format] // nil: no lines
	owner   logfile.Owner
	wake    chan struct{} // has an element once something waits
	hurry   chan struct{} // has one once much waits
	dropped atomic.Uint64

	mu     sync.Mutex
	buf    []byte
	spare  []byte
	second int64
	stamp  []byte

	out  io.Writer                    // file, unless a test says otherwise
	file atomic.Pointer[logfile.File] // nil: none is needed yet
}

// Open makes a log in that format to a file, which is made for owner if it is not there, or to standard output for "-".
func Open(format, path string, owner logfile.Owner) (*Log, error) {
	l := &Log{owner: owner, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
	if err := l.Set(format, path); err != nil {
		return nil, err
	}
	return l, nil
}

// Set changes format and file, from the next lines on. On an error all stays as it was.
func (l *Log) Set(name, path string) error {
	var f format
	switch name {
	case Combined:
		f = appendCombined
	case JSON:
		f = appendJSON
	default:
		l.format.Store(nil)
		return nil
	}
	if err := l.move(path); err != nil {
		return err
	}
	l.format.Store(&f)
	return nil
}

func (l *Log) move(path string) error {
	file := l.file.Load()
	if file != nil && file.Path() == path {
		return nil
	}
	var err error
	if file != nil {
		err = file.Move(path)
	} else if file, err = logfile.Open(path, os.Stdout, l.owner); err == nil {
		l.file.Store(file)
	}
	if err != nil {
		return fmt.Errorf("cannot open the access log: %w", err)
	}
	l.poke(l.wake)
	return nil
}

// Reopen opens the file anew by its name. On an error the old one stays in use.
func (l *Log) Reopen() error {
	file := l.file.Load()
	if file == nil {
		return nil
	}
	if err := file.Reopen(); err != nil {
		return fmt.Errorf("cannot open the access log: %w", err)
	}
	l.poke(l.wake) // so that the old file is let go of, also when no request comes
	return nil
}

// Ended writes a line for x, which took that long. Called by x's connection's owner.
func (l *Log) Ended(x *exchange.Exchange, took time.Duration) {
	appendLine := l.format.Load()
	if appendLine == nil {
		return
	}
	now := time.Now()
	l.mu.Lock()
	if len(l.buf) > most {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	if s := now.Unix(); s != l.second {
		l.second = s
		l.stamp = now.AppendFormat(l.stamp[:0], "02/Jan/2006:15:04:05 -0700")
	}
	before := len(l.buf)
	l.buf = (*appendLine)(l.buf, x, l.stamp, took)
	full := before < flushAt && len(l.buf) >= flushAt
	l.mu.Unlock()
	if before == 0 {
		l.poke(l.wake)
	}
	if full {
		l.poke(l.hurry)
	}
}

func (l *Log) poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Dropped is how many lines were lost because the disk did not keep up, or was full.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Run writes until ctx ends, then what is left.
func (l *Log) Run(ctx context.Context) {
	t := time.NewTimer(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush()
			if file := l.file.Load(); file != nil {
				file.Close()
			}
			return
		case <-l.wake:
		}
		t.Reset(flushEvery) // more lines will come
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-l.hurry:
		}
		l.flush()
	}
}

func (l *Log) flush() {
	out := l.out
	if file := l.file.Load(); out == nil {
		if file == nil {
			return // there were never to be any lines
		}
		out = file
	}
	l.mu.Lock()
	lines := l.buf
	l.buf, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	// Of nothing, too: then it only changes to a new file.
	if n, err := out.Write(lines); err != nil {
		l.dropped.Add(uint64(bytes.Count(lines[n:], []byte("\n"))))
	}
	l.mu.Lock()
	l.spare = lines[:0]
	l.mu.Unlock()
}
