package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"pyspeed/internal/config"
)

const usage = `Usage:
  pyspeed-gw ctl [-c FILE | --socket PATH] [--json] COMMAND

Commands:
  status              what the gateway does: workers, requests, queue, connections, memory
  workers             a line for each worker
  reload              read the configuration again and replace the workers; waits for the outcome
  drain               turn /ready off and end each client's connection with its next answer; it goes on serving
  drain --undo        take that back
  drain WORKER        replace one worker, once its successor is ready and its requests have ended
  add [N]             N workers more; 1
  remove [N]          N workers fewer; 1
  dump [WORKER]       the stacks of one worker, or of all, into the gateway's log
  kill WORKER         end one worker at once with SIGKILL; another takes its place
  purge URL           remove what the cache has of a URL, query included; /path?query is one of any host
  purge --prefix P    remove what it has of URLs that begin so
  purge --tag TAG     remove the answers with that tag (Cache-Tag, Surrogate-Key)
  purge --all         remove everything

WORKER is an id as the command workers shows it, such as 2 or 2.3.

  -c, --config FILE   the gateway's configuration file, which tells where the control socket is; else the
                      file that pyspeed-gw would read here
  --socket PATH       the control socket itself
  --json              print the result as JSON
  -h, --help          show this text

The exit code is 0 if the command was carried out, 1 if not or if no gateway could be reached, and 2 if the
command line was wrong. A reload whose caller leaves goes on.
`

// commandNames are all commands, and what may follow each: "" nothing, "worker", "[worker]" or "[n]".
var commandNames = [...]struct{ name, operand string }{
	{"status", ""},
	{"workers", ""},
	{"reload", ""},
	{"drain", "[worker]"},
	{"add", "[n]"},
	{"remove", "[n]"},
	{"dump", "[worker]"},
	{"kill", "worker"},
	{"purge", "[url]"},
}

// mostCount is the most workers that one command adds or removes.
const mostCount = 1024

// order is a command line that was taken apart.
type order struct {
	file, socket string
	json, help   bool
	request      Request
}

// errUsage is for a command line that is wrong.
type errUsage struct{ text string }

func (e errUsage) Error() string { return e.text + "; pyspeed-gw ctl --help says more" }

// Run runs the command line behind "ctl" in a directory and returns the exit code.
func Run(ctx context.Context, args, env []string, dir string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if err == nil && o.help {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	if err == nil {
		err = o.run(ctx, env, dir, stdout, stderr)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "pyspeed-gw ctl: %v\n", err)
	if _, wrong := errors.AsType[errUsage](err); wrong {
		return 2
	}
	return 1
}

func parse(args []string) (*order, error) {
	o := &order{}
	var words []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, joined := strings.Cut(arg, "=")
		if strings.HasPrefix(arg, "-c") && !strings.HasPrefix(arg, "--") && len(arg) > 2 {
			name, value, joined = "-c", strings.TrimPrefix(arg[2:], "="), true
		}
		var text *string
		var toggle *bool
		switch {
		case !strings.HasPrefix(arg, "-"):
			words = append(words, arg)
			continue
		case name == "-c" || name == "--config":
			text = &o.file
		case name == "--socket":
			text = &o.socket
		case name == "--prefix":
			text = &o.request.Prefix
		case name == "--tag":
			text = &o.request.Tag
		case name == "--all":
			toggle = &o.request.All
		case name == "--json":
			toggle = &o.json
		case name == "--undo":
			toggle = &o.request.Undo
		case name == "-h" || name == "--help":
			toggle = &o.help
		default:
			return nil, errUsage{fmt.Sprintf("unknown flag %q%s", name, didYouMean(name, []string{"--config", "--socket", "--json", "--undo", "--prefix", "--tag", "--all", "--help"}))}
		}
		switch {
		case toggle != nil && joined:
			return nil, errUsage{name + " takes no value"}
		case toggle != nil:
			*toggle = true
			continue
		case !joined && len(args) == 0:
			return nil, errUsage{name + ": a value is missing"}
		case !joined:
			value, args = args[0], args[1:]
		}
		if value == "" {
			return nil, errUsage{name + ": a value is missing"}
		}
		*text = value
	}
	if o.help {
		return o, nil
	}
	return o, o.words(words)
}

