package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"pyspeed/internal/logline"
)

const (
	// lineMost is where a line without an end is split, in bytes.
	lineMost = 16 << 10
	// outputQueue is how many batches, of at most lineMost bytes each, wait for the
	// log; with Go's overhead under 1.5 MiB per worker at the worst.
	outputQueue = 64
	// outputPatience is how long a worker's write waits for a log that does not
	// keep up, before lines are dropped.
	outputPatience = 50 * time.Millisecond
	// outputGrace is how long the output of a dead worker is waited for while one
	// of its children still holds the pipe.
	outputGrace = 250 * time.Millisecond
)

// output carries what one worker writes to its stdout and stderr into the log.
//
// A slow log slows the worker down for outputPatience; after that lines are
// dropped, and counted in a line of their own, until the log has caught up.
type output struct {
	log      *slog.Logger
	queue    chan batch
	dropping atomic.Bool
	dropped  atomic.Int64
	pipes    []*os.File
	readers  sync.WaitGroup
	writer   sync.WaitGroup
}

// batch is whole lines that were read together and so stay together.
type batch struct {
	stream string
	text   []byte // lines, ended by \n
}

// newOutput logs to log, which names the worker already.
func newOutput(log *slog.Logger) *output {
	o := &output{log: log, queue: make(chan batch, outputQueue)}
	o.writer.Add(1)
	go o.write()
	return o
}

// add reads one pipe, until its end or finish, and closes it.
func (o *output) add(stream string, pipe *os.File) {
	o.pipes = append(o.pipes, pipe)
	o.readers.Add(1)
	go o.read(stream, pipe)
}

// finish is called after the worker's death; when it returns all that the worker wrote is
// logged.
func (o *output) finish() {
	for _, p := range o.pipes {
		_ = p.SetReadDeadline(time.Now().Add(outputGrace))
	}
	o.readers.Wait()
	close(o.queue)
	o.writer.Wait()
}

func (o *output) read(stream string, pipe *os.File) {
	defer o.readers.Done()
	defer func() { _ = pipe.Close() }()
	buf := make([]byte, 0, lineMost)
	for {
		n, err := pipe.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := bytes.LastIndexByte(buf, '\n') + 1
		if end == 0 && len(buf) == cap(buf) {
			end = wholeRunes(buf) // a line too long
		}
		if end > 0 {
			o.send(batch{stream, bytes.Clone(buf[:end])})
			buf = append(buf[:0], buf[end:]...)
		}
		if err != nil {
			if len(buf) > 0 {
				o.send(batch{stream, bytes.Clone(buf)})
			}
			return
		}
	}
}

// wholeRunes is the length of b without a character that its end cuts in two.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if i > 0 && !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

func (o *output) send(b batch) {
	if o.dropping.Load() && len(o.queue) > outputQueue/2 {
		o.dropped.Add(int64(b.lines()))
		return
	}
	o.dropping.Store(false)
	select {
	case o.queue <- b:
		return
	default:
	}
	patience := time.NewTimer(outputPatience)
	defer patience.Stop()
	select {
	case o.queue <- b:
	case <-patience.C:
		o.dropping.Store(true)
		o.dropped.Add(int64(b.lines()))
	}
}

func (b batch) lines() int { return max(1, bytes.Count(b.text, []byte{'\n'})) }

func (o *output) write() {
	defer o.writer.Done()
	for b := range o.queue {
		level := slog.LevelInfo
		if b.stream == "stderr" {
			level = slog.LevelWarn
		}
		for line := range bytes.Lines(b.text) {
			o.log.Log(context.Background(), level, printable(bytes.TrimRight(line, "\r\n")), "stream", b.stream)
			logline.Room(o.log)
		}
		o.tellDropped()
	}
	o.tellDropped()
}

func (o *output) tellDropped() {
	if n := o.dropped.Swap(0); n > 0 {
		o.log.Warn(fmt.Sprintf("dropped %d lines: the worker writes faster than the log takes them", n))
	}
}

// printable returns a line as text that cannot steer a terminal or pass for
// another line: control characters, C1 and bidirectional ones included, and bytes that are
// not UTF-8 appear as \xNN or \uNNNN. A tab stays.
func printable(line []byte) string {
	clean := true
	for _, c := range line {
		if c < 0x20 && c != '\t' || c >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return string(line)
	}
	var b strings.Builder
	b.Grow(len(line) + 16)
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && n == 1, r < 0x80 && unicode.IsControl(r) && r != '\t':
			fmt.Fprintf(&b, `\x%02x`, line[0])
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		line = line[n:]
	}
	return b.String()
}
