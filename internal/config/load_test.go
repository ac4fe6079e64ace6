package config

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestPrecedence(t *testing.T) {
	dir := place(t)
	const file = "app.target = \"file:app\"\n[server]\nbind = [\"127.0.0.1:1\"]\n[workers]\ncount = 1\n[log]\naccess = \"json\"\n"
	writeFile(t, dir, "full.toml", file)
	writeFile(t, dir, "none.toml", "")
	f := func(name, args, env, key, wantValue, wantOrigin string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			c, s := mustLoad(t, strings.Fields(args), strings.Fields(env), dir)
			for _, o := range options() {
				if o.key != key {
					continue
				}
				if got := o.kind.write(o.in(c)); got != wantValue {
					t.Errorf("%s is %s, want %s", key, got, wantValue)
				}
			}
			if got := s.Origin(key).String(); got != wantOrigin {
				t.Errorf("%s is from %q, want %q", key, got, wantOrigin)
			}
		})
	}
	const count, bind, access = "workers.count", "server.bind", "log.access"
	f("default", "-c none.toml", "", count, `"auto"`, "default")
	f("file", "-c full.toml", "", count, "1", "full.toml:5")
	f("env over file", "-c full.toml", "PYSPEED_WORKERS_COUNT=2", count, "2", "env PYSPEED_WORKERS_COUNT")
	f("WEB_CONCURRENCY over file", "-c full.toml", "WEB_CONCURRENCY=2", count, "2", "env WEB_CONCURRENCY")
	f("own variable over WEB_CONCURRENCY", "", "WEB_CONCURRENCY=2 PYSPEED_WORKERS_COUNT=3", count, "3", "env PYSPEED_WORKERS_COUNT")
	f("empty variable", "-c full.toml", "WEB_CONCURRENCY= PYSPEED_WORKERS_COUNT=", count, "1", "full.toml:5")
	f("flag over env", "-c full.toml -w 4", "PYSPEED_WORKERS_COUNT=2", count, "4", "flag -w")
	f("auto flag over env", "-w auto", "WEB_CONCURRENCY=2", count, `"auto"`, "flag -w")
	f("last flag", "-w 4 --workers=5", "", count, "5", "flag --workers")
	f("set", "-w 4 --set workers.count=6", "", count, "6", "flag --set workers.count")

	f("bind default", "", "", bind, `["127.0.0.1:8000"]`, "default")
	f("PORT", "", "PORT=5000", bind, `["0.0.0.0:5000"]`, "env PORT")
	f("PORT and file", "-c full.toml", "PORT=5000", bind, `["127.0.0.1:1"]`, "full.toml:3")
	f("PORT and flag", "-b 127.0.0.1:9", "PORT=5000", bind, `["127.0.0.1:9"]`, "flag -b")
	f("PORT and env", "", "PORT=5000 PYSPEED_SERVER_BIND=127.0.0.1:7", bind, `["127.0.0.1:7"]`, "env PYSPEED_SERVER_BIND")
	f("PORT of another kind where it does not count", "-c full.toml", "PORT=tcp://1.2.3.4:5", bind, `["127.0.0.1:1"]`, "full.toml:3")
	f("flags add up, not with the file", "-c full.toml -b a:1 --bind=b:2", "", bind, `["a:1", "b:2"]`, "flag -b, --bind")
	f("host", "--host 0.0.0.0", "", bind, `["0.0.0.0:8000"]`, "flag --host")
	f("port", "-p 80", "", bind, `["127.0.0.1:80"]`, "flag -p")
	f("host and port", "--port 80 --host ::1", "", bind, `["[::1]:80"]`, "flag --host, --port")
	f("host in brackets", "--host [::1]", "", bind, `["[::1]:8000"]`, "flag --host")
	f("uds and fd", "--uds /run/a.sock --fd 3", "", bind, `["unix:/run/a.sock", "fd:3"]`, "flag --uds, --fd")
	f("gunicorn's fd", "-b fd://3", "", bind, `["fd:3"]`, "flag -b")
	f("several in a variable", "", "PYSPEED_SERVER_BIND=a:1,b:2", bind, `["a:1", "b:2"]`, "env PYSPEED_SERVER_BIND")
	f("any free port twice", "-b a:0 -b a:0", "", bind, `["a:0", "a:0"]`, "flag -b")

	f("logfile turns access on", "--access-logfile -", "", access, `"combined"`, "flag --access-logfile")
	f("logfile keeps the format", "-c full.toml --access-logfile -", "", access, `"json"`, "full.toml:7")
	f("logfile and off", "--access off --access-logfile -", "", access, `"off"`, "flag --access")
	f("logfile in a variable", "", "PYSPEED_LOG_ACCESS_FILE=-", access, `"off"`, "default")
	f("uvicorn's switch", "--access-log", "", access, `"combined"`, "flag --access-log")
	f("uvicorn's switch off", "-c full.toml --no-access-log", "", access, `"off"`, "flag --no-access-log")

	f("argument over file", "-c full.toml x:y", "", "app.target", `"x:y"`, "flag MODULE:ATTRIBUTE")
	f("a project's name", "mysite", "", "app.target", `"mysite"`, "flag MODULE:ATTRIBUTE")
	f("call", "x:make()", "", "app.factory", "true", "flag MODULE:ATTRIBUTE")
	f("call loses its brackets", "x:make()", "", "app.target", `"x:make"`, "flag MODULE:ATTRIBUTE")
	f("joined short flag", "-w4", "", count, "4", "flag -w")
	f("joined short flag with =", "-w=4", "", count, "4", "flag -w")
	f("switch off", "--factory=false", "PYSPEED_APP_FACTORY=1", "app.factory", "false", "flag --factory")
	f("words in capitals", "", "PYSPEED_LOG_LEVEL=WARNING", "log.level", `"warning"`, "env PYSPEED_LOG_LEVEL")
}

