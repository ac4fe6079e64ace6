"""Starting, watching and stopping the server: what its operator sees, through the real binary."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.client import PATIENCE, Connection, Response, fetch, request
from harness.server import Server, Spec, binary
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

DESK = """
import json, os, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))

def note(what):
    with open(os.path.join(HERE, "events"), "ab", buffering=0) as events:
        events.write(what.encode() + b"\\n")

def wait():
    note("begun")
    while not os.path.exists(os.path.join(HERE, "gate")):
        time.sleep(0.01)
    note("ended")

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    status, body = "200 OK", b"ok"
    if path == "/wait":
        wait()
    elif path == "/fail":
        raise RuntimeError("the desk is broken")
    elif path == "/die":
        os._exit(7)
    elif path == "/print":
        print("printed on stdout")
        print("printed on stderr", file=sys.stderr)
        environ["wsgi.errors"].write("written to wsgi.errors\\n")
    elif path == "/env":
        body = json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()
    elif path == "/process":
        body = json.dumps({"env": dict(os.environ), "prefix": sys.prefix, "cwd": os.getcwd()}).encode()
    elif path != "/ok":
        status, body = "404 Not Found", b"no"
    start_response(status, [("Content-Type", "text/plain")])
    return [body]

def make():
    note("made")
    return wsgi

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            what = (await receive())["type"]
            note(what)
            await send({"type": what + ".complete"})
            if what == "lifespan.shutdown":
                return
    body = json.dumps({k: scope[k] for k in ("path", "root_path", "scheme", "client")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


@dataclass
class Bare(Spec):
    """Started with arguments alone, as from a shell; no file is read."""

    arguments: tuple[str, ...] = ()

    def command(self, config: Path) -> list[str]:
        config.unlink()
        return [str(binary()), *self.arguments, "--bind", self.binds[0], "--admin-bind", "127.0.0.1:0"]


class Desk:
    """A running server with the application above."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def get(self, target: str) -> Response:
        return fetch(self.server.address, "GET", target)

    def metrics(self) -> dict[str, float]:
        assert self.server.admin
        text = fetch(self.server.admin, "GET", "/metrics").body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def count(self, kind: str) -> float:
        return self.metrics()[f'pyspeed_failures_total{{kind="{kind}"}}']

    def events(self) -> list[str]:
        path = self.folder / "events"
        return path.read_text().split() if path.exists() else []

    def begin_waiting(self) -> Connection:
        """A request that is in the application until the gate opens."""
        connection = Connection(self.server.address)
        connection.send(request("GET", "/wait"))
        eventually(lambda: "begun" in self.events(), "begun")
        return connection

    def open_gate(self) -> None:
        (self.folder / "gate").touch()


Open = Callable[..., Desk]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "desk.py").write_text(DESK)
    return tmp_path


@pytest.fixture
def desk(start: Callable[[Spec], Server], folder: Path) -> Open:
    """A server with a file: desk(target, count=…, **tables)."""

    def start_one(target: str = "desk:wsgi", *, count: int = 1, **settings: Any) -> Desk:
        return Desk(start(Spec(target, folder, workers=count, settings=settings)), folder)

    return start_one


@pytest.fixture
def bare(start: Callable[[Spec], Server], folder: Path) -> Open:
    """A server with arguments and variables alone: bare("desk:wsgi", "--workers", "1", NAME=value)."""

    def start_one(*arguments: str, **env: str) -> Desk:
        return Desk(start(Bare(arguments[0], folder, env=env, arguments=arguments)), folder)

    return start_one


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the binary to its end."""
    names = ("PORT", "WEB_CONCURRENCY", "VIRTUAL_ENV")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYSPEED_") and k not in names}
    return subprocess.run(
        [str(binary()), *arguments],
        cwd=folder,
        env={**clean, "PYTHONDONTWRITEBYTECODE": "1", **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_metrics_count_requests_and_failures(desk: Open) -> None:
    one = desk()
    for target, status in [("/ok", 200)] * 5 + [("/nowhere", 404)] * 2 + [("/fail", 500), ("/die", 502)]:
        assert one.get(target).status == status

    def counted() -> bool:
        series = one.metrics()
        classes = {kind: series[f'pyspeed_requests_total{{status="{kind}"}}'] for kind in ("2xx", "4xx", "5xx")}
        return classes == {"2xx": 5, "4xx": 2, "5xx": 2}

    eventually(counted, "all counted")
    assert one.count("application") == 1
    assert one.count("worker_died") == 1
    series = one.metrics()
    assert series["pyspeed_request_duration_seconds_count"] == 9
    assert series["pyspeed_queue_duration_seconds_count"] == 9
    assert series['pyspeed_request_duration_seconds_bucket{le="+Inf"}'] == 9


def test_queue_timeout_is_503(desk: Open) -> None:
    one = desk(workers={"threads": 1, "in_flight": 1, "queue_timeout": "100ms"})
    with one.begin_waiting() as waiting:
        answer = one.get("/ok")
        assert answer.status == 503
        assert int(answer.get("Retry-After")) > 0
        assert one.count("queue_timeout") == 1
        one.open_gate()
        assert waiting.read_response().status == 200
    assert one.get("/ok").status == 200


def test_full_queue_is_503(desk: Open) -> None:
    one = desk(workers={"threads": 1, "in_flight": 1, "queue": 1})
    with one.begin_waiting() as waiting, Connection(one.server.address) as queued:
        queued.send(request("GET", "/ok"))
        eventually(lambda: one.metrics()["pyspeed_queue_length"] == 1, "queued")
        answer = one.get("/ok")
        assert answer.status == 503
        assert int(answer.get("Retry-After")) > 0
        assert one.count("queue_full") == 1
        one.open_gate()
        assert waiting.read_response().status == 200
        assert queued.read_response().status == 200


def test_access_log_combined(desk: Open) -> None:
    one = desk(log={"access": "combined"})
    fields = [("User-Agent", "test/1"), ("Referer", "http://shop.test/")]
    assert fetch(one.server.address, "GET", "/ok?a=1", fields).status == 200
    one.server.log.wait_for(
        r'^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /ok\?a=1 HTTP/1\.1" 200 2 '
        r'"http://shop\.test/" "test/1"$'
    )


def test_access_log_json_in_a_file(desk: Open, folder: Path) -> None:
    path = folder / "access.log"
    one = desk(log={"access": "json", "access_file": str(path)})
    for target in ("/ok", "/nowhere", "/fail"):
        one.get(target)
    one.server.stop()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["method"], line["target"], line["status"]) for line in lines] == [
        ("GET", "/ok", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/fail", 500),
    ]
    assert all(line["worker"] == "1" and line["duration_ms"] >= line["queue_ms"] >= 0 for line in lines)


def test_prints_carry_the_workers_id(desk: Open) -> None:
    one = desk(count=2)
    assert one.get("/print").status == 200
    for text in ("printed on stdout", "printed on stderr", "written to wsgi.errors"):
        one.server.log.wait_for(rf"{text}.* worker=[12]\b")


def test_check_imports_the_application(folder: Path) -> None:
    good = run(folder, "check", "desk:wsgi", "--python", sys.executable)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("ok: desk:wsgi is a WSGI application, on Python 3.")
    assert "an ASGI application" in run(folder, "check", "desk:asgi", "--python", sys.executable).stdout


def test_config_prints_what_is_in_effect(folder: Path) -> None:
    (folder / "pyspeed.toml").write_text('[app]\ntarget = "desk:wsgi"\n[workers]\nthreads = 3\n')
    shown = run(folder, "config", "--queue", "7", PORT="8123", WEB_CONCURRENCY="5").stdout
    for line in (
        r'target = "desk:wsgi" +# .*pyspeed\.toml:2',
        r"threads = 3 +# .*pyspeed\.toml:4",
        r"queue = 7 +# flag --queue",
        r'bind = \["0\.0\.0\.0:8123"\] +# env PORT',
        r"count = 5 +# env WEB_CONCURRENCY",
        r'queue_timeout = "10s" +# default',
    ):
        assert re.search(rf"^{line}", shown, re.M), shown


@pytest.mark.parametrize(
    ("code", "said", "arguments"),
    [
        (1, r"unknown.*--wrokers.*--workers", ("desk:wsgi", "--wrokers", "3")),
        (1, r"workers\.threads \(x\.toml:2\): expected a whole number", ("-c", "x.toml", "desk:wsgi")),
        (1, r"cannot listen on 192\.0\.2\.1:1.*no network interface", ("desk:wsgi", "--bind", "192.0.2.1:1")),
        (3, r"lifespan", ("desk:broken", "--lifespan", "on")),
        (4, r"cannot import the application.*no attribute 'nothing'", ("desk:nothing",)),
        (4, r"cannot import the application.*no_such_module", ("no_such_module:app",)),
    ],
)
def test_exit_codes(folder: Path, code: int, said: str, arguments: tuple[str, ...]) -> None:
    (folder / "x.toml").write_text('[workers]\nthreads = "many"\n')
    with (folder / "desk.py").open("a") as desk:
        desk.write("\nasync def broken(scope, receive, send):\n    raise RuntimeError('no database')\n")
    ended = run(folder, *arguments, PYSPEED_APP_PYTHON=sys.executable, PYSPEED_SERVER_BIND="127.0.0.1:0")
    assert ended.returncode == code, ended
    assert re.search(said, ended.stderr), ended.stderr


def test_sigterm_finishes_what_runs(desk: Open) -> None:
    one = desk()
    with one.begin_waiting() as waiting:
        one.server.process.send_signal(signal.SIGTERM)
        one.server.log.wait_for("stopping: waiting for requests")

        def refused() -> bool:
            try:
                one.server.address.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refused, "closed to new connections")
        assert one.server.process.poll() is None
        one.open_gate()
        assert waiting.read_response().status == 200
    assert one.server.wait_exit() == 0
    assert one.events() == ["begun", "ended"]


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)], ids=["INT INT", "QUIT"])
def test_signals_that_do_not_wait(desk: Open, signals: tuple[signal.Signals, ...]) -> None:
    """The request never ends, and the time to stop is an hour."""
    one = desk(**{"server.timeouts": {"shutdown": "1h"}})
    workers = one.server.workers()
    with one.begin_waiting():
        for number in signals:
            one.server.process.send_signal(number)
            one.server.log.wait_for("stopping")
        one.server.wait_exit()
    assert one.events() == ["begun"]
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers are gone")


