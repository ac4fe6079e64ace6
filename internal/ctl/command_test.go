package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	f := func(line string, want order) {
		t.Helper()
		got, err := parse(strings.Fields(line))
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	f("status", order{request: Request{Command: "status"}})
	f("--json status", order{json: true, request: Request{Command: "status"}})
	f("workers --json -c x.toml", order{json: true, file: "x.toml", request: Request{Command: "workers"}})
	f("-cx.toml workers", order{file: "x.toml", request: Request{Command: "workers"}})
	f("--config=x.toml reload", order{file: "x.toml", request: Request{Command: "reload"}})
	f("--socket /run/s reload", order{socket: "/run/s", request: Request{Command: "reload"}})
	f("drain", order{request: Request{Command: "drain"}})
	f("drain --undo", order{request: Request{Command: "drain", Undo: true}})
	f("drain 2.3", order{request: Request{Command: "drain", Worker: "2.3"}})
	f("add", order{request: Request{Command: "add", Count: 1}})
	f("remove 3", order{request: Request{Command: "remove", Count: 3}})
	f("dump", order{request: Request{Command: "dump"}})
	f("kill 2", order{request: Request{Command: "kill", Worker: "2"}})
	f("purge /a?b=c", order{request: Request{Command: "purge", URL: "/a?b=c"}})
	f("purge --prefix https://a.b/c --json", order{json: true, request: Request{Command: "purge", Prefix: "https://a.b/c"}})
	f("purge --tag=x", order{request: Request{Command: "purge", Tag: "x"}})
	f("purge --all", order{request: Request{Command: "purge", All: true}})
}

// TestUsage: what is wrong with a command line is said in a line, with a remedy, and is exit code 2.
func TestUsage(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Run(t.Context(), strings.Fields(line), nil, "/", &out, &errs); code != 2 || out.Len() > 0 {
			t.Errorf("%s: code %d, output %q", line, code, out.String())
		}
		text := errs.String()
		if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "pyspeed-gw ctl: ") || !strings.Contains(text, want) || !strings.Contains(text, "ctl --help") {
			t.Errorf("%s: %q, want %q", line, text, want)
		}
	}
	f("", "a command is missing: status, workers, reload")
	f("stauts", `unknown command "stauts"; did you mean status?`)
	f("restart", `unknown command "restart"`)
	f("wrokers", "did you mean workers?")
	f("status --jsn", `unknown flag "--jsn"; did you mean --json?`)
	f("status -c", "-c: a value is missing")
	f("status --socket=", "--socket: a value is missing")
	f("status --json=1", "takes no value")
	f("-c x --socket y status", "give one of them")
	f("status 2", `status: unexpected "2"`)
	f("kill", "the id of a worker is missing")
	f("kill 2 3", `unexpected "3"`)
	f("kill all", "expected the id of a worker, such as 2 or 2.3")
	f("add many", "expected a number from 1 to 1024")
	f("add 0", "expected a number from 1 to 1024")
	f("remove 1025", "expected a number from 1 to 1024")
	f("add -1", `unknown flag "-1"`)
	f("reload --undo", "--undo is for the command drain")
	f("drain 2 --undo", "for the gateway as a whole")
	f("purge", "say what")
	f("purge /a --all", "one of them")
	f("purge a", "expected http://host/path or /path")
	f("reload --all", "for the command purge")
	f("reload --tag x", "for the command purge")
}

