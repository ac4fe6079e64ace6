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
	"pyspeed/internal/config"
	"pyspeed/internal/logline"
	"pyspeed/pyshim"
	"pyspeed/supervisor"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run())
}

// run returns the exit code: 0 clean, 1 configuration or bind, 3 workers could not start, 4
// the application could not be imported; as gunicorn has them.
func run() int {
	dir, err := os.Getwd()
	if err == nil {
		err = config.Run(os.Args[1:], os.Environ(), dir, os.Stdout, os.Stderr, config.Actions{
			Version: version, Serve: serve, Import: importApplication,
		})
	}
	if err == nil {
		return 0
	}
	var startup *supervisor.StartupError
	if errors.As(err, &startup) {
		// What the application said, unless it is what the error says anyway.
		if trace := strings.TrimRight(startup.Traceback, "\n"); !strings.Contains(err.Error(), trace) {
			fmt.Fprintln(os.Stderr, trace)
		}
		fmt.Fprintf(os.Stderr, "pyspeed-gw: %v\n", err)
		return startup.ExitCode
	}
	fmt.Fprintf(os.Stderr, "pyspeed-gw: %v\n", err)
	return 1
}

// prepare makes a gateway of a configuration.
func prepare(c *config.Config, s *config.Sources, log *slog.Logger) (*gateway.Gateway, error) {
	python, err := config.FindPython(c.App.Python, os.Environ(), s.PythonDirs(c)...)
	if err != nil {
		return nil, err
	}
	var env []string
	if c.App.EnvFile != "" {
		if env, err = config.ReadEnvFile(c.App.EnvFile); err != nil {
			return nil, err
		}
		env = config.MergeEnv(os.Environ(), env)
	}
	archive, err := pyshim.Archive()
	if err != nil {
		return nil, err
	}
	return gateway.New(c, python, env, archive, version, log)
}

func serve(c *config.Config, s *config.Sources) error {
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
	g, err := prepare(c, s, logline.New(os.Stderr, c.Log.Format, c.Log.Level))
	if err != nil {
		return err
	}
	stop, hurry := signals()
	return g.Run(stop, hurry)
}

// signals returns what is done at the first TERM or INT, and what is done at QUIT or a
// second INT, which also ends the first.
func signals() (stop, hurry context.Context) {
	hurry, hurryNow := context.WithCancel(context.Background())
	stop, stopNow := context.WithCancel(hurry)
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	go func() {
		interrupted := false
		for sig := range ch {
			if sig == syscall.SIGQUIT || sig == syscall.SIGINT && interrupted {
				hurryNow()
			}
			interrupted = interrupted || sig == syscall.SIGINT
			stopNow()
		}
	}()
	return stop, hurry
}

// importApplication starts one worker and stops it again.
func importApplication(c *config.Config, s *config.Sources) (string, error) {
	c.Workers.Count = 1
	if os.Getenv("GOGC") == "" {
		// The hot paths make no garbage, so collecting more often costs nothing and the heap
		// stays half as large.
		debug.SetGCPercent(50)
	}
	g, err := prepare(c, s, logline.New(os.Stderr, c.Log.Format, "warning"))
	if err != nil {
		return "", err
	}
	return g.TryImport(context.Background())
}
