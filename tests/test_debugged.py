"""Time limits wait while somebody debugs a worker, and strike again afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import zoo
from harness.client import Address, request
from harness.editor import Editor
from harness.server import Server

pytestmark = [
    pytest.mark.pyspeed,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="elsewhere nobody can tell that a process is traced"
    ),
]

# Attaches to processes as gdb and strace do, but lets them run on; until its standard input ends.
TRACER = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE = 0x4206
print("waits", flush=True)
for line in sys.stdin:
    print(libc.ptrace(PTRACE_SEIZE, int(line), None, None), flush=True)
"""
WAITS = "somebody debugs the worker: its time limits wait"


class Tracer:
    """A process that traces others while a block runs. It is there at once, when it is asked to."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", TRACER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout and self._process.stdin
        self._answers, self._orders = self._process.stdout, self._process.stdin
        assert self._answers.readline() == b"waits\n"

    def attach(self, pid: int) -> None:
        self._orders.write(b"%d\n" % pid)
        self._orders.flush()
        if self._answers.readline() != b"0\n":
            pytest.skip("this system lets nobody trace a process")

    def leave(self) -> None:
        self._process.communicate()


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    one = Tracer()
    yield one
    one.leave()


def test_a_traced_worker_that_hangs(start_zoo: Callable[..., zoo.Zoo], interface: str, tracer: Tracer) -> None:
    settings = {"workers": {"timeout": "1s", "threads": 1}}
    animal = start_zoo("hangs", interface, workers=1, settings=settings)
    (pid,) = animal.server.workers()
    with animal.connect() as connection:
        tracer.attach(pid)
        connection.send(request("GET", "/block"))
        animal.wait_for_run("hang")
        animal.server.log.wait_for(WAITS)
        assert animal.server.workers() == [pid]
        tracer.leave()
        # A whole limit later it is killed, for the same request.
        assert connection.read_response().status == 504
    animal.server.log.wait_for(r"workers\.timeout is 1s")
    animal.wait_for_workers(without={pid})


def test_a_traced_worker_with_a_slow_request(start_zoo: Callable[..., zoo.Zoo], interface: str, tracer: Tracer) -> None:
    settings = {"server.timeouts": {"request_soft": "1s", "request": "1500ms", "shutdown": "2s"}}
    animal = start_zoo("sleepers", interface, workers=1, settings=settings)
    (pid,) = animal.server.workers()
    with animal.connect() as connection:
        tracer.attach(pid)
        connection.send(request("GET", "/sleep"))
        animal.wait_for_run("sleep")
        animal.server.log.wait_for(WAITS)
        assert b"takes long" not in animal.server.log.since()
        tracer.leave()
        # A whole limit later it counts.
        assert connection.read_response().status == 504
    animal.server.log.wait_for("a request takes long")
    animal.wait_for_workers(without={pid})


@pytest.mark.parametrize("part", ["import", "lifespan"])
def test_a_traced_worker_that_starts(start: Callable[..., Server], tmp_path: Path, tracer: Tracer, part: str) -> None:
    settings = {"app": {"import_timeout": "2s", "lifespan_timeout": "2s"}}
    target = {"import": "import_hangs:app", "lifespan": "lifespan_fails:waits"}[part]
    server = start(zoo.spec(target, "asgi", tmp_path, workers=1, settings=settings), ready=False)
    zoo.Zoo(server, "asgi", tmp_path).wait_for_run("waits")
    (pid,) = server.workers()
    tracer.attach(pid)
    server.log.wait_for(WAITS)
    assert server.workers() == [pid]
    tracer.leave()
    assert server.wait_exit() == 3, str(server.log)
    server.log.wait_for(rf"raise app\.{part}_timeout")


def test_an_editor_is_connected(start_zoo: Callable[..., zoo.Zoo]) -> None:
    """debugpy stops all threads but the one that tells the gateway so."""
    animal = start_zoo("editor", "asgi", workers=1, settings={"workers": {"timeout": "1s"}})
    address = animal.server.log.wait_for(r"debugpy on (\S+:\d+)")[0][1].decode()
    workers = animal.server.workers()
    editor = Editor(Address.parse(address))
    with animal.connect() as connection:
        connection.send(request("GET", "/stop"))
        thread = editor.wait_until_stopped()
        animal.server.log.wait_for(WAITS)
        editor.go_on(thread)
        assert connection.read_response().body == b"went on"
    editor.leave()
    assert set(workers) & set(animal.server.workers())  # beside it there is debugpy's adapter
    assert animal.get("/ok").body == b"ok"
