"""One server, some edits: the time from the closing of the file until the new text is served."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .servers import App, Server

PATIENCE = 60.0
POLL = 0.005  # seconds between two requests: the server's own work is to have the processor


class NoAnswer(Exception):
    """A server that cannot be measured; the text says why."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def front_page(port: int) -> str:
    """The front page as it is now; "" where nobody answers, or not with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read().decode()
        return body if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def wait_for(port: int, text: str, process: subprocess.Popen[bytes], log: Path) -> float:
    """Asks until the page has the text; the time of the answer, on the monotonic clock."""
    end = time.monotonic() + PATIENCE
    while text not in front_page(port):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace")[-2000:]
            raise NoAnswer(f"{text!r} was not served ({process.poll()}): {said}")
        time.sleep(POLL)
    return time.monotonic()


@contextmanager
def running(server: Server, app: App, python: str, binary: Path) -> Iterator[tuple[Path, int, subprocess.Popen[bytes]]]:
    """The server with a copy of the application that may be edited: the copy, the port, the process."""
    with tempfile.TemporaryDirectory(prefix="reload-") as name:
        folder = Path(name) / "app"
        shutil.copytree(app.source, folder, ignore=shutil.ignore_patterns("__pycache__", "pyspeed.toml"))
        port = free_port()
        environment = {**os.environ, **dict(server.environment), "SHOP_DB": str(Path(name) / "shop.sqlite3")}
        for variable in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(variable, None)
        log = Path(name) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                server.command(app, python, binary, port),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield folder, port, process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and whatever it has started: the group is its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            time.sleep(0.2)  # its children are told by the signal too
    process.wait()


def edits(server: Server, app: App, python: str, binary: Path, count: int, seed: int) -> list[float]:
    """Seconds from the closing of the file to the answer, of each of `count` edits."""
    pauses = random.Random(seed)  # the same for every server of a round
    with running(server, app, python, binary) as (folder, port, process):
        log = folder.parent / "log"
        wait_for(port, app.before, process, log)
        path = folder / app.file
        source = path.read_text()
        times = []
        for number in range(count + 1):
            # As a person takes, and out of step with whoever looks at files from time to time.
            time.sleep(1.5 + pauses.random())
            text = f"{app.before} {number}."
            edited = source.replace(app.before, text)
            with path.open("w") as file:
                file.write(edited)
            closed = time.monotonic()
            served = wait_for(port, text, process, log)
            if number > 0:  # the first one warms caches
                times.append(served - closed)
        return times
