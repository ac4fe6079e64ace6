"""``breakpoint()`` under ``--reload``: the request's debugger has the gateway's terminal."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.client import Address, fetch
from harness.program import Program
from harness.waiting import eventually
from harness.zoo import DIRECTORY

pytestmark = [
    pytest.mark.pyspeed,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the terminal is not offered"),
]

KINDS = ("wsgi", "asgi")
PROMPT = r"\(Pdb\) "


class Request(threading.Thread):
    """A request in the background; ``outcome()`` is its body, or the status where that is not 200."""

    def __init__(self, address: Address, target: str) -> None:
        super().__init__(daemon=True)
        self._address, self._target = address, target
        self._outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            answer = fetch(self._address, "GET", self._target)
            self._outcome = answer.body if answer.status == 200 else answer.status
        except Exception as error:
            self._outcome = error

    def outcome(self) -> Any:
        self.join(30)
        assert not self.is_alive(), "no answer"
        return self._outcome


class Development:
    """A gateway with ``--reload`` on a terminal of its own."""

    def __init__(
        self, kind: str, folder: Path, *options: str, env: dict[str, str] | None = None, directory: Path = DIRECTORY
    ) -> None:
        command = ["-m", "pyspeed", f"debugging:{kind}", "--reload", "-b", "127.0.0.1:0", *options]
        if "PYSPEED_TEST_PYTHON" in os.environ:  # pdb is not the same in all versions
            command += ["--set", f"app.python={os.environ['PYSPEED_TEST_PYTHON']}"]
        self.program = Program(
            *command,
            directory=directory,
            env={"TERM": "dumb", "ZOO_RUNS": str(folder / "runs"), "PYTHONBREAKPOINT": "", **(env or {})},
        )
        url = self.program.log.wait_for(r"listening on (http://\S+)")[0][1].decode()
        self.address = Address.parse(url)

    def get(self, target: str) -> Any:
        return Request(self.address, target)

    def worker(self) -> int:
        """The one that serves; another process may wait to be the next."""
        return int(fetch(self.address, "GET", "/pid").body)

    def prompt(self, since: int = 0) -> int:
        """Waits for a prompt; returns where the log goes on."""
        self.program.log.wait_for(PROMPT, since=since)
        return self.program.log.mark()

    def foreground(self) -> int:
        return os.tcgetpgrp(self.program._terminal)

    def has_terminal_again(self) -> None:
        eventually(lambda: self.foreground() == self.program.pid, "the gateway is the foreground job")


@pytest.fixture
def develop(tmp_path: Path) -> Iterator[Callable[..., Development]]:
    started: list[Development] = []

    def start(kind: str, *options: str, **more: Any) -> Development:
        one = Development(kind, tmp_path, *options, **more)
        started.append(one)
        return one

    yield start
    for one in started:
        one.program.stop()


@pytest.mark.parametrize("path", ["/break", "/trace"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_breakpoint_has_the_terminal(develop: Callable[..., Development], kind: str, path: str) -> None:
    site = develop(kind, "-w", "1")
    worker = site.worker()
    request = site.get(path)
    mark = site.prompt()
    assert site.foreground() == worker
    site.program.type("p secret.upper()\n")
    site.program.log.wait_for("'SECRET'", since=mark)
    if kind == "wsgi":
        assert fetch(site.address, "GET", "/ok").body == b"ok", "others are served meanwhile"
    site.program.type("c\n")
    assert request.outcome() == (b"secret.." if path == "/break" else b"secret")
    site.has_terminal_again()
    # Ctrl-C is the server's again.
    site.program.type("\x03")
    assert site.program.wait_exit() == 0, str(site.program.log)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_keep_the_terminal_until_the_request_ends(develop: Callable[..., Development], kind: str) -> None:
    site = develop(kind, "-w", "1")
    worker = site.worker()
    request = site.get("/break")
    mark = site.prompt()
    for _ in range(2):
        site.program.type("n\n")
        mark = site.prompt(mark)
        assert site.foreground() == worker
    site.program.type("p secret\n")
    site.program.log.wait_for(r"'secret\.'|'secret\.\.'", since=mark)
    site.program.type("r\n")
    site.prompt(mark)
    site.program.type("c\n")
    assert request.outcome() == b"secret.."
    site.has_terminal_again()
    assert fetch(site.address, "GET", "/ok").body == b"ok"


@pytest.mark.parametrize("kind", KINDS)
def test_quit_ends_the_request_and_not_the_server(develop: Callable[..., Development], kind: str) -> None:
    site = develop(kind, "-w", "1")
    worker = site.worker()
    for answer in ("q\n", "\x04"):  # Ctrl-D
        mark = site.program.log.mark()
        request = site.get("/break")
        site.prompt(mark)
        site.program.type(answer)
        assert request.outcome() == 500
        site.has_terminal_again()
    assert fetch(site.address, "GET", "/ok").body == b"ok"
    assert site.worker() == worker


def test_post_mortem(develop: Callable[..., Development]) -> None:
    site = develop("wsgi", "-w", "1")
    request = site.get("/dead")
    mark = site.prompt()
    site.program.type("p secret[::-1]\n")
    site.program.log.wait_for("'terces'", since=mark)
    site.program.type("q\n")
    assert request.outcome() == b"secret"
    site.has_terminal_again()


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_is_for_the_debugged_code(develop: Callable[..., Development], kind: str, tmp_path: Path) -> None:
    """It interrupts a step that takes too long; the server goes on."""
    site = develop(kind, "-w", "1", "--threads", "1")
    request = site.get("/long")
    mark = site.prompt()
    if b"-> breakpoint()" in site.program.log.since():  # from Python 3.13 on it stops there, not behind
        site.program.type("n\n")
        mark = site.prompt(mark)
    site.program.type("n\n")
    runs = tmp_path / "runs"
    eventually(lambda: runs.exists() and "asleep" in runs.read_text(), "the step")
    site.program.type("\x03")
    site.program.log.wait_for("KeyboardInterrupt", since=mark)
    site.prompt(mark)
    site.program.type("c\n")
    assert request.outcome() == 500
    site.has_terminal_again()
    assert fetch(site.address, "GET", "/ok").body == b"ok"


def test_one_debugger_at_a_time(develop: Callable[..., Development]) -> None:
    """Two requests in one worker, and one in another perhaps: each has its turn."""
    site = develop("wsgi", "-w", "2")
    requests = [site.get("/break") for _ in range(4)]
    mark = 0
    for turn in range(4):
        mark = site.prompt(mark)
        assert site.program.log.since().count(b"(Pdb) ") == turn + 1
        site.program.type("c\n")
    assert [request.outcome() for request in requests] == [b"secret.."] * 4
    site.has_terminal_again()


def test_limits_wait_for_the_developer(develop: Callable[..., Development]) -> None:
    site = develop("asgi", "-w", "1", "--timeout", "1s", "--timeout-request", "1s", "--timeout-request-soft", "500ms")
    worker = site.worker()
    request = site.get("/break")
    mark = site.prompt()
    site.program.log.wait_for("somebody debugs the worker: its time limits wait")
    site.program.type("p secret\n")
    site.program.log.wait_for("'secret'", since=mark)
    site.program.type("c\n")
    assert request.outcome() == b"secret.."
    assert site.worker() == worker


def test_a_reload_lets_the_debugged_request_finish(develop: Callable[..., Development], tmp_path: Path) -> None:
    """Old code has 2 s to finish what it has begun; a developer takes longer."""
    for name in ("debugging.py", "keeper.py"):
        shutil.copy(DIRECTORY / name, tmp_path / name)
    site = develop("wsgi", "-w", "1", directory=tmp_path)
    request = site.get("/break")
    mark = site.prompt()
    with (tmp_path / "debugging.py").open("a") as file:
        file.write("# changed\n")
    site.program.log.wait_for("somebody debugs the worker: its time limits wait", since=mark)
    assert fetch(site.address, "GET", "/ok").body == b"ok", "the new code serves"
    site.program.type("p secret.upper()\n")
    site.program.log.wait_for("'SECRET'", since=mark)
    site.program.type("c\n")
    assert request.outcome() == b"secret.."
    site.has_terminal_again()


def test_the_debugged_worker_is_killed(develop: Callable[..., Development]) -> None:
    site = develop("wsgi", "-w", "1")
    worker = site.worker()
    request = site.get("/break")
    site.prompt()
    os.kill(worker, signal.SIGKILL)
    assert request.outcome() == 502
    site.has_terminal_again()
    eventually(lambda: fetch(site.address, "GET", "/ok").body == b"ok", "another worker")
    site.program.type("\x03")
    assert site.program.wait_exit() == 0, str(site.program.log)


def test_breakpoints_can_be_turned_off(develop: Callable[..., Development]) -> None:
    """PYTHONBREAKPOINT means what it means elsewhere."""
    site = develop("wsgi", "-w", "1", env={"PYTHONBREAKPOINT": "0"})
    assert fetch(site.address, "GET", "/break").body == b"secret.."