// words takes the command and what follows it.
func (o *order) words(words []string) error {
	var names []string
	for _, c := range commandNames {
		names = append(names, c.name)
	}
	if len(words) == 0 {
		return errUsage{"a command is missing: " + strings.Join(names, ", ")}
	}
	i := slices.Index(names, words[0])
	if i < 0 {
		return errUsage{fmt.Sprintf("unknown command %q%s", words[0], didYouMean(words[0], names))}
	}
	r, operand := &o.request, commandNames[i].operand
	r.Command = words[0]
	rest := words[1:]
	switch {
	case o.file != "" && o.socket != "":
		return errUsage{"-c and --socket both say where the gateway is; give one of them"}
	case r.Undo && r.Command != "drain":
		return errUsage{"--undo is for the command drain"}
	case r.Command != "purge" && (r.Prefix != "" || r.Tag != "" || r.All):
		return errUsage{"--prefix, --tag and --all are for the command purge"}
	case len(rest) > 1 || len(rest) == 1 && operand == "":
		return errUsage{fmt.Sprintf("%s: unexpected %q", r.Command, rest[len(rest)-1])}
	case len(rest) == 0 && operand == "worker":
		return errUsage{r.Command + ": the id of a worker is missing"}
	case operand == "[n]":
		r.Count = 1
		if len(rest) == 1 {
			n, err := strconv.Atoi(rest[0])
			if err != nil || n < 1 || n > mostCount {
				return errUsage{fmt.Sprintf("%s: expected a number from 1 to %d, got %q", r.Command, mostCount, rest[0])}
			}
			r.Count = n
		}
	case operand == "[url]":
		return r.purge(rest)
	case len(rest) == 1:
		r.Worker = rest[0]
		if r.Worker == "" || strings.Trim(r.Worker, "0123456789.") != "" {
			return errUsage{fmt.Sprintf("%s: expected the id of a worker, such as 2 or 2.3, got %q", r.Command, rest[0])}
		}
		if r.Undo {
			return errUsage{"drain --undo is for the gateway as a whole: a worker that drains is replaced"}
		}
	}
	return nil
}

// purge takes what follows the command purge.
func (r *Request) purge(rest []string) error {
	if len(rest) == 1 {
		r.URL = rest[0]
	}
	n := 0
	for _, said := range [...]bool{r.URL != "", r.Prefix != "", r.Tag != "", r.All} {
		if said {
			n++
		}
	}
	if n != 1 {
		return errUsage{"purge: say what: a URL, --prefix, --tag or --all, one of them"}
	}
	for _, s := range [...]string{r.URL, r.Prefix} {
		if s != "" && !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
			return errUsage{fmt.Sprintf("purge: expected http://host/path or /path, got %q", s)}
		}
	}
	return nil
}

func didYouMean(name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// run asks the gateway and shows what it says.
func (o *order) run(ctx context.Context, env []string, dir string, stdout, stderr io.Writer) error {
	path, err := o.find(env, dir)
	if err != nil {
		return err
	}
	a, err := Ask(ctx, path, o.request, func(text string) { fmt.Fprintln(stderr, text) })
	if err != nil {
		return o.elsewhere(err, env)
	}
	if o.json {
		return o.showJSON(a, stdout)
	}
	if !a.OK {
		if a.Traceback != "" {
			fmt.Fprintln(stderr, strings.TrimRight(a.Traceback, "\n"))
		}
		return errors.New(a.Error)
	}
	return show(stdout, o.request, a.Result)
}

// showJSON prints an answer's result, or its error, as an object.
func (o *order) showJSON(a *Answer, stdout io.Writer) error {
	var v any = a.Result
	if !a.OK {
		v = map[string]string{"error": a.Error, "traceback": a.Traceback}
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s\n", text)
	}
	if err != nil {
		return fmt.Errorf("cannot print the result: %w", err)
	}
	if !a.OK {
		return errors.New(a.Error)
	}
	return failed(o.request, a.Result)
}
