"""What signals do to a running server, with a Flask application and load: reloads, logs, workers."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Shop
from harness.client import PATIENCE, Address, Connection, Response, fetch
from harness.load import Load
from harness.server import Server, Spec, binary, clean_environment
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

# What it answers with is decided when it is imported.
APPLICATION = """
import os, sys, time
from flask import Flask, request

NAME = os.environ.get("NAME", "nobody")
app = Flask(__name__)

@app.get("/")
def home():
    return {"pid": os.getpid(), "name": NAME}

@app.post("/length")
def length():
    return {"length": len(request.get_data())}

@app.get("/print")
def printing():
    for n in range(int(request.args["lines"])):
        print(f"line {n} of", request.args["mark"], "x" * 200)
    return "printed"

while os.path.exists("wait"):
    time.sleep(0.01)
"""

Open = Callable[..., Server]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APPLICATION)
    return tmp_path


@pytest.fixture
def serve(start: Callable[..., Server], folder: Path) -> Open:
    """A server with the application above: serve(workers=…, **tables)."""

    def start_one(target: str = "shop:app", *, workers: int = 1, ready: bool = True, **settings: Any) -> Server:
        return start(Spec(target, folder, workers=workers, settings=settings), ready=ready)

    return start_one


def get(server: Server, target: str = "/") -> Response:
    return fetch(server.address, "GET", target)


def test_hup_reads_everything_again(serve: Open, folder: Path) -> None:
    """The file, app.env_file and the code, from the same command line; options that apply at once do."""
    env = folder / "shop.env"
    env.write_text("NAME=first\n")
    server = serve(app={"env_file": str(env)}, log={"level": "info"})
    assert get(server).json()["name"] == "first"
    env.write_text("NAME=second\n")
    (folder / "other.py").write_text("from shop import app\n\n@app.get('/other')\ndef other():\n    return 'other'\n")
    server.spec.target = "other:app"
    server.configure(log={"level": "warning"})
    mark = server.log.mark()
    old = server.workers()
    server.signal(signal.SIGHUP)

    def is_new() -> bool:
        return get(server).json()["name"] == "second" and get(server, "/other").body == b"other"

    eventually(is_new, "the new application answers")
    eventually(lambda: not set(server.workers()) & set(old), "the old workers are gone")
    assert b" INFO " not in server.log.since(mark), "the new log.level does not apply"


@pytest.mark.limit(240)
def test_hup_under_load(start_shop: Callable[..., Shop], nonce: str) -> None:
    """Ten of them, by two in quick succession: no request is lost, and none runs twice."""
    shop = start_shop("flask", "netpoll", workers=2)
    server = shop.server
    with Load(shop.address, nonce) as load:
        for turn in range(5):
            mark, before = server.log.mark(), load.done
            server.signal(signal.SIGHUP)
            server.signal(signal.SIGHUP)
            server.log.wait_for("reloaded generation", since=mark)
            eventually(lambda before=before: load.done > before + 20, f"load goes on, {turn}")  # type: ignore[misc]
    assert not load.failed()
    runs = shop.runs(nonce)
    assert {runs.get(outcome.nonce) for outcome in load.outcomes} == {1}


@pytest.mark.limit(180)
def test_hup_with_a_broken_configuration(serve: Open) -> None:
    server = serve(workers=2)
    workers = server.workers()
    good = server.config.read_text()
    for broken, said in [
        ('[app]\ntarget = "shop:app"\n[workers]\ncuont = 3\n', r"unknown key workers\.cuont .*did you mean"),
        ("[app\n", r"pyspeed\.toml:[12]: "),
        (good.replace("shop:app", "shop:nothing"), "cannot import the application.*no attribute 'nothing'"),
        (good + '[log]\naccess = "json"\naccess_file = "no/such/folder/x"\n', "access_file"),
    ]:
        mark = server.log.mark()
        server.config.write_text(broken)
        server.signal(signal.SIGHUP)
        server.log.wait_for(r" ERROR cannot reload, [^:]* as (it was|they were): .*" + said, since=mark)
        assert get(server).status == 200
        assert server.workers() == workers
    server.config.write_text(good)
    mark = server.log.mark()
    server.signal(signal.SIGHUP)
    server.log.wait_for("reloaded generation", since=mark)


def test_hup_shows_the_traceback(serve: Open, folder: Path) -> None:
    server = serve()
    before = get(server).json()
    (folder / "shop.py").write_text("def broken():\n    raise RuntimeError('the price list is gone')\n\nbroken()\n")
    mark = server.log.mark()
    server.signal(signal.SIGHUP)
    server.log.wait_for("cannot reload, .*the price list is gone", since=mark)
    assert b'shop.py", line 2, in broken' in server.log.since(mark)
    assert get(server).json() == before
    (folder / "shop.py").write_text(APPLICATION)
    server.signal(signal.SIGHUP)
    eventually(lambda: get(server).json()["pid"] != before["pid"], "mended")


def test_hup_changes_limits_at_once(serve: Open) -> None:
    """Also for a connection that is open, and also where the new workers do not start."""
    server = serve()
    with Connection(server.address) as connection:
        assert connection.request("POST", "/length", (), b"x" * 2000).json() == {"length": 2000}
        mark = server.log.mark()
        server.configure(**{"server.limits": {"body": 1000, "header_bytes": 1024}})
        server.signal(signal.SIGHUP)
        server.log.wait_for("the configuration has changed", since=mark)
        assert connection.request("POST", "/length", (), b"x" * 900).json() == {"length": 900}
        assert connection.request("POST", "/length", (), b"x" * 2000).status == 413
    assert fetch(server.address, "GET", "/", [("X-Long", "x" * 1500)]).status == 431
    server.configure(app={"target": "shop:nothing"}, **{"server.limits": {"body": 100}})
    mark = server.log.mark()
    server.signal(signal.SIGHUP)
    server.log.wait_for("cannot reload", since=mark)
    assert fetch(server.address, "POST", "/length", (), b"x" * 900).status == 413


def test_hup_names_what_needs_a_restart(serve: Open) -> None:
    server = serve()
    server.spec.binds = ("127.0.0.1:0", "127.0.0.2:0")
    server.configure(admin={"control": "off"}, workers={"queue": 7})
    for _ in range(2):  # it is told each time
        mark = server.log.mark()
        server.signal(signal.SIGHUP)
        server.log.wait_for("reloaded generation", since=mark)
        told = re.findall(rb"WARNING .* until pyspeed-gw is started anew option=(\S+)", server.log.since(mark))
        assert told == [b"server.bind", b"admin.control"]
    assert len(re.findall(rb"the configuration has changed options=\[workers.queue\]", server.log.since())) == 1
    assert get(server).status == 200


def test_hup_while_starting(serve: Open, folder: Path) -> None:
    """It ends nothing, and is done once the start is through."""
    (folder / "wait").touch()
    server = serve(ready=False)
    server.log.wait_for("worker started")
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGTTIN)
    server.signal(signal.SIGUSR1)
    server.log.wait_for("logs opened anew")
    (folder / "wait").unlink()
    server.wait_until_listening()
    server.log.wait_for("reloaded generation")
    eventually(lambda: len(server.workers()) == 2, "one worker more")


def test_ttin_and_ttou(serve: Open) -> None:
    """One worker more, one fewer; one always stays."""
    server = serve(workers=2)
    for number, count in [(signal.SIGTTIN, 3), (signal.SIGTTIN, 4), (signal.SIGTTOU, 3), (signal.SIGTTOU, 2)]:
        server.signal(number)
        eventually(lambda count=count: len(server.workers()) == count, f"{count} workers")  # type: ignore[misc]
    for _ in range(5):
        server.signal(signal.SIGTTOU)
    eventually(lambda: len(server.workers()) == 1, "one worker")
    assert get(server).status == 200
    mark = server.log.mark()
    server.signal(signal.SIGHUP)
    server.log.wait_for("reloaded generation", since=mark)
    assert get(server).status == 200


def lines_of(folder: Path, name: str) -> list[str]:
    """All lines of a log and of what it was renamed to."""
    text = [path.read_text() for path in sorted(folder.glob(name + "*"))]
    assert all(part.endswith("\n") for part in text if part)
    return [line for part in text for line in part.splitlines()]


@pytest.mark.limit(180)
def test_usr1_rotates_under_load(start_shop: Callable[..., Shop], tmp_path: Path, nonce: str) -> None:
    """Thirty rotations: every request has its line in one of the files, and so has every line that was printed."""
    logs = tmp_path / "logs"
    logs.mkdir()
    access, own = logs / "access.log", logs / "own.log"
    shop = start_shop(
        "flask", "netpoll", workers=2, settings={"log": {"access": "combined", "access_file": str(access)}}
    )
    server = shop.server
    server.configure(log={"file": str(own)})
    server.signal(signal.SIGHUP)
    eventually(lambda: own.exists() and "reloaded generation" in own.read_text(), "the log moved")
    with Load(shop.address, nonce, clients=8) as load:
        for turn in range(30):
            before = load.done
            for log in (access, own):
                log.rename(log.with_name(f"{log.name}.{turn:02}"))
            server.signal(signal.SIGUSR1)
            eventually(lambda: access.exists() and own.exists(), "new files")
            eventually(lambda before=before: load.done > before + 10, "load")  # type: ignore[misc]
    assert not load.failed()
    server.stop()
    lines = lines_of(logs, "access.log")
    line = re.compile(r'^127\.0\.0\.1 - - \[[^]]+\] "(GET|POST) /\S* HTTP/1\.1" 200 \d+ "-" "-"$')
    assert [text for text in lines if not line.match(text)] == []
    assert len([text for text in lines if "/nonce" in text]) == len(load.outcomes)
    stamp = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (INFO|WARNING|ERROR) ")
    own_lines = lines_of(logs, "own.log")
    assert [text for text in own_lines if not stamp.match(text)] == []
    assert len([text for text in own_lines if text.endswith("logs opened anew")]) == 30


def test_usr1_that_cannot_open(serve: Open, folder: Path) -> None:
    """The old file stays in use, and the log says so; both are opened as soon as that is possible."""
    logs = folder / "logs"
    logs.mkdir()
    server = serve(log={"access": "json", "access_file": str(logs / "access.log")})
    assert get(server, "/?1").status == 200
    logs.rename(folder / "moved")
    mark = server.log.mark()
    server.signal(signal.SIGUSR1)
    server.log.wait_for(r"ERROR cannot open the access log: .*no such file.*lines go to the old file", since=mark)
    assert get(server, "/?2").status == 200
    eventually(lambda: len((folder / "moved" / "access.log").read_text().splitlines()) == 2, "the old file is written")
    logs.mkdir()
    server.signal(signal.SIGUSR1)
    eventually((logs / "access.log").exists, "a new file")
    assert get(server, "/?3").status == 200
    eventually(lambda: "/?3" in (logs / "access.log").read_text(), "the new file is written")


def test_logs_move_at_hup(serve: Open, folder: Path) -> None:
    server = serve()
    access = folder / "access.log"
    server.configure(log={"access": "json", "access_file": str(access)})
    mark = server.log.mark()
    server.signal(signal.SIGHUP)
    server.log.wait_for("the configuration has changed", since=mark)
    assert get(server, "/?1").status == 200
    eventually(lambda: "/?1" in access.read_text(), "the line")
    server.configure(log={"access": "off"})
    mark = server.log.mark()
    server.signal(signal.SIGHUP)
    server.log.wait_for("the configuration has changed", since=mark)
    assert get(server, "/?2").status == 200
    server.stop()
    assert "/?2" not in access.read_text()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(binary()), *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_log_that_cannot_be_opened_at_the_start(folder: Path) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / "loop").symlink_to("loop")
    for flag, said in [
        ("--log-file", r"cannot open the log: .*logs/loop: too many levels.*; set log\.file"),
        ("--access-logfile", "cannot open the access log: .*logs/loop: too many levels"),
    ]:
        ended = run(folder, "shop:app", flag, "logs/loop", "--bind", "127.0.0.1:0")
        assert ended.returncode == 1
        assert re.search(said, ended.stderr), ended.stderr
    assert run(folder, "shop:app", "--log-file", "no/such", "--bind", "127.0.0.1:0").returncode == 1


def test_why_it_ends_is_in_the_log_file(folder: Path) -> None:
    """Also where standard error is nobody's."""
    (folder / "broken.py").write_text("raise RuntimeError('no database')\n")
    ended = run(folder, "broken:app", "--log-file", "own.log", "--bind", "127.0.0.1:0", "--python", sys.executable)
    assert ended.returncode == 4
    assert "no database" in ended.stderr
    log = (folder / "own.log").read_text()
    assert 'broken.py", line 1' in log
    assert re.search("ERROR pyspeed-gw ends: cannot import the application: .*no database", log), log