func TestWhichFileIsRead(t *testing.T) {
	f := func(name string, files map[string]string, args, wantFile, wantTarget string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			dir := t.TempDir()
			for file, content := range files {
				writeFile(t, dir, file, content)
			}
			c, s := mustLoad(t, strings.Fields(args), nil, dir)
			if s.File != wantFile || c.App.Target != wantTarget {
				t.Errorf("read %q with target %q, want %q with %q", s.File, c.App.Target, wantFile, wantTarget)
			}
			if want := filepath.Dir(filepath.Join(dir, wantFile)); wantFile != "" && s.Directory != want {
				t.Errorf("its folder is %q, want %q", s.Directory, want)
			}
		})
	}
	const own, project = "app.target = \"own:app\"\n", "[project]\nname = \"x\"\n[tool.pyspeed.app]\ntarget = \"project:app\"\n"
	f("none", nil, "", "", "")
	f("own", map[string]string{"pyspeed.toml": own}, "", "pyspeed.toml", "own:app")
	f("own first", map[string]string{"pyspeed.toml": own, "pyproject.toml": project}, "", "pyspeed.toml", "own:app")
	f("project", map[string]string{"pyproject.toml": project}, "", "pyproject.toml", "project:app")
	f("project without our table", map[string]string{"pyproject.toml": "[tool.other]\nx = \"pyspeed\""}, "", "", "")
	f("broken project of others", map[string]string{"pyproject.toml": "["}, "", "", "")
	f("named", map[string]string{"pyspeed.toml": own, "etc/a.toml": "app.target = \"a:app\""}, "-c etc/a.toml", "etc/a.toml", "a:app")
	f("named project", map[string]string{"b/pyproject.toml": project}, "--config=b/pyproject.toml", "b/pyproject.toml", "project:app")
}

func TestPathsAreRelativeToTheirPlace(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "etc/app.toml", "[app]\ndirectory = \"src\"\nenv_file = \"e\"\npython = \"py\"\n[log]\naccess_file = \"../log\"\n[server]\nbind = \"unix:s\"\n")
	for _, name := range []string{"etc/src/x", "etc/e", "src/x", "e"} {
		writeFile(t, dir, name, "")
	}
	c, _ := mustLoad(t, []string{"-c", "etc/app.toml", "--app-dir", "src", "--uds", "s2", "--pid", "p"}, nil, dir)
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(c.App.EnvFile, filepath.Join(dir, "etc/e"))
	f(c.App.Directory, filepath.Join(dir, "src"))
	f(c.App.Python, "py")
	f(c.Log.AccessFile, filepath.Join(dir, "log"))
	f(c.Server.PIDFile, filepath.Join(dir, "p"))
	f(c.Server.Bind[0].Address, filepath.Join(dir, "s2"))
	c, _ = mustLoad(t, []string{"-c", "etc/app.toml"}, []string{"PYSPEED_APP_ENV_FILE=e"}, dir)
	f(c.App.EnvFile, filepath.Join(dir, "e"))
	f(c.App.Directory, filepath.Join(dir, "etc/src"))
	f(c.Server.Bind[0].Address, filepath.Join(dir, "etc/s"))
}

