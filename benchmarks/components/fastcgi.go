package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"pyspeed/fcgi"
	"pyspeed/fcgi/marshal"
)

// pair is one variable of a request.
type pair struct{ name, value []byte }

// fastcgi reads and writes a request in standard FastCGI 1.0, and writes it in the profile.
func fastcgi(read func(string) ([]byte, error)) ([]way, error) {
	stream, err := read("request.fcgi")
	if err != nil {
		return nil, err
	}
	lines, err := read("environ.txt")
	if err != nil {
		return nil, err
	}
	var environ []pair
	for l := range bytes.Lines(lines) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(l, []byte("\n")), []byte("="))
		environ = append(environ, pair{name, value})
	}
	var reader reader
	var out []byte
	encode := func() (err error) {
		out, err = appendRequest(out[:0], environ)
		return err
	}
	profile := func() error {
		out = marshal.AppendTuple(out[:0], 2)
		out = marshal.AppendDictStart(out)
		for i := range environ {
			out = marshal.AppendStr(out, environ[i].name)
			out = marshal.AppendStr(out, environ[i].value)
		}
		out = marshal.AppendBytes(marshal.AppendDictEnd(out), "")
		return nil
	}
	return []way{
		{"decode a FastCGI request", "browser", ours, func() error { return reader.request(stream) }, func() ([]byte, error) {
			if err := reader.request(stream); err != nil {
				return nil, err
			}
			return listed(reader.found), nil
		}},
		{"encode a FastCGI request", "browser", ours, encode, func() ([]byte, error) {
			if err := errors.Join(encode(), reader.request(out)); err != nil {
				return nil, err
			}
			return listed(reader.found), nil
		}},
		{"encode a FastCGI request", "browser", "profile: pyspeed-gw's marshal (Go)", profile, func() ([]byte, error) {
			if err := profile(); err != nil {
				return nil, err
			}
			return unmarshalled(out)
		}},
	}, nil
}

// reader takes requests apart, and keeps its memory between them, as the gateway's do.
type reader struct {
	pairs fcgi.Pairs
	found []pair
}

func (r *reader) request(stream []byte) error {
	var decoder fcgi.Decoder
	r.pairs.Reset()
	r.found = r.found[:0]
	for rest := stream; len(rest) > 0; {
		n, record, ok, err := decoder.Next(rest)
		if err != nil || !ok {
			return errors.Join(errors.New("the stream ends inside a record"), err)
		}
		rest = rest[n:]
		if record.Type == fcgi.TypeParams {
			if err := r.pairs.Feed(record.Content); err != nil {
				return err
			}
		}
	}
	for {
		name, value, ok, err := r.pairs.Next()
		if err != nil {
			return err
		}
		if !ok {
			return r.pairs.End()
		}
		r.found = append(r.found, pair{name, value})
	}
}

func appendRequest(dst []byte, environ []pair) ([]byte, error) {
	dst = fcgi.AppendBeginRequest(dst, 1, fcgi.BeginRequest{Role: fcgi.RoleResponder, KeepConn: true})
	start := len(dst)
	dst = fcgi.AppendHeader(dst, fcgi.TypeParams, 0, 1, 0, 0)
	for i := range environ {
		var err error
		if dst, err = fcgi.AppendPair(dst, environ[i].name, environ[i].value); err != nil {
			return dst, err
		}
	}
	dst = fcgi.CloseRecord(dst, start)
	dst = fcgi.AppendStreamEnd(dst, fcgi.TypeParams, 1)
	return fcgi.AppendStreamEnd(dst, fcgi.TypeStdin, 1), nil
}

func unmarshalled(b []byte) ([]byte, error) {
	value, _, err := marshal.Decode(b, marshal.Limits{})
	if err != nil {
		return nil, err
	}
	request, ok := value.(marshal.Tuple)
	if !ok || len(request) != 2 {
		return nil, fmt.Errorf("%T is no request", value)
	}
	dict, ok := request[0].(marshal.Dict)
	if !ok {
		return nil, fmt.Errorf("%T is no environ", request[0])
	}
	var pairs []pair
	for _, entry := range dict {
		pairs = append(pairs, pair{[]byte(entry.Key.(string)), []byte(entry.Value.(string))})
	}
	return listed(pairs), nil
}

// listed is the variables in the form in which both sides are compared.
func listed(pairs []pair) []byte {
	sorted := slices.SortedFunc(slices.Values(pairs), func(a, b pair) int { return bytes.Compare(a.name, b.name) })
	var out []byte
	for _, p := range sorted {
		out = fmt.Appendf(out, "%s=%s\n", p.name, p.value)
	}
	return out
}