class Piped:
    """A server whose standard error is a pipe that nobody reads."""

    def __init__(self, folder: Path) -> None:
        reading, writing = os.pipe()
        self.reading = reading
        command = [str(binary()), "shop:app", "--bind", f"unix:{folder}/s", "-w", "1", "--python", sys.executable]
        self.process = subprocess.Popen(command, cwd=folder, env=clean_environment(), stderr=writing)
        os.close(writing)

    def close(self) -> None:
        os.close(self.reading)
        self.reading = -1

    def read(self) -> threading.Thread:
        """Reads, and throws away, what comes from now on."""
        self.text = b""

        def collect() -> None:
            while data := os.read(self.reading, 65536):
                self.text += data

        thread = threading.Thread(target=collect)
        thread.start()
        return thread

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def piped(folder: Path) -> Any:
    one = Piped(folder)
    address = Address.parse(f"unix:{folder}/s")
    try:
        eventually(lambda: fetch(address, "GET", "/").status == 200, "ready")
        yield one, address
    finally:
        one.process.kill()
        one.process.wait()
        if one.reading >= 0:
            os.close(one.reading)


def test_stuck_log_stops_nothing(piped: Any) -> None:
    """Requests are answered while nobody takes the log's lines; how many were lost is told once somebody does."""
    server, address = piped
    for _ in range(20):
        assert fetch(address, "GET", "/print?mark=stuck&lines=1000").status == 200
    server.process.send_signal(signal.SIGHUP)
    before = fetch(address, "GET", "/").json()["pid"]
    eventually(lambda: fetch(address, "GET", "/").json()["pid"] != before, "reloaded")
    reader = server.read()
    eventually(lambda: b"lines of this log were lost" in server.text or b"dropped" in server.text, "told")
    assert fetch(address, "GET", "/print?mark=after&lines=3").status == 200
    eventually(lambda: server.text.count(b"of after x") == 3, "the log goes on")
    assert server.stop() == 0
    reader.join(60)


