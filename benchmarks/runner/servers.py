"""A server's life: starting it, proving that it answers, ending it."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import environments, files
from .cell import OURS, Cell
from .peers import PEERS, command_lines
from .place import Place, Ports, environment, free_ports
from .processes import Tree

START_SECONDS = 20.0
STOP_SECONDS = 5.0


class StartError(Exception):
    """A server could not be started, or did not answer the probe as the cell expects. `tail` is the end of its log."""

    def __init__(self, message: str, tail: list[str] | None = None) -> None:
        super().__init__(message)
        self.tail = tail or []


@dataclass
class Server:
    """A server that answered its probe. `commands` are as they were started, `log` holds what all of them wrote."""

    name: str
    tree: Tree
    ports: Ports
    commands: list[list[str]]
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
    return wrong_body(cell, body)


def wrong_body(cell: Cell, body: bytes) -> str:
    """What is wrong with the body of an answer to the probe, or ""."""
    if cell.expect_json is not None:
        try:
            same = json.loads(body) == cell.expect_json
        except ValueError:
            same = False
        return "" if same else f"the probe was answered with {body[:60]!r}, which is not the JSON text of the cell"
    if cell.expect is not None and body != cell.expect:
        return f"the probe was answered with {body[:60]!r}, not {cell.expect[:60]!r}"
    return ""


def obstacle(name: str, place: Place, cell: Cell) -> str:
    """Why a server cannot even be tried, with the remedy; "" when it can."""
    peer = PEERS[name]
    path = environment(place, cell)["PATH"]
    if name == OURS and not place.binary.exists():
        return f"{place.binary.name} was not built; run `make build`"
    for program in peer.needs:
        if shutil.which(program, path=path) is None:
            return f"there is no {program}; Debian: apt install {environments.PACKAGES[program]}"
    return environments.missing(place.venvs, cell.environment, peer.distribution)


@contextlib.contextmanager
def running(name: str, place: Place, cell: Cell) -> Iterator[Server]:
    """Starts a server, yields it when it answers, and always ends its whole tree.

    Raises StartError, with the last line of its log.
    """
    why = obstacle(name, place, cell)
    if why:
        raise StartError(f"cannot start {name}: {why}")
    if cell.files:
        files.make(place)
    ports = free_ports()
    commands = command_lines(name, place, cell, ports)
    log = place.work / f"{cell.name}-{name}.log"
    place.access_log.unlink(missing_ok=True)
    children: list[subprocess.Popen[bytes]] = []
    tree = Tree()
    try:
        with open(log, "ab") as output:
            output.truncate(0)
            for command in commands:
                try:
                    children.append(_start(command, place, cell, output.fileno()))
                except OSError as error:
                    raise StartError(f"cannot start {name}: {error}") from error
                tree = Tree(*children)
        _wait_ready(name, cell, ports, tree, log)
        yield Server(name, tree, ports, commands, log)
    finally:
        tree.stop(STOP_SECONDS)


def _start(command: list[str], place: Place, cell: Cell, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=place.directory(cell),
        env=environment(place, cell),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait_ready(name: str, cell: Cell, ports: Ports, tree: Tree, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    wrong = "nobody listens"
    while time.monotonic() < deadline:
        ended = tree.ended()
        if ended is not None:
            tail = log_tail(log)
            raise StartError(f"cannot start {name}: it exited with {ended.returncode}: {last_line(tail)}", tail)
        try:
            wrong = probe(cell, ports.http)
        except OSError as error:
            wrong = str(error)
        if not wrong:
            return
        time.sleep(0.05)
    tail = log_tail(log)
    raise StartError(f"cannot start {name}: after {START_SECONDS:.0f} s {wrong}: {last_line(tail)}", tail)
