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
)

// Formats.
const (
	Combined = "combined" // Apache's combined log format
	JSON     = "json"     // an object per line
)

const (
	flushEvery = 250 * time.Millisecond
	flushAt    = 64 << 10
	most       = 4 << 20 // waits for the disk; what comes beyond is dropped
)

// Log is one access log. Safe for concurrent use.
type Log struct {
	format  func(b []byte, x *exchange.Exchange, stamp []byte, took time.Duration) []byte
	path    string
	wake    chan struct{}
	dropped atomic.Uint64

	mu     sync.Mutex
	buf    []byte
	spare  []byte
	second int64
	stamp  []byte

	out  io.Writer // Run's
	file *os.File
}

// Open makes a log in that format to a file, or to standard output for "-".
func Open(format, path string) (*Log, error) {
	l := &Log{path: path, out: os.Stdout, wake: make(chan struct{}, 1)}
	l.format = appendCombined
	if format == JSON {
		l.format = appendJSON
	}
	if path != "-" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("cannot open the access log: %w", err)
		}
		l.out, l.file = f, f
	}
	return l, nil
}

// Ended writes a line for x, which took that long. Called by x's connection's owner.
func (l *Log) Ended(x *exchange.Exchange, took time.Duration) {
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
	l.buf = l.format(l.buf, x, l.stamp, took)
	full := before < flushAt && len(l.buf) >= flushAt
	l.mu.Unlock()
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Dropped is how many lines were lost because the disk did not keep up, or was full.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Run writes until ctx ends, then what is left.
func (l *Log) Run(ctx context.Context) {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush()
			if l.file != nil {
				_ = l.file.Close() // what could be written was
			}
			return
		case <-t.C:
		case <-l.wake:
		}
		l.flush()
	}
}

func (l *Log) flush() {
	l.mu.Lock()
	out := l.buf
	l.buf, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	if len(out) > 0 {
		if n, err := l.out.Write(out); err != nil {
			l.dropped.Add(uint64(bytes.Count(out[n:], []byte("\n"))))
		}
	}
	l.mu.Lock()
	l.spare = out[:0]
	l.mu.Unlock()
}