def test_stuck_log_does_not_hold_the_end(piped: Any) -> None:
    server, address = piped
    for _ in range(10):
        assert fetch(address, "GET", "/print?mark=stuck&lines=1000").status == 200
    assert server.stop() == 0


def test_log_whose_reader_is_gone(piped: Any) -> None:
    """The shell's pipe broke: no reason to end."""
    server, address = piped
    server.close()
    for _ in range(3):
        assert fetch(address, "GET", "/print?mark=gone&lines=3").status == 200
    server.process.send_signal(signal.SIGHUP)
    before = fetch(address, "GET", "/").json()["pid"]
    eventually(lambda: fetch(address, "GET", "/").json()["pid"] != before, "reloaded")
    assert server.stop() == 0


@pytest.mark.parametrize("development", [True, False])
def test_terminal_that_is_closed(folder: Path, development: bool) -> None:
    """With --reload somebody works there: then the server ends, and gives its address back. Else HUP is a reload."""
    ours, theirs = pty.openpty()
    path = folder / "own.log"
    more = ["--reload"] if development else []
    command = [str(binary()), "shop:app", "--bind", f"unix:{folder}/s", "-w", "1", "--python", sys.executable, *more]
    process = subprocess.Popen(
        [*command, "--log-file", str(path)],
        cwd=folder,
        env=clean_environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        eventually(lambda: "listening on" in path.read_text(), "listening")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "reloaded generation=2" in path.read_text(), "reloaded")
        os.close(ours)
        if development:
            assert process.wait(PATIENCE) == 0
        else:
            eventually(lambda: "reloaded generation=3" in path.read_text(), "reloaded")
            process.terminate()
            assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_pid_file(serve: Open, folder: Path) -> None:
    """It is whole, not written over another gateway's, and removed by its owner alone."""
    path = folder / "gw.pid"
    path.write_text("4194305\n")  # beyond the largest process id: nobody's
    server = serve(server={"pid": str(path)})
    assert path.read_text() == f"{server.pid}\n"
    ended = run(folder, "shop:app", "--pid", str(path), "--bind", "127.0.0.1:0")
    assert ended.returncode == 1
    assert re.search(
        rf"a gateway runs already as process {server.pid}; stop it \(kill {server.pid}\), or", ended.stderr
    )
    assert path.read_text() == f"{server.pid}\n"
    assert [name for name in os.listdir(folder) if "gw.pid" in name] == ["gw.pid"]
    server.stop()
    assert not path.exists()
    path.write_text(f"{os.getpid()}\n")  # runs, and is no gateway
    server = serve(server={"pid": str(path)})
    assert path.read_text() == f"{server.pid}\n"
    path.write_text("1\n")
    server.stop()
    assert path.read_text() == "1\n", "somebody else's file was removed"
