package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// silence is how long a gateway may say nothing: commands that take longer send progress.
const silence = 30 * time.Second

// errUnreachable is for a gateway that cannot be reached.
var errUnreachable = errors.New("cannot reach a gateway")

// Ask sends a request to the gateway that listens at path and waits for its answer; progress is told of what comes
// before it. The error is for no answer at all.
func Ask(ctx context.Context, path string, r Request, progress func(string)) (*Answer, error) {
	dialer := net.Dialer{Timeout: silence}
	c, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %s", errUnreachable, path, whyUnreachable(path, err))
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	line, err := encode(r)
	if err != nil {
		return nil, err
	}
	if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return nil, err
	}
	// A gateway that refuses may have closed already; then its answer tells.
	_, writeErr := c.Write(line)
	a, err := answer(c, progress)
	if err != nil && writeErr != nil {
		err = writeErr
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from the gateway at %s: %w", path, err)
	}
	return a, nil
}

func answer(c net.Conn, progress func(string)) (*Answer, error) {
	lines := lineReader{most: mostAnswer}
	buf := make([]byte, 4096)
	for {
		line, err := lines.next()
		if err != nil {
			return nil, err
		}
		if line != nil {
			a, err := decodeAnswer(line)
			if err != nil || a.Last() {
				return a, err
			}
			progress(a.Progress)
			continue
		}
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return nil, err
		}
		n, err := c.Read(buf)
		lines.feed(buf[:n])
		switch {
		case n > 0 || err == nil:
		case errors.Is(err, io.EOF):
			return nil, errors.New("it closed the connection; it may just have stopped")
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("it said nothing for %s; it may be stopped (SIGSTOP) or overloaded", silence)
		default:
			return nil, err
		}
	}
}

// whyUnreachable says what to do.
func whyUnreachable(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket; is it running? Its log says where its control socket is; name that with --socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens; the gateway that made the socket is gone"
	case errors.Is(err, fs.ErrPermission):
		return "only root and the user that the gateway runs as may use it"
	case len(path) > pathMost:
		return fmt.Sprintf("the path has %d bytes, and that of a unix socket may have %d", len(path), pathMost)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err.Error() + "; is it running?"
}
