"""The fault matrix: what goes wrong around the gateway, what it does then, and that nothing of it is left afterwards.

Each row has load beside it, ends as docs/operations.md says, and is followed by a look at the gateway's goroutines,
descriptors and memory.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.client import Connection, request
from harness.crowd import assert_none_ran_twice
from harness.load import Load
from harness.server import Server
from harness.users import STRANGER, python_for_everybody
from harness.vitals import Vitals, assert_recovers, metric, vitals
from harness.waiting import eventually
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

StartZoo = Callable[..., Zoo]
MIB = 1024 * 1024


def settle(zoo: Zoo) -> Vitals:
    """What the gateway holds once it has had load: pools are filled then."""
    with Load(zoo.address, "settle") as load:
        eventually(lambda: load.done > 500, "some load")
    return vitals(zoo.server)


@contextmanager
def limited(server: Server, name: str, soft: int) -> Iterator[None]:
    """A lower soft limit of the running server, as prlimit(1) names it, while the block runs."""
    kind = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}[name]
    before = resource.getrlimit(kind)[0]  # inherited
    who = {key: value for key, value in server.spec.process.items() if key in ("user", "group")}

    def set_to(value: int) -> None:
        # As its own user, which needs no privilege.
        number = "unlimited" if value == resource.RLIM_INFINITY else str(value)
        subprocess.run(["prlimit", "--pid", str(server.pid), f"--{name}={number}:"], check=True, **who)

    set_to(soft)
    try:
        yield
    finally:
        set_to(before)


def test_stopped_and_continued(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    """SIGSTOP: within a second it gets nothing more, what it has waits for SIGCONT, and the other worker serves on."""
    zoo = start_zoo("plain", interface, workers=2)
    before = settle(zoo)
    stopped = zoo.server.workers()[0]
    with Load(zoo.address, nonce) as load:
        eventually(lambda: load.done > 100, "load")
        os.kill(stopped, signal.SIGSTOP)
        try:
            zoo.server.log.wait_for("a worker does not turn")
            for number in range(50):
                assert zoo.get(f"/nonce?nonce={nonce}-fresh-{number}").status == 200
        finally:
            os.kill(stopped, signal.SIGCONT)
        mark = load.done
        eventually(lambda: load.done > mark + 200, "load goes on")
    assert not load.failed()
    assert_none_ran_twice(load.outcomes, zoo.runs(nonce))
    assert stopped in zoo.server.workers()
    assert_recovers(zoo.server, before)


def test_killed(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    """SIGKILL five times: 502 for what had begun in it, a new worker, and the gateway as before."""
    zoo = start_zoo("plain", interface, workers=2)
    before = settle(zoo)
    with Load(zoo.address, nonce) as load:
        for _ in range(5):
            mark, old = load.done, set(zoo.server.workers())
            eventually(lambda mark=mark: load.done > mark + 50, "load")  # type: ignore[misc]
            victim = min(old)
            os.kill(victim, signal.SIGKILL)
            zoo.wait_for_workers(without={victim})
    assert_none_ran_twice(load.outcomes, zoo.runs(nonce))
    assert metric(zoo.server, 'pyspeed_failures_total{kind="worker_died"}') == len(load.failed())
    assert_recovers(zoo.server, before)


def test_out_of_memory(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    """A worker at the limit of its address space answers 500 or dies; the others' answers are right."""
    zoo = start_zoo("leaks", interface, workers=2)
    before = settle(zoo)
    with Load(zoo.address, nonce, clients=4) as load:
        statuses = [zoo.get("/leak").status for _ in range(8)]
        assert set(statuses) <= {200, 500, 502}
        mark = load.done
        eventually(lambda: load.done > mark + 50, "load goes on")
    # Where the memory ran out in somebody else's request, that one failed in order.
    assert {outcome.status for outcome in load.failed()} <= {500, 502}
    zoo.wait_for_workers()
    assert_recovers(zoo.server, before)


@pytest.mark.parametrize("path", ["/garbage", "/truncated", "/control"])
def test_garbage_on_the_socket(start_zoo: StartZoo, interface: str, path: str, nonce: str) -> None:
    """The worker is ended, with the cause in the log; nobody gets a byte of it."""
    zoo = start_zoo("garbage", interface, workers=2)
    before = settle(zoo)
    with Load(zoo.address, nonce) as load:
        for _ in range(3):
            mark = load.done
            eventually(lambda mark=mark: load.done > mark + 50, "load")  # type: ignore[misc]
            with Connection(zoo.address) as connection:
                connection.request("GET", path)
            zoo.wait_for_workers()
    assert_none_ran_twice(load.outcomes, zoo.runs(nonce))
    assert_recovers(zoo.server, before)


