// pyspeed-gw serves WSGI and ASGI applications. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"pyspeed/internal/caller"
	"pyspeed/internal/config"
	"pyspeed/internal/ctl"
	"pyspeed/internal/probe"
	"pyspeed/supervisor"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "probe":
			os.Exit(probe.Command(context.Background(), os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
		case "ctl":
			os.Exit(operate(os.Args[2:]))
		}
	}
	os.Exit(run())
}

// operate speaks to a gateway that runs, and returns the exit code.
func operate(args []string) int {
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintf(os.Stderr, "pyspeed-gw ctl: cannot find the working directory: %v\n", err)
		return 1
	}
	return ctl.Run(context.Background(), args, os.Environ(), dir, os.Stdout, os.Stderr)
}

// run returns the exit code: 0 clean, 1 configuration or bind, 3 workers could not start, 4
// the application could not be imported; as gunicorn has them.
func run() int {
	who, err := caller.Take()
	var dir string
	if err == nil {
		dir, err = os.Getwd()
	}
	if err == nil {
		l := launcher{caller: who, args: os.Args[1:], env: os.Environ(), dir: dir}
		err = config.Run(l.args, l.env, l.dir, os.Stdout, os.Stderr, config.Actions{
			Version: version, Serve: l.serve, Import: l.importApplication,
		})
	}
	if err == nil {
		return 0
	}
	var startup *supervisor.StartupError
	code := 1
	if errors.As(err, &startup) {
		code = startup.ExitCode
	}
	if who.Failed(err, code) && (startup == nil || who.Worker() != nil) {
		return code // what is to be said the caller says, who knows it better
	}
	if startup != nil {
		// What the application said, unless it is what the error says anyway.
		if trace := strings.TrimRight(startup.Traceback, "\n"); !strings.Contains(err.Error(), trace) {
			fmt.Fprintln(os.Stderr, trace)
		}
	}
	fmt.Fprintf(os.Stderr, "pyspeed-gw: %v\n", err)
	return code
}
