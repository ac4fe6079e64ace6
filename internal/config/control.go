package config

import (
	"os"
	"path/filepath"
	"strings"
)

// ControlName is the file name of a control socket whose path is not configured.
const ControlName = "pyspeed.sock"

// ControlSocket is the path of the control socket; "" for none. For "auto" that is in the folder that a service
// manager made for the gateway, else beside the file; without either there is none.
func (s *Sources) ControlSocket(c *Config, env []string) string {
	switch c.Admin.Control {
	case "auto":
	case "off":
		return ""
	default:
		return c.Admin.Control
	}
	// systemd.exec(5): several folders are separated by colons.
	first, _, _ := strings.Cut(variables(env)["RUNTIME_DIRECTORY"], ":")
	switch {
	case filepath.IsAbs(first):
		return filepath.Join(first, ControlName)
	case s.File != "":
		return filepath.Join(s.Directory, ControlName)
	}
	return ""
}

// BesideFile is the control socket beside the file that Load would read, whatever is in that; "" where there is none.
func BesideFile(file, dir string) string {
	names := []string{file}
	if file == "" {
		names = []string{ownFile, projectFile}
	}
	for _, name := range names {
		path := absolute(name, dir)
		if _, err := os.Stat(path); err == nil {
			return filepath.Join(filepath.Dir(path), ControlName)
		}
	}
	return ""
}

// Nearest returns the candidate that name was most likely meant to be, or "" when none is near.
func Nearest(name string, candidates []string) string { return nearest(name, candidates) }
