package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// FindPython returns the path of the interpreter that the value of app.python
// stands for. For "auto" that is the first of: the virtual environment
// $VIRTUAL_ENV, a .venv in one of dirs (in their order), python3 on PATH. A
// name without a slash is looked for on PATH, anything else is a path.
//
// Links are not followed: the path of the link is what tells Python which
// virtual environment it is in. The error says where was looked.
func FindPython(python string, env []string, dirs ...string) (string, error) {
	vars := variables(env)
	if python != "auto" {
		if isProgramName(python) {
			return onPath(python, vars["PATH"])
		}
		if err := checkInterpreter(python); err != nil {
			return "", fmt.Errorf("cannot use %s as app.python: %w", python, err)
		}
		return python, nil
	}
	if venv := vars["VIRTUAL_ENV"]; venv != "" {
		found := filepath.Join(venv, "bin", "python")
		if err := checkInterpreter(found); err != nil {
			return "", fmt.Errorf("cannot use the virtual environment of VIRTUAL_ENV: %s: %w; activate another one, or set app.python", found, err)
		}
		return filepath.Abs(found)
	}
	for _, dir := range dirs {
		venv := filepath.Join(dir, ".venv")
		if _, err := os.Stat(venv); err != nil {
			continue
		}
		found := filepath.Join(venv, "bin", "python")
		if err := checkInterpreter(found); err != nil {
			return "", fmt.Errorf("cannot use the virtual environment %s: %s: %w; make it anew, or set app.python", venv, found, err)
		}
		return filepath.Abs(found)
	}
	found, err := onPath("python3", vars["PATH"])
	if err != nil {
		return "", fmt.Errorf("cannot find a Python interpreter: VIRTUAL_ENV is not set, there is no .venv in %s, and %w; set app.python",
			strings.Join(dirs, " or "), err)
	}
	return found, nil
}

// PythonDirs are the folders in which FindPython shall look for .venv: that of
// the file, the application's, and the working directory.
func (s *Sources) PythonDirs(c *Config) []string {
	var dirs []string
	seen := map[string]bool{}
	for _, dir := range []string{s.Directory, c.App.Directory, s.WorkingDirectory} {
		if !seen[dir] {
			dirs = append(dirs, dir)
		}
		seen[dir] = true
	}
	return dirs
}

// onPath looks a program up in the folders of a PATH. Relative folders are left
// out: what runs would depend on where the server was started.
func onPath(name, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found := filepath.Join(dir, name); checkInterpreter(found) == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("no program %s is in a folder of PATH", name)
}

// checkInterpreter reports why path is no program that can be started.
func checkInterpreter(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return cause(err)
	case info.IsDir():
		return fmt.Errorf("it is a folder; the interpreter of a virtual environment is its bin/python")
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("it is not executable")
	}
	return nil
}
