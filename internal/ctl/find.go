package ctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"pyspeed/internal/config"
)

// find is where the gateway's socket should be.
func (o *order) find(env []string, dir string) (string, error) {
	if o.socket != "" {
		if filepath.IsAbs(o.socket) {
			return o.socket, nil
		}
		return filepath.Join(dir, o.socket), nil
	}
	args := []string{"config"}
	if o.file != "" {
		args = append(args, "-c", o.file)
	}
	c, s, err := config.Load(args, env, dir)
	if err != nil {
		// The gateway runs with what the file was, and may have to be asked because of what it is.
		if path := config.BesideFile(o.file, dir); path != "" {
			return path, nil
		}
		return "", fmt.Errorf("%w; name the socket with --socket", err)
	}
	path := s.ControlSocket(c, env)
	switch {
	case path != "":
		return path, nil
	case c.Admin.Control == "off":
		return "", errors.New("cannot reach a gateway: admin.control is off, so it has no control socket")
	}
	return "", errors.New("cannot reach a gateway: no configuration file is here to tell where its control socket is; name the file with -c, or the socket with --socket")
}

// elsewhere adds to an error where there are control sockets, which an operator's shell does not know of: only the
// service itself has RUNTIME_DIRECTORY.
func (o *order) elsewhere(err error, env []string) error {
	if o.socket != "" || !errors.Is(err, errUnreachable) {
		return err
	}
	patterns := []string{"/run/*/" + config.ControlName}
	for _, entry := range env {
		if run, ok := strings.CutPrefix(entry, "XDG_RUNTIME_DIR="); ok && filepath.IsAbs(run) {
			patterns = append(patterns, filepath.Join(run, "*", config.ControlName))
		}
	}
	var found []string
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern) // the patterns are well-formed, at worst they match nothing
		for _, path := range paths {
			if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&os.ModeSocket != 0 {
				found = append(found, "--socket "+path)
			}
		}
	}
	if len(found) == 0 {
		return err
	}
	return fmt.Errorf("%w. There are others: %s", err, strings.Join(found, ", "))
}