def test_lifespan_shutdown_runs(desk: Open) -> None:
    one = desk("desk:asgi")
    assert one.get("/").status == 200
    one.server.stop()
    assert one.events() == ["lifespan.startup", "lifespan.shutdown"]


def test_without_a_file(bare: Open) -> None:
    """The two commands of the README: install, then name the application."""
    one = bare("desk:wsgi", VIRTUAL_ENV=sys.prefix)
    assert one.get("/ok").body == b"ok"


def test_python_of_the_active_environment(bare: Open, folder: Path) -> None:
    venv.create(folder / "env", with_pip=False)
    one = bare("desk:wsgi", "--workers", "1", VIRTUAL_ENV=str(folder / "env"))
    assert Path(one.get("/process").json()["prefix"]) == folder / "env"


def test_env_file_and_directory(bare: Open, folder: Path) -> None:
    (folder / "shop.env").write_text('# a comment\nexport A="x y"\nB=file\n')
    one = bare("desk:wsgi", "--env-file", "shop.env", B="given", VIRTUAL_ENV=sys.prefix)
    process = one.get("/process").json()
    assert (process["env"]["A"], process["env"]["B"]) == ("x y", "given")
    assert process["env"]["PYSPEED_WORKER_ID"] in ("1", "2")
    assert Path(process["cwd"]) == folder


