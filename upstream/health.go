package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"pyspeed/fcgi"
)

// watch looks at every address from time to time, until ctx ends.
func (u *Upstream) watch(ctx context.Context) {
	if u.Health == "off" || u.Health == "" {
		return
	}
	t := time.NewTicker(u.HealthInterval)
	defer t.Stop()
	for {
		var all sync.WaitGroup
		for _, a := range u.pool.addresses {
			all.Go(func() { u.look(ctx, a) })
		}
		all.Wait()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (u *Upstream) look(ctx context.Context, a *address) {
	err := u.examine(ctx, a)
	if ctx.Err() != nil || !u.pool.looked(a, err == nil) {
		return
	}
	if err != nil {
		u.Log.Warn("an address is not well; it is left alone until it is", "address", a.name, "cause", err)
		return
	}
	u.Log.Info("an address is well again", "address", a.name)
}

// examine asks a once, on a connection of its own.
func (u *Upstream) examine(ctx context.Context, a *address) error {
	c, err := dial(ctx, a, u.ConnectTimeout)
	if err != nil {
		return errAddress(a, err)
	}
	defer func() { _ = c.Close() }() // what is left to read does not matter
	if u.Health == "connect" {
		return nil
	}
	stop := context.AfterFunc(ctx, c.interrupt)
	defer stop()
	_ = c.SetDeadline(time.Now().Add(u.FirstByteTimeout)) // fails only when closed, which the write finds out
	ask, err := u.question()
	if err == nil {
		_, err = c.Write(ask)
	}
	if err != nil {
		return fmt.Errorf("cannot ask %s for %s: %w", a.name, u.Health, err)
	}
	status, err := statusOf(c)
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the answer of %s to %s: %w", a.name, u.Health, err)
	case status >= 400:
		return fmt.Errorf("the status of %s is %d", u.Health, status)
	}
	return nil
}

// question is a GET for the health path. The script is what php-fpm's ping.path is compared with.
func (u *Upstream) question() ([]byte, error) {
	file := u.Files.Script
	if file == "" {
		file = u.Files.under(u.Health)
	}
	w := &paramWriter{own: u.Params}
	for _, p := range [][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"},
		{"SERVER_SOFTWARE", u.Software},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"SERVER_NAME", "localhost"},
		{"SERVER_PORT", "80"},
		{"REMOTE_ADDR", "127.0.0.1"},
		{"REQUEST_METHOD", "GET"},
		{"REQUEST_SCHEME", "http"},
		{"REQUEST_URI", u.Health},
		{"QUERY_STRING", ""},
		{"HTTP_HOST", "localhost"},
		{"REDIRECT_STATUS", "200"},
		{"DOCUMENT_URI", u.Health},
		{"SCRIPT_FILENAME", file},
	} {
		put(w, p[0], p[1])
	}
	name, info := u.Health, ""
	if u.Files.Split == "" {
		name, info = "", u.Health
		if u.Files.Root != "" {
			name, info = info, ""
		}
	}
	put(w, "SCRIPT_NAME", name)
	put(w, "PATH_INFO", info)
	if u.Files.Root != "" {
		put(w, "DOCUMENT_ROOT", u.Files.Root)
	}
	w.putOwn()
	b := fcgi.AppendBeginRequest(nil, requestID, fcgi.BeginRequest{Role: fcgi.RoleResponder})
	return fcgi.AppendStreamEnd(w.appendRecords(b), fcgi.TypeStdin, requestID), w.err
}

// statusOf reads an answer to its end.
func statusOf(r io.Reader) (int, error) {
	buffer := readBuffers.Get().(*readBuffer)
	defer readBuffers.Put(buffer)
	head := fcgi.CGIHead{Limit: headMost}
	var decoder fcgi.Decoder
	known := false
	start, end := 0, 0
	for {
		n, rec, ok, err := decoder.Next(buffer[start:end])
		if err != nil {
			return 0, err
		}
		if !ok {
			end = copy(buffer[:], buffer[start:end])
			start = 0
			n, err := r.Read(buffer[end:])
			if n == 0 {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return 0, err
			}
			end += n
			continue
		}
		start += n
		switch {
		case rec.Type == fcgi.TypeStdout && !known:
			if _, known, err = head.Feed(rec.Content); err != nil {
				return 0, err
			}
		case rec.Type == fcgi.TypeEndRequest:
			e, err := fcgi.DecodeEndRequest(rec.Content)
			switch {
			case err != nil:
				return 0, err
			case e.ProtocolStatus != fcgi.StatusRequestComplete:
				return 0, fmt.Errorf("END_REQUEST says %s", e.ProtocolStatus)
			case !known:
				return 0, errors.New("it has no head")
			}
			return head.Status(), nil
		}
	}
}
