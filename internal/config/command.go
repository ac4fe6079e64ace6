package config

import (
	"fmt"
	"io"
)

// Actions are the parts of the commands that are not about configuration. Their
// errors are returned as they are, so that the caller can tell them apart.
type Actions struct {
	Version string // what --version prints
	// Serve runs the server until it is stopped.
	Serve func(*Config, *Sources) error
	// Import imports the application in a worker and stops it again, for the
	// command check; it returns what to say about the application, in one line.
	Import func(*Config, *Sources) (string, error)
}

// Run reads the configuration and does what the command line asks for. Answers
// go to stdout; warnings, a line each, to stderr. See Load for the arguments.
func Run(args, env []string, dir string, stdout, stderr io.Writer, a Actions) error {
	c, s, err := Load(args, env, dir)
	if err != nil {
		return err
	}
	for _, w := range s.Warnings {
		if _, err := fmt.Fprintf(stderr, "pyspeed-gw: warning: %s\n", w); err != nil {
			return fmt.Errorf("cannot write to standard error: %w", err)
		}
	}
	switch s.Command {
	case Help:
		_, err = io.WriteString(stdout, Usage())
	case Version:
		_, err = fmt.Fprintf(stdout, "pyspeed-gw %s\n", a.Version)
	case Show:
		err = Print(stdout, c, s)
	case Check:
		about, importErr := a.Import(c, s)
		if importErr != nil {
			return importErr
		}
		if s.File != "" {
			about = s.File + ": " + about
		}
		_, err = fmt.Fprintf(stdout, "ok: %s\n", about)
	case Serve:
		return a.Serve(c, s)
	}
	return err
}
