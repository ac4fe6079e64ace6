package upstream

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
)

// Bounds of what responders write to STDERR.
const (
	lineMost   = 2 << 10  // a longer line is split
	stderrMost = 64 << 10 // of one request; what comes beyond is counted
	lineQueue  = 256      // lines that wait for the log; what comes beyond is counted
)

// output carries lines to the log on a goroutine of its own, so that a slow log never keeps an answer waiting.
type output struct {
	log     *slog.Logger
	lines   chan errorLine
	dropped *atomic.Int64
}

type errorLine struct{ address, text string }

func newOutput(log *slog.Logger) output {
	return output{log: log, lines: make(chan errorLine, lineQueue), dropped: new(atomic.Int64)}
}

// add does not wait.
func (o *output) add(address string, line []byte) {
	select {
	case o.lines <- errorLine{address, string(line)}:
	default:
		o.dropped.Add(1)
	}
}

// run writes until ctx ends, then what is left.
func (o *output) run(ctx context.Context) {
	for {
		select {
		case l := <-o.lines:
			o.write(l)
		case <-ctx.Done():
			for {
				select {
				case l := <-o.lines:
					o.write(l)
				default:
					return
				}
			}
		}
	}
}

func (o *output) write(l errorLine) {
	// The log's handlers escape what is not printable.
	o.log.Warn(l.text, "address", l.address, "stream", "stderr")
	if n := o.dropped.Swap(0); n > 0 {
		o.log.Warn("dropped " + strconv.FormatInt(n, 10) + " lines of error output: they come faster than the log takes them")
	}
}

// errorText makes lines of one request's STDERR stream.
type errorText struct {
	part []byte // a line without its end
	n    int    // bytes of the stream
}

// add takes the next bytes of the stream.
func (t *errorText) add(o *output, address string, p []byte) {
	room := max(0, stderrMost-t.n)
	t.n += len(p)
	p = p[:min(len(p), room)]
	for len(p) > 0 {
		line := p
		end := bytes.IndexByte(p, '\n')
		if end >= 0 {
			line = p[:end]
		}
		if free := lineMost - len(t.part); len(line) > free {
			t.part = append(t.part, line[:free]...)
			p = p[free:]
			t.flush(o, address)
			continue
		}
		t.part = append(t.part, line...)
		if end < 0 {
			return
		}
		p = p[end+1:]
		t.flush(o, address)
	}
}

func (t *errorText) flush(o *output, address string) {
	if line := bytes.TrimRight(t.part, "\r"); len(line) > 0 {
		o.add(address, line)
	}
	t.part = t.part[:0]
}

// end logs what is left when the request ended.
func (t *errorText) end(o *output, address string) {
	t.flush(o, address)
	if over := t.n - stderrMost; over > 0 {
		o.add(address, []byte("dropped "+strconv.Itoa(over)+" bytes more of this request's error output"))
	}
}
