//go:build linux

// Discard is a load program for answers with large bodies: it asks for the same path again and
// again, on connections that are kept, and throws the bodies away without copying them:
//
//	discard -c 64 -d 4s [-timeout 2s] http://127.0.0.1:8080/static/64k.bin
//
// wrk, which makes the load of the other cells, copies all that it gets, 8 KiB at a time; with
// large bodies its core is full before a server's, and the figure is wrk's. Here the kernel drops
// the bytes (recv with MSG_TRUNC), up to 1 MiB in a call. Heads are read, and looked at: an answer
// that is not 200 is an error of status; one whose length is not that of the first, or is not told,
// one that cannot be read, and a connection that ends before its answer does are read errors. What
// the bytes of a body are is not looked at: the runner's probe has done that.
//
// A closed loop: each connection has one request under way, and asks again when it has the answer.
// The latencies are those that were seen, from the request to the last byte, uncorrected, in a
// histogram of fixed size whose buckets are 0.8 % wide at most. An answer that is not there within
// the timeout is an error, and is waited for all the same. After any other error the connection is
// opened anew, some milliseconds later.
//
// It writes READY to stderr before it begins, and at its end the line that wrk/report.lua writes,
// so that benchmarks/runner/wrk.py runs and reads both. Time is up after -d, or at SIGINT or SIGTERM.
//
// One goroutine, on one thread, with one epoll; Linux only. Nothing of it is in the product.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// options are what the command line says.
type options struct {
	connections       int
	duration, timeout time.Duration
	server            netip.AddrPort
	path              string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	opts, err := parse(args)
	if err != nil {
		return fmt.Errorf("cannot load: %w", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM)
	l, err := newLoad(opts)
	if err != nil {
		return fmt.Errorf("cannot load: %w", err)
	}
	defer l.close()
	fmt.Fprintln(os.Stderr, "READY")
	if err := l.run(stop); err != nil {
		return fmt.Errorf("cannot load: %w", err)
	}
	if l.first != nil {
		fmt.Fprintf(os.Stderr, "the first error: %v\n", l.first)
	}
	line, err := json.Marshal(l.report())
	if err != nil {
		return fmt.Errorf("cannot tell the figures: %w", err)
	}
	fmt.Printf("WRK %s\n", line)
	return nil
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("discard", flag.ContinueOnError)
	flags.IntVar(&o.connections, "c", 1, "connections")
	flags.DurationVar(&o.duration, "d", 10*time.Second, "how long")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Second, "an answer that takes longer is an error")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 {
		return o, errors.New("it takes one URL: discard -c 64 -d 4s http://127.0.0.1:8080/file")
	}
	if o.connections < 1 || o.duration <= 0 || o.timeout <= 0 {
		return o, errors.New("-c, -d and -timeout must be more than nothing")
	}
	target, err := url.Parse(flags.Arg(0))
	if err != nil {
		return o, err
	}
	o.server, err = netip.ParseAddrPort(target.Host)
	if err != nil || target.Scheme != "http" || !o.server.Addr().Is4() || !o.server.Addr().IsLoopback() {
		return o, fmt.Errorf("%q is not an http URL with an IPv4 address of this machine, and a port", flags.Arg(0))
	}
	o.path = target.RequestURI()
	return o, nil
}
