// pyspeed-gw serves WSGI and ASGI applications. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"pyspeed/gateway"
	"pyspeed/internal/caller"
	"pyspeed/internal/config"
	"pyspeed/internal/logline"
	"pyspeed/internal/probe"
	"pyspeed/pyshim"
	"pyspeed/supervisor"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		os.Exit(probe.Command(context.Background(), os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run())
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
		l := launcher{who}
		err = config.Run(os.Args[1:], os.Environ(), dir, os.Stdout, os.Stderr, config.Actions{
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

// launcher starts gateways, for a Python process or for nobody (nil).
type launcher struct{ caller *caller.Caller }

// prepare makes a gateway of a configuration.
func (l launcher) prepare(c *config.Config, s *config.Sources, log *slog.Logger) (*gateway.Gateway, error) {
	shim, err := pyshim.Version()
	if err == nil {
		err = l.caller.CheckVersion(shim)
	}
	if err != nil {
		return nil, err
	}
	var start gateway.Start
	if w := l.caller.Worker(); w != nil {
		start.Attached = &supervisor.Attached{PID: w.PID, Data: w.Data, Control: w.Control, Marks: w.Marks}
	} else if !c.WholeSite() { // which needs no Python
		if start.Python, err = l.python(c, s); err != nil {
			return nil, err
		}
	}
	if c.App.EnvFile != "" {
		if start.Env, err = config.ReadEnvFile(c.App.EnvFile); err != nil {
			return nil, err
		}
		start.Env = config.MergeEnv(os.Environ(), start.Env)
	}
	if start.Archive, err = pyshim.Archive(); err != nil {
		return nil, err
	}
	g, err := gateway.New(c, start, version, log)
	if err == nil {
		g.Listening = l.caller.Listening
	}
	return g, err
}

// python is the interpreter for the workers: where the user names none, the one that started the gateway.
func (l launcher) python(c *config.Config, s *config.Sources) (string, error) {
	if python := l.caller.Python(); python != "" && c.App.Python == "auto" {
		return python, nil
	}
	return config.FindPython(c.App.Python, os.Environ(), s.PythonDirs(c)...)
}

func (l launcher) serve(c *config.Config, s *config.Sources) error {
	// With one, the poller's blocking wait would hold the only processor that answers could
	// be written on (see docs/internals.md).
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	if os.Getenv("GOGC") == "" {
		// The hot paths make no garbage, so collecting more often costs nothing and the heap
		// stays half as large.
		debug.SetGCPercent(50)
	}
	g, err := l.prepare(c, s, logline.New(os.Stderr, c.Log.Format, c.Log.Level))
	if err != nil {
		return err
	}
	gone := l.caller.Gone()
	if l.caller.Worker() != nil {
		gone = nil // the supervisor sees that the worker is gone, and says so
	}
	stop, hurry := signals(gone)
	return g.Run(stop, hurry)
}

// signals returns what is done at the first TERM or INT, and what is done at QUIT or a
// second INT, which also ends the first. Whoever the gateway works for being gone is as TERM.
func signals(gone <-chan struct{}) (stop, hurry context.Context) {
	hurry, hurryNow := context.WithCancel(context.Background())
	stop, stopNow := context.WithCancel(hurry)
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	go func() {
		interrupted := false
		for {
			select {
			case sig := <-ch:
				if sig == syscall.SIGQUIT || sig == syscall.SIGINT && interrupted {
					hurryNow()
				}
				interrupted = interrupted || sig == syscall.SIGINT
			case <-gone:
				gone = nil
			}
			stopNow()
		}
	}()
	return stop, hurry
}

// importApplication starts one worker and stops it again.
func (l launcher) importApplication(c *config.Config, s *config.Sources) (string, error) {
	c.Workers.Count = config.Count{Min: 1, Max: 1}
	if os.Getenv("GOGC") == "" {
		// The hot paths make no garbage, so collecting more often costs nothing and the heap
		// stays half as large.
		debug.SetGCPercent(50)
	}
	g, err := l.prepare(c, s, logline.New(os.Stderr, c.Log.Format, "warning"))
	if err != nil {
		return "", err
	}
	return g.TryImport(context.Background())
}
