package ctl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// mostConnections is how many commands may run at once.
	mostConnections = 16
	// patience is how long a client may take to send its request, and to take a line.
	patience = 5 * time.Second
)

// Command carries a request out; what it returns becomes JSON. It runs on a goroutine of its own and may block until ctx ends, which is
// when the client leaves or the server stops. progress sends a line at once, and never waits long.
type Command func(ctx context.Context, r Request, progress func(string)) (any, error)

// Failure is an error of a Command that comes with the application's traceback.
type Failure struct {
	Err       error
	Traceback string
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// Server answers requests.
type Server struct {
	Commands map[string]Command
	Log      *slog.Logger
}

// Serve answers on a socket, which it closes in the end, until ctx ends.
func (s *Server) Serve(ctx context.Context, socket *Socket) {
	var running sync.WaitGroup
	defer running.Wait()
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { _ = socket.UnixListener.Close() })()
	room := make(chan struct{}, mostConnections)
	for {
		c, err := socket.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, mostly.
			s.Log.Error("cannot accept a connection to the control socket; trying again", "cause", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case room <- struct{}{}:
			running.Go(func() {
				defer func() { <-room }()
				s.serve(ctx, c, socket.uid)
			})
		default:
			// Without waiting for this client either: what does not fit its socket's empty buffer does not go.
			_ = c.SetWriteDeadline(time.Now().Add(patience))
			_ = s.send(c, &Answer{Error: fmt.Sprintf("%d commands run already; wait for one to end", mostConnections)})
			_ = c.Close()
		}
	}
}

// serve answers one connection's request.
func (s *Server) serve(ctx context.Context, c *net.UnixConn, uid int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })()
	defer func() { _ = c.Close() }()
	if who := peer(c); who != 0 && who != uid && (who >= 0 || peersAreKnown) {
		s.Log.Warn("refused a command: only root and the gateway's own user may give any", "user", who)
		s.reply(c, nil, errors.New("only root and the gateway's own user may do that"))
		return
	}
	r, err := s.read(c)
	if err != nil {
		s.reply(c, nil, err)
		return
	}
	command := s.Commands[r.Command]
	if command == nil {
		s.reply(c, nil, fmt.Errorf("this gateway does not know the command %q; it may be older than the one that asks", r.Command))
		return
	}
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	listening.Go(func() {
		_ = c.SetReadDeadline(time.Time{})
		if ctx.Err() != nil {
			return
		}
		for buf := make([]byte, 64); ; { // there is nothing to read but the end
			if _, err := c.Read(buf); err != nil {
				cancel()
				return
			}
		}
	})
	result, err := command(ctx, r, func(text string) {
		if err := s.send(c, &Answer{Progress: text}); err != nil {
			cancel()
		}
	})
	s.reply(c, result, err)
}

func (s *Server) read(c *net.UnixConn) (Request, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return Request{}, err
	}
	lines := lineReader{most: mostRequest}
	buf := make([]byte, 512)
	for {
		n, err := c.Read(buf)
		lines.feed(buf[:n])
		line, lineErr := lines.next()
		switch {
		case line != nil:
			return decodeRequest(line)
		case lineErr != nil:
			return Request{}, lineErr
		case err != nil:
			return Request{}, fmt.Errorf("cannot read the request: %w", err)
		}
	}
}

// reply ends a connection with its answer.
func (s *Server) reply(c *net.UnixConn, result any, err error) {
	a := &Answer{OK: err == nil}
	if err == nil && result != nil {
		line, encodeErr := encode(result)
		if a.Result, err = line, encodeErr; err != nil {
			a.OK = false
		}
	}
	if err != nil {
		a.Error = err.Error()
		if f, ok := errors.AsType[*Failure](err); ok {
			a.Traceback = f.Traceback
		}
	}
	_ = s.send(c, a) // a client that has left needs none
}

func (s *Server) send(c *net.UnixConn, a *Answer) error {
	line, err := encode(a)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = c.Write(line)
	return err
}
