package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"pyspeed/gateway"
	"pyspeed/internal/caller"
	"pyspeed/internal/config"
	"pyspeed/internal/logline"
	"pyspeed/internal/privilege"
	"pyspeed/pyshim"
	"pyspeed/supervisor"
)

// launcher starts gateways, for a Python process or for nobody (nil), from a command line, an environment and
// a directory, which stay the same when the configuration is read again.
type launcher struct {
	caller *caller.Caller
	args   []string
	env    []string
	dir    string
}

func (l launcher) serve(c *config.Config, s *config.Sources) error {
	// With one, the poller's blocking wait would hold the only processor that answers could
	// be written on (see docs/internals.md).
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	l.tune(c)
	gone := l.caller.Gone()
	// Who has made it ignore HUP, by nohup(1), means it to go on.
	attended := c.Reload.Enabled && !signal.Ignored(syscall.SIGHUP) && hasTerminal()
	waiting := notifySignals(gone != nil)
	log, err := l.openLog(c)
	if err != nil {
		return err
	}
	defer log.Close()
	g, err := l.prepare(c, s, log.Logger())
	if err != nil {
		return l.say(c, log, err)
	}
	g.Operation = gateway.Operation{Log: log, Load: l.load, Control: l.control(c, s)}
	if l.caller.Worker() != nil {
		gone = nil // the supervisor sees that the worker is gone, and says so
	}
	stop, hurry := waiting.follow(gone, attended, g.Order)
	return l.say(c, log, g.Run(stop, hurry))
}

// control is the path of the control socket. Who started the gateway as a child operates it, unless the option
// says otherwise.
func (l launcher) control(c *config.Config, s *config.Sources) string {
	if l.caller.Gone() != nil && s.Origin("admin.control").Kind == "default" {
		return ""
	}
	return s.ControlSocket(c, l.env)
}

// tune sets what is the process's and not the gateway's.
func (l launcher) tune(c *config.Config) {
	if os.Getenv("GOGC") == "" {
		// The hot paths make no garbage, so collecting more often costs nothing and the heap
		// stays half as large.
		debug.SetGCPercent(50)
	}
	if c.Server.Umask >= 0 {
		syscall.Umask(c.Server.Umask)
	}
}

func (l launcher) openLog(c *config.Config) (*logline.Log, error) {
	id, err := privilege.Find(c.Server.User, c.Server.Group)
	if err != nil {
		return nil, err
	}
	return logline.Open(c.Log.File, c.Log.Format, c.Log.Level, id.Owner())
}

// say tells the log of the error that ends the gateway, if that is a file: on standard error it is shown anyway.
func (l launcher) say(c *config.Config, log *logline.Log, err error) error {
	if err != nil && c.Log.File != "-" {
		supervisor.LogStartup(log.Logger(), fmt.Errorf("pyspeed-gw ends: %w", err))
	}
	return err
}

// load reads the configuration again.
func (l launcher) load() (*config.Config, gateway.Start, error) {
	c, s, err := config.Load(l.args, l.env, l.dir)
	if err != nil {
		return nil, gateway.Start{}, err
	}
	start, err := l.start(c, s)
	return c, start, err
}

// prepare makes a gateway of a configuration.
func (l launcher) prepare(c *config.Config, s *config.Sources, log *slog.Logger) (*gateway.Gateway, error) {
	shim, err := pyshim.Version()
	if err == nil {
		err = l.caller.CheckVersion(shim)
	}
	if err != nil {
		return nil, err
	}
	start, err := l.start(c, s)
	if err != nil {
		return nil, err
	}
	if start.Archive, err = pyshim.Archive(); err != nil {
		return nil, err
	}
	g, err := gateway.New(c, start, version, log)
	if err == nil {
		g.Listening = l.caller.Listening
		g.ConfigFile = s.Path()
	}
	return g, err
}

// start is what workers are started from, less the archive, which is the gateway's for good.
func (l launcher) start(c *config.Config, s *config.Sources) (gateway.Start, error) {
	var start gateway.Start
	var err error
	if w := l.caller.Worker(); w != nil {
		start.Attached = &supervisor.Attached{PID: w.PID, Data: w.Data, Control: w.Control, Marks: w.Marks}
	} else if !c.WholeSite() { // which needs no Python
		if start.Python, err = l.python(c, s); err != nil {
			return start, err
		}
	}
	if c.App.EnvFile != "" {
		if start.Env, err = config.ReadEnvFile(c.App.EnvFile); err != nil {
			return start, err
		}
		start.Env = config.MergeEnv(l.env, start.Env)
	}
	return start, nil
}

// python is the interpreter for the workers: where the user names none, the one that started the gateway.
func (l launcher) python(c *config.Config, s *config.Sources) (string, error) {
	if python := l.caller.Python(); python != "" && c.App.Python == "auto" {
		return python, nil
	}
	return config.FindPython(c.App.Python, l.env, s.PythonDirs(c)...)
}

// importApplication starts one worker and stops it again.
func (l launcher) importApplication(c *config.Config, s *config.Sources) (string, error) {
	c.Workers.Count = config.Count{Min: 1, Max: 1}
	c.Reload.Enabled = false // it is about one start
	l.tune(c)
	g, err := l.prepare(c, s, logline.New(os.Stderr, c.Log.Format, "warning"))
	if err != nil {
		return "", err
	}
	return g.TryImport(context.Background())
}
