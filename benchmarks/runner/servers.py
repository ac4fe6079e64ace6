"""The servers: their command lines, starting one, proving that it answers, ending it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .cells import OURS, Cell
from .processes import Tree

START_SECONDS = 20.0
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """Where things are. `work` is a directory for logs that outlives no run."""

    venv: Path
    binary: Path
    apps: Path
    wrk: Path
    work: Path
    server_cores: str
    load_cores: str


@dataclass(frozen=True)
class Ports:
    http: int
    admin: int


class StartError(Exception):
    """A server could not be started, or did not answer the probe as the cell expects. `tail` is the end of its log."""

    def __init__(self, message: str, tail: list[str] | None = None) -> None:
        super().__init__(message)
        self.tail = tail or []


Command = Callable[[Place, Cell, Ports], "list[str]"]


def _ours(place: Place, cell: Cell, ports: Ports) -> list[str]:
    return [
        str(place.binary),
        *("-w", "1", "-b", f"127.0.0.1:{ports.http}"),
        *("--set", "log.access=combined", "--access-logfile", str(access_log(place))),
        *("--set", f"admin.bind=127.0.0.1:{ports.admin}"),
        cell.app,
    ]


def _granian(interface: str, *options: str) -> Command:
    def command(place: Place, cell: Cell, ports: Ports) -> list[str]:
        return [
            str(place.venv / "bin/granian"),
            *("--interface", interface, "--host", "127.0.0.1", "--port", str(ports.http)),
            *("--workers", "1", "--http", "1", "--no-ws", "--no-access-log", "--log-level", "warning"),
            *options,
            cell.app,
        ]

    return command


def _uvicorn(interface: str) -> Command:
    def command(place: Place, cell: Cell, ports: Ports) -> list[str]:
        return [
            str(place.venv / "bin/uvicorn"),
            *("--interface", interface, "--host", "127.0.0.1", "--port", str(ports.http)),
            *("--workers", "1", "--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning"),
            cell.app,
        ]

    return command


def _gunicorn(*options: str) -> Command:
    def command(place: Place, cell: Cell, ports: Ports) -> list[str]:
        return [
            str(place.venv / "bin/gunicorn"),
            *("--bind", f"127.0.0.1:{ports.http}", "--workers", "1", "--log-level", "warning"),
            # Its default of 1,000 would turn clients of the 1,000-connection cell away;
            # the control socket would be written into the user's home.
            *("--worker-connections", "2000", "--no-control-socket"),
            *options,
            cell.app,
        ]

    return command


COMMANDS: dict[str, Command] = {
    OURS: _ours,
    "granian-wsgi": _granian("wsgi", "--blocking-threads", "1"),
    "granian-wsgi-64": _granian("wsgi", "--blocking-threads", "64"),
    "granian-wsgi-pipeline": _granian("wsgi", "--blocking-threads", "1", "--http1-pipeline-flush"),
    "granian-asgi": _granian("asgi", "--loop", "uvloop"),
    "uvicorn": _uvicorn("asgi3"),
    "uvicorn-wsgi": _uvicorn("wsgi"),
    "gunicorn-gthread": _gunicorn("-k", "gthread", "--threads", "4"),
    "gunicorn-gthread-64": _gunicorn("-k", "gthread", "--threads", "64"),
    "gunicorn-asgi": _gunicorn("-k", "asgi", "--asgi-loop", "uvloop"),
}


def command_line(name: str, place: Place, cell: Cell, ports: Ports) -> list[str]:
    """The command of a server, pinned to the servers' cores."""
    return ["taskset", "-c", place.server_cores, *COMMANDS[name](place, cell, ports)]


def environment(place: Place) -> dict[str, str]:
    """The caller's environment, less what would change a server behind the command line's back."""
    settings = ("GRANIAN_", "UVICORN_", "GUNICORN_", "PYSPEED_", "PYTHON", "OTEL_")
    plain = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG")
    env = {k: v for k, v in os.environ.items() if not k.startswith(settings) and k not in plain}
    env["VIRTUAL_ENV"] = str(place.venv)
    env["PATH"] = f"{place.venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # leave nothing beside the applications
    return env


def access_log(place: Place) -> Path:
    return place.work / "access.log"


def free_ports() -> Ports:
    """Two ports that were free a moment ago."""
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        return Ports(a.getsockname()[1], b.getsockname()[1])


@dataclass
class Server:
    """A server that answered its probe."""

    name: str
    tree: Tree
    ports: Ports
    command: list[str]
    log: Path


def log_tail(log: Path) -> list[str]:
    """The last lines of a log that say something, at most 30."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip()[:300] for line in text.splitlines() if line.strip()][-30:]


def last_line(tail: list[str]) -> str:
    """For a message of one line."""
    return tail[-1].strip() if tail else "it logged nothing"


def probe(cell: Cell, port: int) -> str:
    """Asks once as the cell will ask; returns what is wrong with the answer, or "".

    Raises OSError while nobody listens.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        if cell.body is None:
            connection.request("GET", cell.path)
        else:
            connection.request("POST", cell.path, cell.body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        return f"the probe's answer is not HTTP: {error!r}"
    finally:
        connection.close()
    if answer.status != 200:
        return f"the probe was answered with {answer.status}"
    if cell.expect is not None and body != cell.expect:
        return f"the probe was answered with {body[:60]!r}, not {cell.expect[:60]!r}"
    return ""


@contextlib.contextmanager
def running(name: str, place: Place, cell: Cell) -> Iterator[Server]:
    """Starts a server, yields it when it answers, and always ends its whole tree.

    Raises StartError, with the last line of its log.
    """
    ports = free_ports()
    command = command_line(name, place, cell, ports)
    if name == OURS and not place.binary.exists():
        raise StartError(f"cannot start {name}: {place.binary.name} was not built; run `make build`")
    log = place.work / f"{cell.name}-{name}.log"
    access_log(place).unlink(missing_ok=True)
    with open(log, "wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=place.apps,
                env=environment(place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"cannot start {name}: {error}") from error
    tree = Tree(process)
    try:
        _wait_ready(name, cell, ports, process, log)
        yield Server(name, tree, ports, command, log)
    finally:
        tree.stop(STOP_SECONDS)


def _wait_ready(name: str, cell: Cell, ports: Ports, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    wrong = "nobody listens"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = log_tail(log)
            raise StartError(f"cannot start {name}: it exited with {process.returncode}: {last_line(tail)}", tail)
        try:
            wrong = probe(cell, ports.http)
        except OSError as error:
            wrong = str(error)
        if not wrong:
            return
        time.sleep(0.05)
    tail = log_tail(log)
    raise StartError(f"cannot start {name}: after {START_SECONDS:.0f} s {wrong}: {last_line(tail)}", tail)


def free_work_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyspeed-bench-")
