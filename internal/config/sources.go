package config

import "fmt"

// Command is what the command line asks for.
type Command int

// The commands. Serve is the one that needs no name.
const (
	Serve Command = iota
	Check
	Show // the command "config"
	Version
	Help
)

// Origin is where a value came from.
type Origin struct {
	// Kind is "default", "file", "env" or "flag".
	Kind string
	// Name is the file, as it was named by the user, the variable or the flag.
	Name string
	Line int // in the file; from 1
}

// String says it for the user: default, pyspeed.toml:12, env PORT, flag --bind.
func (o Origin) String() string {
	switch o.Kind {
	case "file":
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	case "env", "flag":
		return o.Kind + " " + o.Name
	}
	return "default"
}

// Sources says what Load read.
type Sources struct {
	Command Command
	// File is the file that was read, as the user would name it; "" for none.
	File string
	// Directory is the folder of File, else the working directory; absolute.
	Directory string
	// WorkingDirectory is the directory that Load was called with.
	WorkingDirectory string
	// Warnings are lines about things that look like mistakes, such as a
	// variable whose name is nearly that of an option.
	Warnings []string

	origins map[string]Origin // by key
}

// Path is that of File, absolute; "" for none.
func (s *Sources) Path() string {
	if s.File == "" {
		return ""
	}
	return absolute(s.File, s.WorkingDirectory)
}

// Origin tells where the value of the option with that key came from.
func (s *Sources) Origin(key string) Origin { return s.origins[key] }

// setting is one value for one option, not yet read.
type setting struct {
	option *option
	raw    any
	base   string // what a relative path is relative to
	origin Origin
	// label is how an error names the place.
	label string
}

// read makes the option's Go value.
func (s *setting) read() (any, error) {
	v, err := s.option.kind.read(s.raw, s.base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.label, err)
	}
	return v, nil
}