func TestHelp(t *testing.T) {
	for _, line := range []string{"--help", "-h", "reload --help", "--json -h"} {
		var out, errs bytes.Buffer
		if code := Run(t.Context(), strings.Fields(line), nil, "/", &out, &errs); code != 0 || out.String() != usage || errs.Len() > 0 {
			t.Errorf("%s: code %d, %q", line, code, errs.String())
		}
	}
	for _, c := range commandNames {
		if !strings.Contains(usage, "\n  "+c.name+" ") {
			t.Errorf("the help text has no %s", c.name)
		}
	}
	for line := range strings.Lines(usage) {
		if len(line) > 115 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
}

// results has one result of each command.
func results() map[string]any {
	return map[string]any{
		"status": &Status{
			Version: "1.2", PID: 7, Uptime: 90_000, State: "not ready", Reason: "no worker is ready", Reloading: true, Generation: 3,
			Addresses: []string{"http://127.0.0.1:8000", "unix:/run/s"}, Admin: "http://127.0.0.1:9090", Workers: WorkerCount{0, 2, 2, 2},
			Requests: Requests{Total: 12, ByStatus: map[string]uint64{"2xx": 10, "5xx": 2, "none": 0}, InFlight: 4},
			Queue:    Level{5, 2048}, Clients: Level{6, 10000}, Memory: Memory{9 << 20, 41 << 20},
		},
		"workers": []Worker{
			{ID: "1", PID: 8, State: "ready", Generation: 3, Age: 75, Requests: 1000, InFlight: 2, RSS: 20<<20 + 1<<19},
			{ID: "2.10", PID: 4194304, State: "draining", Generation: 2, Age: 3.25, Reason: "the workers were reloaded"},
		},
		"reload": &Reloaded{Generation: 4, Applied: []string{"log.level"}, Restart: []string{"server.bind"}},
		"drain":  &Drained{Drained: true},
		"add":    &Scaled{Min: 1, Max: 1},
		"remove": &Scaled{Min: 2, Max: 3},
		"dump":   &Dumped{Log: "/var/log/gw.log", Dumped: []string{"1", "2"}},
		"kill":   &Killed{Worker: "2", PID: 9},
		"purge":  &Purged{Answers: 2},
	}
}

const shown = `pyspeed-gw 1.2, pid 7, up 25h0m
state        not ready: no worker is ready, reloading
addresses    http://127.0.0.1:8000, unix:/run/s
admin        http://127.0.0.1:9090
workers      0 of 2 ready, generation 3
requests     12 ended (2xx 10, 5xx 2), 4 in workers
queue        5 of at most 2048
connections  6 of at most 10000
memory       gateway 9.0 MiB, workers 41.0 MiB
`

const shownWorkers = `ID    PID      STATE     GENERATION  AGE    REQUESTS  IN FLIGHT  RSS       REASON
1     8        ready     3           1m15s  1000      2          20.5 MiB
2.10  4194304  draining  2           3.3s   0         0          -         the workers were reloaded
`

// TestShow: every command's result in text, and as JSON just what the gateway said.
func TestShow(t *testing.T) {
	all := results()
	commands := map[string]Command{}
	for name, result := range all {
		commands[name] = func(context.Context, Request, func(string)) (any, error) { return result, nil }
	}
	path := serve(t, commands)
	run := func(args ...string) (string, int) {
		t.Helper()
		var out, errs bytes.Buffer
		code := Run(t.Context(), append([]string{"--socket", path}, args...), nil, "/", &out, &errs)
		if errs.Len() > 0 {
			t.Errorf("%q: %q on standard error", args, errs.String())
		}
		return out.String(), code
	}
	for name, want := range map[string]string{
		"status":  shown,
		"workers": shownWorkers,
		"reload":  "reloaded: generation 4 serves\nchanged: log.level\nchanged, and not in effect until pyspeed-gw is started anew: server.bind\n",
		"drain":   "drained: /ready says no, and connections end with their next answers; drain --undo takes it back\n",
		"add":     "1 worker from now on\n",
		"remove":  "from 2 to 3 workers from now on, as the load asks for\n",
		"dump":    "the stacks of workers 1, 2 are in /var/log/gw.log\n",
		"kill 2":  "worker 2 (pid 9) was killed\n",

		"purge /a": "2 answers were removed from the cache\n",
	} {
		if got, code := run(strings.Fields(name)...); got != want || code != 0 {
			t.Errorf("%s: code %d\n%s\nwant\n%s", name, code, got, want)
		}
		got, code := run(append(strings.Fields(name), "--json")...)
		name, _, _ = strings.Cut(name, " ")
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(got)); err != nil || code != 0 {
			t.Errorf("%s: code %d, %v in %s", name, code, err, got)
		}
		if want, err := json.Marshal(all[name]); err != nil || compact.String() != string(want) {
			t.Errorf("%s: %s, want %s", name, compact.String(), want)
		}
	}
	if len(all) != len(commandNames) {
		t.Errorf("%d results for %d commands", len(all), len(commandNames))
	}
}