func TestLoadFails(t *testing.T) {
	dir := place(t)
	writeFile(t, dir, "bad.toml", "[workers]\nthreads = \"many\"\n")
	writeFile(t, dir, "project/pyproject.toml", "[project]\n")
	writeFile(t, dir, "flat/pyproject.toml", "[tool]\npyspeed = true\n")
	writeFile(t, dir, "bad/pyproject.toml", "[tool.pyspeed.workers]\ntreads = 1\n")
	f := func(args, env, want string) {
		t.Helper()
		_, _, err := Load(strings.Fields(args), strings.Fields(env), dir)
		if err == nil {
			t.Errorf("%s %s: no error, want %s", args, env, want)
		} else if err.Error() != want {
			t.Errorf("%s %s:\n got %s\nwant %s", args, env, err, want)
		}
	}
	f("", "", "no application is named: write pyspeed-gw module:attribute, or set app.target in a file (no file was read)")
	f("check -c none.toml", "", "cannot read the configuration file none.toml: no such file or directory")
	f("-c src", "", "cannot read the configuration file src: is a directory")
	f("-c project/pyproject.toml", "", "cannot use project/pyproject.toml: it has no table [tool.pyspeed]")
	f("-c flat/pyproject.toml", "", "tool.pyspeed (flat/pyproject.toml:2): expected a table, got true")
	f("-c bad/pyproject.toml", "", "unknown key workers.treads (bad/pyproject.toml:2); did you mean workers.threads?")
	f("-c gunicorn.conf.py a:b", "", `-c: cannot read "gunicorn.conf.py": the configuration of PySpeed is TOML, see docs/configuration.md`)
	f("-c bad.toml --threads 3 a:b", "", `workers.threads (bad.toml:2): expected a whole number from 1 to 512 or "auto", got the string "many"`)

	f("a:b --threads 0", "", `--threads: expected a whole number from 1 to 512 or "auto", got "0"`)
	f("a:b --set workers.treads=1", "", `--set: unknown key "workers.treads"; did you mean workers.threads?`)
	f("a:b --set workers.threads=x", "", `--set workers.threads: expected a whole number from 1 to 512 or "auto", got "x"`)
	f("a:b --set workers.threads", "", `--set: expected KEY=VALUE, got "workers.threads"`)
	f("a:b --threads", "", "--threads: a value is missing")
	f("a:b --threads --factory", "", `--threads: a value is missing before "--factory"; write --threads=--factory if that is the value`)
	f("a:b --treads 4", "", `unknown flag "--treads"; did you mean --threads?`)
	f("a:b --wrokers=4", "", `unknown flag "--wrokers"; did you mean --workers?`)
	f("a:b --hovercraft", "", `unknown flag "--hovercraft"; pyspeed-gw --help lists the flags`)
	f("a:b -x", "", `unknown flag "-x"; pyspeed-gw --help lists the flags`)
	f("a:b -bind=x", "", `-b: expected host:port, [ipv6]:port, unix:/path or fd:number, got "ind=x": the port is missing`)
	f("a:b --help=no", "", "--help takes no value")
	f("a:b c:d", "", `unexpected argument "c:d": the application is already named`)
	f("chekc", "", `unknown command "chekc"; did you mean check? An application of that name is started by pyspeed-gw serve chekc`)
	f("main:", "", `application: expected module:attribute, such as "main:app", module:factory(), or a Django project's name, got "main:"`)
	f("main.py", "", `application: expected module:attribute, such as "main:app", module:factory(), or a Django project's name, got "main.py"; a module is named as in an import, here perhaps "main"`)
	f("main.py:app", "", `application: expected module:attribute, such as "main:app", module:factory(), or a Django project's name, got "main.py:app"; a module is named as in an import, here perhaps "main"`)
	f("a:b --port 80000", "", `--port: expected a port from 0 to 65535, got "80000"`)
	f("a:b -p app.pid", "", `-p: expected a port from 0 to 65535, got "app.pid"; the file for the process id is --pid`)
	f("a:b --host= ", "", `--host: expected host:port, [ipv6]:port, unix:/path or fd:number, got ":8000": the host is missing; 0.0.0.0:8000 listens on every IPv4 interface`)
	f("a:b -b a:1 -b a:1", "", "-b: a:1 is named twice")
	f("a:b --uds "+strings.Repeat("/long", 30), "", `--uds: expected host:port, [ipv6]:port, unix:/path or fd:number, got "unix:`+
		strings.Repeat("/long", 15)+`...": the absolute path has 150 bytes and that of a unix socket may have 107`)

	f("a:b -k eventlet", "", "-k: eventlet is not supported, as it is no longer maintained; use --model gevent, or --model threads without eventlet's patches")
	f("a:b --reload-engine poll", "", "--reload-engine is not supported: use --reload-poll")
	f("a:b -w 8-2", "", `-w: expected a whole number from 1 to 1024, "auto", or { min = 0, max = 8 } (as a flag 0-8), got "8-2"`)
	f("a:b --umask 888", "", `--umask: expected an octal mask from "000" to "777", got "888"`)
	f("a:b --warmup x", "", `--warmup: expected an array of paths that begin with /, got the string "x"`)
	f("a:b --ssl-keyfile=k.pem", "", "--ssl-keyfile is not supported: terminate TLS in front of pyspeed-gw")
	f("a:b --workers-kill-timeout 30", "", "--workers-kill-timeout is not supported: use --timeout for workers that hang and --timeout-shutdown for stopping")
	f("--check-config a:b", "", "--check-config is not supported: use the command check, as in pyspeed-gw check -c FILE")

	f("a:b", "PYSPEED_WORKERS_QUEUE=x", `environment variable PYSPEED_WORKERS_QUEUE: expected a whole number from 1 to 1000000, got "x"`)
	f("a:b", "WEB_CONCURRENCY=-1", `environment variable WEB_CONCURRENCY: expected a whole number from 1 to 1024, "auto", or { min = 0, max = 8 } (as a flag 0-8), got "-1"`)
	f("a:b", "PORT=http", `environment variable PORT: expected a port from 0 to 65535, got "http"`)
	f("a:b", "PORT=+80", `environment variable PORT: expected a port from 0 to 65535, got "+80"`)
	f("a:b --env-file src", "", `--env-file: cannot use "`+dir+`/src": it is a folder`)
	f("a:b --pid src", "", `--pid: cannot use "`+dir+`/src": it is a folder`)
	f("a:b --app-dir env/bin/python", "", `--app-dir: cannot use "`+dir+`/env/bin/python": it is not a folder`)
	f("a:b --python ./no/python", "", `--python: cannot use "`+dir+`/no/python": no such file or directory`)
}

