package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// invocation is a command line, taken apart but not yet read.
type invocation struct {
	command  Command
	file     string
	settings []setting
	statics  [][2]string // routes and folders
	cached   [][2]string // paths and times
}

// extraFlag is a flag that is no option's own spelling.
type extraFlag struct {
	names    []string
	argument string // "" for a switch
	title    string // the group of the help text that it is shown in; "" for General
	help     string
	apply    func(p *flagParser, flag, value string) error
}

func extraFlags() []extraFlag {
	return []extraFlag{
		{
			names: []string{"--config", "-c"}, argument: "FILE",
			help: "read FILE; else pyspeed.toml, else [tool.pyspeed] of pyproject.toml, if here",
			apply: func(p *flagParser, flag, value string) error {
				if strings.HasSuffix(value, ".py") {
					return fmt.Errorf("%s: cannot read %s: the configuration of PySpeed is TOML, see docs/configuration.md", flag, quote(value))
				}
				if value == "" {
					return fmt.Errorf("%s: expected the path of a file, got \"\"", flag)
				}
				p.result.file = value
				return nil
			},
		},
		{
			names: []string{"--set"}, argument: "KEY=VALUE",
			help:  "set any option by its key in the file, as in --set workers.threads=4",
			apply: (*flagParser).set,
		},
		{
			names: []string{"--help", "-h"}, help: "show this text",
			apply: func(p *flagParser, _, _ string) error {
				p.result.command = Help
				return nil
			},
		},
		{
			names: []string{"--version", "-v"}, help: "show the version",
			apply: func(p *flagParser, _, _ string) error {
				if p.result.command != Help {
					p.result.command = Version
				}
				return nil
			},
		},
		{
			names: []string{"--host"}, argument: "HOST", title: "Server",
			help: "listen at HOST, on --port; 127.0.0.1 when only --port is given",
			apply: func(p *flagParser, flag, value string) error {
				p.host, p.hostFlag = value, flag
				return nil
			},
		},
		{
			names: []string{"--port", "-p"}, argument: "PORT", title: "Server",
			help: "listen on PORT, at --host; 8000 when only --host is given",
			apply: func(p *flagParser, flag, value string) error {
				if _, err := strconv.ParseUint(value, 10, 16); err != nil {
					hint := ""
					if flag == "-p" {
						hint = "; the file for the process id is --pid"
					}
					return fmt.Errorf("%s: expected a port from 0 to 65535, got %s%s", flag, quote(value), hint)
				}
				p.port, p.portFlag = value, flag
				return nil
			},
		},
		{
			names: []string{"--uds"}, argument: "PATH", title: "Server", help: "listen at a unix socket, as --bind unix:PATH",
			apply: func(p *flagParser, flag, value string) error { return p.add(keyBind, flag, "unix:"+value) },
		},
		{
			names: []string{"--fd"}, argument: "N", title: "Server", help: "listen at an inherited descriptor, as --bind fd:N",
			apply: func(p *flagParser, flag, value string) error { return p.add(keyBind, flag, "fd:"+value) },
		},
		{
			names: []string{"--static"}, argument: "ROUTE=DIR", title: "Server",
			help:  "serve the files of a folder below a path, without a worker; may be repeated",
			apply: func(p *flagParser, flag, value string) error { return p.addStatic(flag, value) },
		},
		{
			names: []string{"--cache-route"}, argument: "PATH=TTL", title: "Cache",
			help:  "keep answers below a path for so long where they do not say for how long; with --cache; may be repeated",
			apply: func(p *flagParser, flag, value string) error { return p.addCacheRoute(flag, value) },
		},
		{
			names: []string{"--worker-class", "-k"}, argument: "CLASS", title: "Workers",
			help:  "as gunicorn's: sync and gthread are --model threads, gevent is --model gevent, an ASGI class is --interface asgi",
			apply: (*flagParser).workerClass,
		},
		{
			names: []string{"--access-log"}, title: "Logging", help: "as --access combined",
			apply: func(p *flagParser, flag, _ string) error { return p.add(keyAccess, flag, "combined") },
		},
		{
			names: []string{"--no-access-log"}, title: "Logging", help: "as --access off",
			apply: func(p *flagParser, flag, _ string) error { return p.add(keyAccess, flag, "off") },
		},
	}
}

// positional labels the argument without a flag.
const positional = "application"

// flagParser goes through one command line.
type flagParser struct {
	dir        string
	rest       []string
	result     invocation
	named      bool // a command was given
	options    []option
	extra      []extraFlag
	host, port string
	// The flags that set host and port; "" when none did.
	hostFlag, portFlag string
}