func TestShowFailures(t *testing.T) {
	path := serve(t, map[string]Command{
		"reload": func(_ context.Context, _ Request, progress func(string)) (any, error) {
			progress("waiting for generation 2")
			return nil, &Failure{Err: errors.New("cannot import the application: No module named 'x'"), Traceback: "Traceback\n  File x\n"}
		},
		"purge": func(context.Context, Request, func(string)) (any, error) {
			return &Purged{Answers: 1, Pending: "not yet from Redis"}, nil
		},
		"dump": func(context.Context, Request, func(string)) (any, error) {
			return &Dumped{Log: "the server's standard error", Dumped: []string{"1"}, Failed: map[string]string{"2": "no answer to dump"}}, nil
		},
	})
	f := func(line, wantOut, wantErr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Run(t.Context(), append([]string{"--socket", path}, strings.Fields(line)...), nil, "/", &out, &errs); code != 1 {
			t.Errorf("%s: code %d", line, code)
		}
		if out.String() != wantOut || errs.String() != wantErr {
			t.Errorf("%s:\n%q\n%q", line, out.String(), errs.String())
		}
	}
	failed := "pyspeed-gw ctl: cannot import the application: No module named 'x'\n"
	f("purge --all", "1 answer was removed from the cache\n", "pyspeed-gw ctl: not yet from Redis\n")
	f("reload", "", "waiting for generation 2\nTraceback\n  File x\n"+failed)
	f("reload --json", "{\n  \"error\": \"cannot import the application: No module named 'x'\",\n  \"traceback\": \"Traceback\\n  File x\\n\"\n}\n",
		"waiting for generation 2\n"+failed)
	f("dump", "the stacks of worker 1 are in the server's standard error\n", "pyspeed-gw ctl: no answer to dump\n")
}

// TestFindSocket: where the command line, the file and the environment say that the socket is, also while the file is broken.
func TestFindSocket(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(line string, env []string, want string) {
		t.Helper()
		o, err := parse(append(strings.Fields(line), "status"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.find(env, dir)
		if err != nil {
			got = err.Error()
		}
		if got != want && (want == "" || !strings.Contains(got, want) || err == nil) {
			t.Errorf("%q, %q: %q, want %q", line, env, got, want)
		}
	}
	f("", nil, "name the file with -c, or the socket with --socket")
	f("--socket sub/s", nil, filepath.Join(dir, "sub/s"))
	f("--socket /run/s", nil, "/run/s")
	f("", []string{"RUNTIME_DIRECTORY=/run/shop:/run/other"}, "/run/shop/pyspeed.sock")
	f("-c sub/x.toml", nil, "cannot read the configuration file")
	put("pyproject.toml", "[project]\n")
	f("", nil, "name the file with -c")
	put("pyproject.toml", "[tool.pyspeed.log]\nlevel = 'info'\n")
	f("", nil, filepath.Join(dir, "pyspeed.sock"))
	put("sub/x.toml", "[log]\nlevel = 'info'\n")
	f("-c sub/x.toml", nil, filepath.Join(dir, "sub/pyspeed.sock"))
	f("-c sub/x.toml", []string{"RUNTIME_DIRECTORY=/run/shop"}, "/run/shop/pyspeed.sock")
	put("sub/x.toml", "[log]\nlevels = 'info'\n")
	f("-c sub/x.toml", nil, filepath.Join(dir, "sub/pyspeed.sock"))
	put("sub/x.toml", "[admin]\ncontrol = 'own.sock'\n")
	f("-c sub/x.toml", nil, filepath.Join(dir, "sub/own.sock"))
	f("-c sub/x.toml", []string{"PYSPEED_ADMIN_CONTROL=off"}, "admin.control is off")
	put("pyspeed.toml", "[admin]\ncontrol = 'off'\n")
	f("", nil, "admin.control is off")
	f("", []string{"PYSPEED_ADMIN_CONTROL=/run/s"}, "/run/s")
}

func TestSpan(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0s", 0.26: "300ms", 59.4: "59s", 3661: "1h1m", 200_000: "2d7h"} {
		if got := span(seconds); got != want {
			t.Errorf("%g: %q, want %q", seconds, got, want)
		}
	}
}
