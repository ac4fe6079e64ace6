// Command gen writes docs/configuration.md and pyspeed.toml.example from the
// option records. It takes no arguments and finds the module's root itself.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"pyspeed/internal/config"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		filepath.Join("docs", "configuration.md"): config.Reference(),
		"pyspeed.toml.example":                    config.Sample(),
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
	}
	return nil
}

// moduleRoot is the nearest folder upwards that has a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("cannot find go.mod: run gen inside the module")
		}
		dir = parent
	}
}