// parseFlags takes the arguments after the program's name apart; relative paths
// in them are taken from dir.
func parseFlags(args []string, dir string) (*invocation, error) {
	p := &flagParser{dir: dir, rest: args, options: options(), extra: extraFlags()}
	onlyPositional := false
	for len(p.rest) > 0 {
		arg := p.rest[0]
		p.rest = p.rest[1:]
		var err error
		switch {
		case onlyPositional || arg == "-" || !strings.HasPrefix(arg, "-"):
			err = p.argument(arg)
		case arg == "--":
			onlyPositional = true
		default:
			err = p.flag(arg)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.compose(); err != nil {
		return nil, err
	}
	return &p.result, nil
}

func commands() map[string]Command {
	return map[string]Command{"serve": Serve, "check": Check, "config": Show, "version": Version, "help": Help}
}

func (p *flagParser) argument(arg string) error {
	command, isCommand := commands()[arg]
	switch {
	case isCommand && !p.named && !p.has(keyTarget):
		p.named = true
		if p.result.command == Serve {
			p.result.command = command
		}
		return nil
	case p.has(keyTarget):
		return fmt.Errorf("unexpected argument %s: the application is already named", quote(arg))
	case arg == "":
		return fmt.Errorf("unexpected argument \"\": expected %s", target{}.expects())
	case !strings.Contains(arg, ":") && !p.named:
		if c := nearest(arg, []string{"serve", "check", "config", "ctl", "probe", "version", "help"}); c != "" {
			return fmt.Errorf("unknown command %s; did you mean %s? An application of that name is started by pyspeed-gw serve %s", quote(arg), c, oneLine(arg))
		}
	}
	return p.add(keyTarget, positional, arg)
}

func (p *flagParser) has(key string) bool {
	return slices.ContainsFunc(p.result.settings, func(s setting) bool { return s.option.key == key })
}

// flag reads one flag: --name, --name=value, -x, -xvalue, -x=value; a value may
// also be the next argument.
func (p *flagParser) flag(arg string) error {
	name, value, joined := strings.Cut(arg, "=")
	if !strings.HasPrefix(arg, "--") && len(arg) > 2 {
		name, value, joined = arg[:2], strings.TrimPrefix(arg[2:], "="), true
	}
	take, isSwitch := p.find(name)
	switch {
	case take == nil:
		return p.unknown(name, arg)
	case isSwitch && joined && len(name) == 2:
		return fmt.Errorf("unknown flag %s: %s takes no value", quote(arg), name)
	case !isSwitch && !joined:
		if len(p.rest) == 0 {
			return fmt.Errorf("%s: a value is missing", name)
		}
		value, p.rest = p.rest[0], p.rest[1:]
		if strings.HasPrefix(value, "--") {
			return fmt.Errorf("%s: a value is missing before %s; write %s=%s if that is the value", name, quote(value), name, value)
		}
	case isSwitch && !joined:
		value = "true"
	}
	return take(name, value)
}

// find looks a flag up; take is nil for an unknown one.
func (p *flagParser) find(name string) (take func(flag, value string) error, isSwitch bool) {
	for i := range p.options {
		if o := &p.options[i]; slices.Contains(o.flags, name) {
			return func(flag, value string) error { return p.add(o.key, flag, value) }, o.kind.argument() == ""
		}
	}
	for _, e := range p.extra {
		if !slices.Contains(e.names, name) {
			continue
		}
		return func(flag, value string) error {
			if e.argument == "" && value != "true" {
				return fmt.Errorf("%s takes no value", flag)
			}
			return e.apply(p, flag, value)
		}, e.argument == ""
	}
	return nil, false
}

func (p *flagParser) unknown(name, arg string) error {
	if hint := unsupported(name); hint != "" {
		return fmt.Errorf("%s is not supported: %s", oneLine(name), hint)
	}
	var known []string
	for _, o := range p.options {
		known = append(known, o.flags...)
	}
	for _, e := range p.extra {
		known = append(known, e.names...)
	}
	if len(name) == 2 {
		// Any letter is one mistake away from any other.
		return fmt.Errorf("unknown flag %s; pyspeed-gw --help lists the flags", quote(arg))
	}
	if c := nearest(name, known); c != "" {
		return fmt.Errorf("unknown flag %s; did you mean %s?", quote(name), c)
	}
	return fmt.Errorf("unknown flag %s; pyspeed-gw --help lists the flags", quote(name))
}

// set takes the KEY=VALUE of --set.
func (p *flagParser) set(flag, value string) error {
	key, value, ok := strings.Cut(value, "=")
	if !ok {
		return fmt.Errorf("%s: expected KEY=VALUE, got %s", flag, quote(key))
	}
	key = strings.TrimSpace(key)
	if !slices.Contains(keys(), key) {
		return fmt.Errorf("%s: unknown key %s%s", flag, quote(key), didYouMean(key, keys()))
	}
	return p.add(key, flag+" "+key, strings.TrimSpace(value))
}

// add notes the value of a flag, and checks it.
func (p *flagParser) add(key, flag, value string) error {
	i := slices.IndexFunc(p.options, func(o option) bool { return o.key == key })
	s := setting{
		option: &p.options[i], raw: text(value), base: p.dir,
		origin: Origin{Kind: "flag", Name: flag}, label: flag,
	}
	if flag == positional {
		s.origin.Name = "MODULE:ATTRIBUTE"
	}
	if _, err := s.read(); err != nil {
		return err
	}
	p.result.settings = append(p.result.settings, s)
	return nil
}

// compose makes what several flags say together.
func (p *flagParser) compose() error {
	flags := strings.Join(slices.DeleteFunc([]string{p.hostFlag, p.portFlag}, func(s string) bool { return s == "" }), ", ")
	if flags != "" {
		host, port := "127.0.0.1", "8000"
		if p.hostFlag != "" {
			host = strings.TrimSuffix(strings.TrimPrefix(p.host, "["), "]")
		}
		if p.portFlag != "" {
			port = p.port
		}
		if err := p.add(keyBind, flags, net.JoinHostPort(host, port)); err != nil {
			return err
		}
	}
	return nil
}
