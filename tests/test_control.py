"""pyspeed-gw ctl: an operator speaks to a running server, which has a Flask application and load."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Shop
from harness import processes
from harness.client import PATIENCE, Connection, Response, fetch, request
from harness.crowd import assert_none_ran_twice
from harness.load import Load
from harness.program import environment
from harness.server import Server, Spec, binary, clean_environment
from harness.users import STRANGER, needs_root, python_for_everybody
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

APPLICATION = """
import os, time
from flask import Flask

app = Flask(__name__)

@app.get("/")
def home():
    return {"pid": os.getpid()}

@app.get("/wait")
def wait_at_the_gate():
    open("begun", "w").close()
    while not os.path.exists("gate"):
        time.sleep(0.01)
    return "passed"

while os.path.exists("wait"):
    time.sleep(0.01)
"""

# For users who have no Flask.
BARE = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getuid()).encode()]
"""

Open = Callable[..., Server]
Completed = subprocess.CompletedProcess[str]


def run(arguments: list[str], folder: Path, env: dict[str, str] | None = None, **process: Any) -> Completed:
    return subprocess.run(
        [str(binary()), "ctl", *arguments],
        cwd=folder,
        env={**clean_environment(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
        **process,
    )


def ctl(server: Server, *arguments: str, **more: Any) -> Completed:
    return run(["-c", str(server.config), *arguments], Path("/"), **more)


def ask(server: Server, *arguments: str) -> Any:
    """The result of a command that works."""
    done = ctl(server, *arguments, "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def workers(server: Server) -> dict[str, dict[str, Any]]:
    return {worker["id"]: worker for worker in ask(server, "workers")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APPLICATION)
    (tmp_path / "bare.py").write_text(BARE)
    return tmp_path


@pytest.fixture
def serve(start: Callable[..., Server], folder: Path) -> Open:
    """A server with the application above: serve(workers=…, **tables)."""

    def start_one(target: str = "shop:app", *, workers: int = 1, ready: bool = True, **settings: Any) -> Server:
        more = {name: settings.pop(name) for name in ("process", "env", "prefix", "directory") if name in settings}
        directory = more.pop("directory", folder)
        return start(Spec(target, directory, workers=workers, settings=settings, **more), ready=ready)

    return start_one


def get(server: Server, target: str = "/") -> Response:
    return fetch(server.address, "GET", target)


def test_status(serve: Open) -> None:
    server = serve(workers=2)
    for _ in range(3):
        assert get(server).status == 200
    assert get(server, "/nowhere").status == 404

    def counted() -> bool:
        return bool(ask(server, "status")["requests"]["total"] == 4)

    eventually(counted, "all counted")
    told = ask(server, "status")
    assert told["pid"] == server.pid
    assert (told["state"], told["generation"], told["reloading"]) == ("ready", 1, False)
    assert told["addresses"] == [f"http://{server.address.authority}"]
    assert told["workers"] == {"ready": 2, "wanted": 2, "min": 2, "max": 2}
    assert told["requests"]["by_status"] == {"none": 0, "1xx": 0, "2xx": 3, "3xx": 0, "4xx": 1, "5xx": 0}
    assert told["requests"]["in_flight"] == 0
    assert told["queue"] == {"now": 0, "most": 2048}
    assert told["connections"]["most"] == 10000
    assert 1 << 20 < told["memory"]["gateway"] < 1 << 30
    assert 10 << 20 < told["memory"]["workers"] < 1 << 30
    assert 0 < told["uptime"] < 600
    text = ctl(server, "status").stdout
    for line in (
        rf"pyspeed-gw \S+, pid {server.pid}, up \S+",
        r"state        ready",
        r"workers      2 of 2 ready, generation 1",
        r"requests     4 ended \(2xx 3, 4xx 1\), 0 in workers",
    ):
        assert re.search(rf"^{line}$", text, re.M), text


def test_workers(serve: Open, folder: Path) -> None:
    server = serve(workers=2)
    with Connection(server.address) as waiting:
        waiting.send(request("GET", "/wait"))
        eventually((folder / "begun").exists, "begun")
        list_of = workers(server)
        assert {worker["pid"] for worker in list_of.values()} == set(server.workers())
        assert sorted(list_of) == ["1", "2"]
        assert sum(worker["in_flight"] for worker in list_of.values()) == 1
        assert sum(worker["requests"] for worker in list_of.values()) == 1
        for worker in list_of.values():
            assert (worker["state"], worker["generation"], worker["interface"]) == ("ready", 1, "wsgi")
            assert worker["rss"] > 5 << 20
        (folder / "gate").touch()
        assert waiting.read_response().status == 200
    head, *rows = ctl(server, "workers").stdout.splitlines()
    assert head.split() == ["ID", "PID", "STATE", "GENERATION", "AGE", "REQUESTS", "IN", "FLIGHT", "RSS", "REASON"]
    assert len(rows) == 2


@pytest.mark.limit(180)
def test_reload(start_shop: Callable[..., Shop], nonce: str) -> None:
    """It waits for the outcome; what was asked for meanwhile is answered, by the old workers or the new."""
    shop = start_shop("flask", "netpoll", workers=2)
    server = shop.server
    with Load(shop.address, nonce) as load:
        for generation in (2, 3):
            assert ask(server, "reload") == {"generation": generation, "applied": [], "restart": []}
            serving = [worker for worker in workers(server).values() if worker["state"] == "ready"]
            assert {worker["generation"] for worker in serving} == {generation}
            before = load.done
            eventually(lambda before=before: load.done > before + 20, "load goes on")  # type: ignore[misc]
    assert not load.failed()
    runs = shop.runs(nonce)
    assert {runs.get(outcome.nonce) for outcome in load.outcomes} == {1}


def test_reload_tells_what_changed(serve: Open) -> None:
    server = serve()
    server.spec.binds = ("127.0.0.1:0", "[::1]:0")
    server.configure(log={"level": "debug"}, workers={"threads": 3})
    done = ctl(server, "reload")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == [
        "changed: workers.threads, log.level",
        "changed, and not in effect until pyspeed-gw is started anew: server.bind",
    ]


@pytest.mark.limit(180)
def test_reload_that_fails(serve: Open, folder: Path) -> None:
    """The error, the traceback, exit code 1; the old code serves, and the next reload is none the worse."""
    server = serve()
    before = get(server).json()
    (folder / "shop.py").write_text("def broken():\n    raise RuntimeError('the price list is gone')\n\nbroken()\n")
    done = ctl(server, "reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'shop.py", line 2, in broken' in done.stderr
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"pyspeed-gw ctl: cannot reload, the workers are as they were: .*the price list is gone", last)
    done = ctl(server, "reload", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert "the price list is gone" in told["error"]
    assert "in broken" in told["traceback"]
    assert get(server).json() == before
    assert ask(server, "status")["generation"] == 1

    good = server.config.read_text()
    server.config.write_text(good + "[wrokers]\n")
    done = ctl(server, "reload")  # finds the socket, although the file does not say where it is
    assert done.returncode == 1
    assert re.search("all stays as it was: .*wrokers.*did you mean workers", done.stderr)
    server.config.write_text(good)
    (folder / "shop.py").write_text(APPLICATION)
    assert ctl(server, "reload").returncode == 0
    assert get(server).json() != before


def test_reload_that_takes_long(serve: Open, folder: Path) -> None:
    """Who waits hears of it, and may leave: the reload goes on."""
    server = serve(workers=2)
    (folder / "wait").touch()
    command = [str(binary()), "ctl", "-c", str(server.config), "reload"]
    waiting = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    left = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    with waiting, left:
        assert waiting.stderr and left.stderr
        pattern = r"waiting for generation 2: 0 of the 2 workers that were started are ready, for \d+s"
        while not re.match(pattern, line := waiting.stderr.readline()):
            assert line.startswith("waiting for"), line
        left.stderr.readline()
        left.send_signal(signal.SIGINT)
        left.wait(PATIENCE)
        assert ask(server, "status")["reloading"] is True
        (folder / "wait").unlink()
        out, _ = waiting.communicate(timeout=PATIENCE)
        assert (waiting.returncode, out.splitlines()[0][:9]) == (0, "reloaded:")
    eventually(lambda: not ask(server, "status")["reloading"], "through")


def test_drain(serve: Open) -> None:
    """The load balancer is told, connections end one by one, and who comes is served."""
    server = serve()
    assert server.admin
    with Connection(server.address) as kept, Connection(server.address) as idle:
        assert "close" not in kept.request("GET", "/").get("Connection")
        assert idle.request("GET", "/").status == 200
        assert ask(server, "drain") == {"drained": True}
        ready = fetch(server.admin, "GET", "/ready")
        assert (ready.status, ready.body) == (503, b"drained by pyspeed-gw ctl\n")
        assert fetch(server.admin, "GET", "/live").status == 200
        assert ask(server, "status")["state"] == "drained"
        for _ in range(3):
            assert get(server).status == 200
        last = kept.request("GET", "/")
        assert (last.status, last.get("Connection")) == (200, "close")
        kept.expect_closed()
        assert ctl(server, "reload").returncode == 0
        assert fetch(server.admin, "GET", "/ready").status == 503
        assert ask(server, "drain", "--undo") == {"drained": False}
        assert fetch(server.admin, "GET", "/ready").status == 200
        for _ in range(2):
            assert "close" not in idle.request("GET", "/").get("Connection")


@pytest.mark.limit(180)
def test_drain_one_worker(start_shop: Callable[..., Shop], nonce: str) -> None:
    """It is replaced, and no request is lost."""
    shop = start_shop("flask", "netpoll", workers=2)
    server = shop.server
    with Load(shop.address, nonce) as load:
        for _ in range(2):
            victim = min(workers(server))
            assert ask(server, "drain", victim) == {"worker": victim, "drained": True}
            eventually(lambda victim=victim: victim not in workers(server), f"{victim} is gone")  # type: ignore[misc]
            before = load.done
            eventually(lambda before=before: load.done > before + 20, "load goes on")  # type: ignore[misc]
    assert not load.failed()
    server.log.wait_for(r"stopped as asked: pyspeed-gw ctl asked for it", count=2)
    runs = shop.runs(nonce)
    assert {runs.get(outcome.nonce) for outcome in load.outcomes} == {1}


def test_add_and_remove(serve: Open) -> None:
    server = serve()
    for command, count in [(("add",), 2), (("add", "2"), 4), (("remove", "3"), 1), (("remove",), 1)]:
        assert ask(server, *command) == {"min": count, "max": count}
        eventually(lambda count=count: len(server.workers()) == count, f"{count} workers")  # type: ignore[misc]
    assert get(server).status == 200


def test_dump(serve: Open, folder: Path) -> None:
    """The stacks are in the log, and the answer says which."""
    server = serve(workers=2)
    with Connection(server.address) as waiting:
        waiting.send(request("GET", "/wait"))
        eventually((folder / "begun").exists, "begun")
        busy = next(worker["id"] for worker in workers(server).values() if worker["in_flight"])
        assert ask(server, "dump", busy) == {"log": "the server's standard error", "dumped": [busy]}
        server.log.wait_for(rf"in wait_at_the_gate worker={busy} ")
        log = folder / "own.log"
        server.configure(log={"file": str(log)})
        assert ctl(server, "reload").returncode == 0
        (folder / "gate").touch()
        assert waiting.read_response().status == 200
    done = ctl(server, "dump")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"the stacks of workers \S+, \S+ are in {log}\n", done.stdout), done.stdout
    eventually(lambda: len(re.findall(r"most recent call first.* worker=\d", log.read_text())) >= 2, "both stacks")


@pytest.mark.limit(180)
def test_kill(start_shop: Callable[..., Shop], nonce: str) -> None:
    """At once, and replaced: what had begun there gets 502, all else an answer."""
    shop = start_shop("flask", "netpoll", workers=2)
    server = shop.server
    with Load(shop.address, nonce) as load:
        for _ in range(2):
            ready = {worker["pid"]: worker["id"] for worker in workers(server).values() if worker["state"] == "ready"}
            victim = min(ready)
            assert ask(server, "kill", ready[victim]) == {"worker": ready[victim], "pid": victim}
            eventually(lambda victim=victim: not processes.alive(victim), "killed")  # type: ignore[misc]

            def replaced(victim: int = victim) -> bool:
                pids = {worker["pid"] for worker in workers(server).values() if worker["state"] == "ready"}
                return len(pids) == 2 and victim not in pids

            eventually(replaced, "replaced")
    assert_none_ran_twice(load.outcomes, shop.runs(nonce))
    server.log.wait_for("was killed: pyspeed-gw ctl killed it", count=2)


def test_no_such_worker(serve: Open) -> None:
    server = serve()
    for command in ("kill", "drain", "dump"):
        done = ctl(server, command, "77")
        assert (done.returncode, done.stdout) == (1, "")
        assert 'worker "77": there is no such worker' in done.stderr
    assert server.workers()


def test_while_starting(serve: Open, folder: Path) -> None:
    (folder / "wait").touch()
    server = serve(ready=False)
    server.log.wait_for("worker started")
    assert ask(server, "status")["state"] == "starting"
    assert [worker["state"] for worker in ask(server, "workers")] == ["starting"]
    (folder / "wait").unlink()
    assert ctl(server, "reload").returncode == 0
    assert ask(server, "status")["state"] == "ready"


def test_while_stopping(serve: Open, folder: Path) -> None:
    server = serve()
    with Connection(server.address) as waiting:
        waiting.send(request("GET", "/wait"))
        eventually((folder / "begun").exists, "begun")
        server.signal(signal.SIGTERM)
        server.log.wait_for("stopping: waiting")
        assert ask(server, "status")["state"] == "stopping"
        done = ctl(server, "reload")
        assert done.returncode == 1
        (folder / "gate").touch()
        assert waiting.read_response().status == 200
    assert server.wait_exit() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a command is missing"),
        (["stauts"], "did you mean status"),
        (["status", "--jsno"], "did you mean --json"),
        (["kill"], "the id of a worker is missing"),
        (["add", "x"], "a number from 1 to 1024"),
    ],
)
def test_wrong_usage(folder: Path, arguments: list[str], said: str) -> None:
    done = run(arguments, folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "pyspeed-gw ctl --help says more" in done.stderr


def test_no_gateway(serve: Open, folder: Path) -> None:
    """Never was, ended in order, was killed."""
    done = run(["status"], folder)
    assert done.returncode == 1
    assert "name the file with -c, or the socket with --socket" in done.stderr
    server = serve()
    sock = server.config.parent / "pyspeed.sock"
    assert sock.exists()
    server.stop()
    assert not sock.exists()
    done = ctl(server, "status")
    assert done.returncode == 1
    assert re.search(rf"cannot reach a gateway at {sock}: .*is it running\?", done.stderr)


def test_socket_of_a_killed_gateway(serve: Open, folder: Path) -> None:
    """It says that nobody listens, and the next gateway takes its place."""
    path = folder / "ctl.sock"
    server = serve(admin={"control": str(path)})
    server.kill()
    done = ctl(server, "status")
    assert done.returncode == 1
    assert "the gateway that made the socket is gone" in done.stderr
    server = serve(admin={"control": str(path)})
    assert ask(server, "status")["pid"] == server.pid


def test_socket_of_another_gateway(serve: Open, folder: Path) -> None:
    """It is left alone, with a warning; also when the second gateway ends."""
    path = folder / "ctl.sock"
    first = serve(admin={"control": str(path)})
    second = serve(admin={"control": str(path)})
    second.log.wait_for(
        "WARNING pyspeed-gw ctl will not work: .*another gateway listens there; .* option=admin.control"
    )
    assert get(second).status == 200
    assert ask(first, "status")["pid"] == first.pid
    second.stop()
    assert ask(first, "status")["pid"] == first.pid


def test_no_socket_is_no_error(serve: Open, folder: Path) -> None:
    """Something else is there, the path is too long, the option is off."""
    path = folder / "file"
    path.write_text("kept")
    server = serve(admin={"control": str(path)})
    server.log.wait_for("WARNING pyspeed-gw ctl will not work: .*is not a socket")
    assert (get(server).status, path.read_text()) == (200, "kept")
    deep = folder / ("x" * 100)
    deep.mkdir()
    server = serve(admin={"control": str(deep / "ctl.sock")})
    server.log.wait_for("WARNING pyspeed-gw ctl will not work: .*107; name a shorter one with --control")
    server = serve(admin={"control": "off"})
    assert b"control" not in server.log.since()
    assert not (server.config.parent / "pyspeed.sock").exists()
    assert "admin.control is off" in ctl(server, "status").stderr


def test_runtime_directory(serve: Open, folder: Path) -> None:
    """Where a service manager made a folder for it, the socket is there, and the operator finds it."""
    place = folder / "run" / "shop"
    place.mkdir(parents=True)
    env = {"RUNTIME_DIRECTORY": f"{place}:{folder}"}
    server = serve(env=env)
    assert stat.S_IMODE((place / "pyspeed.sock").stat().st_mode) == 0o600
    assert not (server.config.parent / "pyspeed.sock").exists()
    done = ctl(server, "status", "--json", env=env)
    assert json.loads(done.stdout)["pid"] == server.pid
    # An operator's shell does not have the variable.
    assert run(["--socket", "shop/pyspeed.sock", "status"], folder / "run").returncode == 0
    assert "its log says where" in ctl(server, "status").stderr.lower()
    server.log.wait_for(f"control socket at {place}/pyspeed.sock")


@needs_root
def test_read_only_file_system(serve: Open, public: Path) -> None:
    """A container without a writable disk, and a user whom no file knows: a warning, and service."""
    (public / "bare.py").write_text(BARE)
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    server = serve(
        "bare:app",
        directory=public,
        prefix=(
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            str(public),
            "setpriv",
            f"--reuid={STRANGER}",
            f"--regid={STRANGER}",
            "--clear-groups",
        ),
        app={"python": python_for_everybody()},
        admin={"control": str(public / "pyspeed.sock")},
        server={"user": str(STRANGER), "group": str(STRANGER)},
    )
    server.log.wait_for("WARNING pyspeed-gw ctl will not work: .*read-only file system")
    assert get(server).body == str(STRANGER).encode()
    assert b"ERROR" not in server.log.since()


@needs_root
def test_random_user(serve: Open, public: Path) -> None:
    """A user whom no file knows, beside files that are root's: a warning, and service."""
    (public / "bare.py").write_text(BARE)
    server = serve(
        "bare:app",
        directory=public,
        process={"user": STRANGER, "group": STRANGER, "extra_groups": []},
        app={"python": python_for_everybody()},
    )
    server.log.wait_for("WARNING pyspeed-gw ctl will not work: .*permission denied")
    assert get(server).body == str(STRANGER).encode()
    assert b"ERROR" not in server.log.since()


@needs_root
def test_who_may_give_commands(serve: Open, public: Path) -> None:
    """Root and the user that the gateway became: by the mode, and by what the kernel says of who connects."""
    (public / "bare.py").write_text(BARE)
    path = public / "ctl.sock"
    server = serve(
        "bare:app",
        directory=public,
        app={"python": python_for_everybody()},
        server={"user": str(STRANGER), "group": str(STRANGER)},
        admin={"control": str(path)},
    )
    info = path.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o600, STRANGER)

    def as_user(number: int) -> Completed:
        who = {"user": number, "group": number, "extra_groups": []}
        return run(["--socket", str(path), "status"], Path("/"), **who)

    assert ctl(server, "status").returncode == 0
    assert as_user(STRANGER).returncode == 0
    other = as_user(STRANGER + 1)
    assert other.returncode == 1
    assert "only root and the user that the gateway runs as may use it" in other.stderr
    path.chmod(0o666)
    other = as_user(STRANGER + 1)
    assert other.returncode == 1
    assert "only root and the gateway's own user may do that" in other.stderr
    server.log.wait_for(f"WARNING refused a command: .* user={STRANGER + 1}")


def test_bad_clients_hold_nothing(serve: Open) -> None:
    """Silent ones, and ones that talk nonsense, in numbers: requests go on, and so do commands after a moment."""
    server = serve()
    path = str(server.config.parent / "pyspeed.sock")
    silent = []
    try:
        for _ in range(100):
            one = socket.socket(socket.AF_UNIX)
            one.connect(path)
            silent.append(one)
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 10_000, b'{"command": "kill"', b"[]\n"):
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(PATIENCE)
                one.connect(path)
                try:
                    one.sendall(junk)
                    while one.recv(4096):
                        pass
                except ConnectionError:
                    pass
        assert get(server).status == 200
        eventually(lambda: ctl(server, "status").returncode == 0, "a command works")
    finally:
        for one in silent:
            one.close()
    assert get(server).status == 200


def test_run_app_has_no_socket(folder: Path) -> None:
    """Its caller operates it; unless the option names a socket."""
    program = """
import os, urllib.request
import pyspeed
from shop import app

with pyspeed.serving(app) as server:
    print(urllib.request.urlopen(server.url).status, os.path.exists("own.sock"), os.path.exists("pyspeed.sock"))
"""
    (folder / "pyspeed.toml").write_text("[log]\nlevel = 'info'\n")
    for env, there in [({}, False), ({"PYSPEED_ADMIN_CONTROL": str(folder / "own.sock")}, True)]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"200 {there} False\n"), done
    assert not os.path.exists(folder / "own.sock")