func TestMisspelledVariablesAreWarnedAbout(t *testing.T) {
	dir := t.TempDir()
	f := func(env string, want ...string) {
		t.Helper()
		_, s := mustLoad(t, nil, strings.Fields(env), dir)
		if !reflect.DeepEqual(s.Warnings, want) {
			t.Errorf("%s: got %q, want %q", env, s.Warnings, want)
		}
	}
	f("PYSPEED_WORKERS_TREADS=4", `the environment variable "PYSPEED_WORKERS_TREADS" is no option; did you mean PYSPEED_WORKERS_THREADS?`)
	f("PYSPEED_WORKER_ID=1 PYSPEED_SERVER_PORT=tcp://1.2.3.4:5 PYSPEED_SERVER_SERVICE_HOST=1.2.3.4 PYSPEED_HOME=/x =C:=x nothing")
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "broken.toml", "[")
	writeFile(t, dir, "good.toml", "app.target = \"a:b\"")
	failed := errors.New("failed")
	f := func(args, wantOut string, wantErr error) {
		t.Helper()
		var out, warnings bytes.Buffer
		err := Run(strings.Fields(args), nil, dir, &out, &warnings, Actions{
			Version: "1.2.3",
			Serve:   func(c *Config, _ *Sources) error { return failed },
			Import:  func(c *Config, _ *Sources) (string, error) { return c.App.Target + " is WSGI", nil },
		})
		if !errors.Is(err, wantErr) || out.String() != wantOut || warnings.Len() > 0 {
			t.Errorf("%s: printed %q and %q, error %v", args, &out, &warnings, err)
		}
	}
	f("--version", "pyspeed-gw 1.2.3\n", nil)
	f("-c broken.toml --help", Usage(), nil)
	f("--help --version", Usage(), nil)
	f("check -c broken.toml --version", "pyspeed-gw 1.2.3\n", nil)
	f("check -c good.toml", "ok: good.toml: a:b is WSGI\n", nil)
	f("check a:c", "ok: a:c is WSGI\n", nil)
	f("serve a:c", "", failed)
	f("a:c", "", failed)
	f("-c good.toml", "", failed)
	f("-- a:c", "", failed)

	var out, warnings bytes.Buffer
	err := Run([]string{"config"}, []string{"PYSPEED_LOG_LEVLE=info"}, dir, &out, &warnings, Actions{})
	const want = "pyspeed-gw: warning: the environment variable \"PYSPEED_LOG_LEVLE\" is no option; did you mean PYSPEED_LOG_LEVEL?\n"
	if err != nil || warnings.String() != want || !strings.HasPrefix(out.String(), "# No file was read.\n\n[app]\n") {
		t.Errorf("printed %q and %q, error %v", &out, &warnings, err)
	}
}