@pytest.mark.parametrize("arguments", [("desk:make()",), ("desk:make", "--factory")])
def test_factory(bare: Open, arguments: tuple[str, ...]) -> None:
    one = bare(*arguments, VIRTUAL_ENV=sys.prefix, WEB_CONCURRENCY="3")
    assert one.get("/ok").body == b"ok"
    assert len(one.server.workers()) == 3
    assert one.events() == ["made"] * 3


def test_root_path(desk: Open) -> None:
    environ = desk(app={"root_path": "/shop"}).get("/shop/env")
    assert environ.status == 200
    assert (environ.json()["SCRIPT_NAME"], environ.json()["PATH_INFO"]) == ("/shop", "/env")


def test_root_path_asgi(desk: Open) -> None:
    scope = desk("desk:asgi", app={"root_path": "/shop"}).get("/x").json()
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/x")


def test_39_to_42_fields_cannot_pose_as_variables(desk: Open) -> None:
    """Nothing that a client sends becomes what a server or a trusted proxy says."""
    one = desk()
    plain = one.get("/env").json()
    names = "X_Forwarded_For Content_Length SCRIPT_NAME PATH_INFO Proxy REMOTE_USER Remote-Addr wsgi.url_scheme"
    forged = [(name, "forged") for name in names.split()]
    forged += [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=6.6.6.6;proto=https")]
    environ = fetch(one.server.address, "GET", "/env", forged).json()
    same = [name for name in plain if not name.startswith("HTTP_") and name != "REMOTE_PORT"]
    assert {name: environ.get(name) for name in same} == {name: plain[name] for name in same}
    added = {name for name in environ if name not in plain}
    assert all(name.startswith("HTTP_") for name in added)
    assert "HTTP_PROXY" not in environ
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6"