def test_no_descriptors_left(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    """EMFILE at accept: who is connected is served on, and the others as soon as there are descriptors again."""
    zoo = start_zoo("plain", interface)
    before = settle(zoo)
    idle: list[Connection] = []
    with Load(zoo.address, nonce) as load:
        eventually(lambda: load.done > 50, "load")
        held = len(os.listdir(f"/proc/{zoo.server.pid}/fd"))
        with limited(zoo.server, "nofile", held + 6):
            try:
                idle += [zoo.connect() for _ in range(20)]  # the kernel connects them, whoever accepts
                zoo.server.log.wait_for("(?i)too many open files")
                mark = load.done
                eventually(lambda: load.done > mark + 100, "those that are connected are served")
            finally:
                told = zoo.server.log.since().count(b"too many open files")
        late = idle[-1]
        assert late.request("GET", "/ok").status == 200
        for connection in idle:
            connection.close()
    assert told < 50, "one line a second is enough"
    assert not load.failed()
    assert_recovers(zoo.server, before)


def as_somebody(folder: Path) -> dict[str, Any]:
    """For a Spec: run as a user without other processes, where we are root, whom no limit of processes binds."""
    if os.getuid() != 0:
        return {}
    os.chmod(folder, 0o777)
    return {
        "folder": folder,
        "process": {"user": STRANGER, "group": STRANGER, "extra_groups": []},
        "settings": {"app": {"python": python_for_everybody()}},
    }


def test_fork_that_fails(start_zoo: StartZoo, interface: str, nonce: str, public: Path) -> None:
    """EAGAIN at fork: the worker that is there serves on; the dead one is replaced once that is possible again."""
    zoo = start_zoo("plain", interface, workers=2, **as_somebody(public))
    before = settle(zoo)
    victim = zoo.server.workers()[0]
    with Load(zoo.address, nonce) as load:
        eventually(lambda: load.done > 50, "load")
        with limited(zoo.server, "nproc", 1):
            os.kill(victim, signal.SIGKILL)
            zoo.server.log.wait_for("(?i)resource temporarily unavailable.*next_try_in", count=2)
            mark = load.done
            eventually(lambda: load.done > mark + 100, "one worker serves")
        zoo.wait_for_workers(without={victim})
    assert_none_ran_twice(load.outcomes, zoo.runs(nonce))
    assert_recovers(zoo.server, before)


def small_disk(folder: Path, kib: int) -> list[str]:
    """A command that runs another one with a disk of so many KiB in the folder, which nobody else sees."""
    script = f'mount -t tmpfs -o size={kib}k,mode=1777 tmpfs "$0" && exec "$@"'
    own_users = [] if os.getuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *own_users, "sh", "-c", script, str(folder)]


def test_full_disk_for_bodies_and_logs(start_zoo: StartZoo, tmp_path: Path, nonce: str) -> None:
    """Bodies that outgrow memory get 500 while there is no room; logs lose lines, and count them; nothing stops."""
    disk = tmp_path / "disk"
    disk.mkdir()
    zoo = start_zoo(
        "slow",
        "wsgi",
        prefix=tuple(small_disk(disk, 256)),
        env={"TMPDIR": str(disk)},
        settings={
            "log": {"access": "combined", "access_file": str(disk / "access.log")},
            "server": {"buffer_body": 64 * MIB},
        },
    )
    before = settle(zoo)
    with Load(zoo.address, nonce) as load:
        statuses = []
        for _ in range(5):
            with Connection(zoo.address) as connection:
                # The answer may come before the body is sent.
                connection.send_lenient(request("POST", "/upload", (), b"u" * (8 * MIB)))
                statuses.append(connection.read_response("POST").status)
        assert statuses == [500] * 5
        eventually(lambda: metric(zoo.server, "pyspeed_access_log_dropped_lines") > 0, "lines are lost")
        mark = load.done
        eventually(lambda: load.done > mark + 100, "load goes on")
    assert not load.failed()
    assert metric(zoo.server, 'pyspeed_failures_total{kind="request_body"}') >= 5
    assert_recovers(zoo.server, before)
