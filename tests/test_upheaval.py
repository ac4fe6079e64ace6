"""Everything that is done to workers, under constant load that checks every answer and counts every run.

No request is lost but those that had begun in a killed worker, which get 502 and are counted; none runs twice. The
numbers are those of a quick look; with PYSPEED_UPHEAVAL=full (``make upheaval``) there are 100 reloads, 100
recyclings and 20 kills.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.crowd import Outcome, assert_none_ran_twice
from harness.load import Load
from harness.server import binary
from harness.vitals import assert_recovers, metric, vitals
from harness.waiting import eventually
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

FULL = os.environ.get("PYSPEED_UPHEAVAL") == "full"
RELOADS, RECYCLINGS, KILLS = (100, 100, 20) if FULL else (8, 8, 4)
MOST_WORKERS = 8 if FULL else 4


class Operator:
    """Steers the gateway from outside."""

    def __init__(self, zoo: Zoo, socket: Path) -> None:
        self.zoo = zoo
        self._socket = socket

    def ctl(self, *arguments: str) -> Any:
        command = [str(binary()), "ctl", "--socket", str(self._socket), *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stderr.decode()}"
        return json.loads(done.stdout)

    def signal(self, number: int) -> None:
        self.zoo.server.process.send_signal(number)

    def pids(self) -> set[int]:
        return set(self.zoo.server.workers())

    def ready(self) -> int:
        return int(metric(self.zoo.server, "pyspeed_workers_ready"))


@pytest.fixture
def operate(start_zoo: Callable[..., Zoo], tmp_path: Path) -> Callable[..., Operator]:
    def start(interface: str, **workers: object) -> Operator:
        socket = tmp_path / "ctl"
        settings = {"workers": workers, "admin": {"bind": "127.0.0.1:0", "control": str(socket)}}
        return Operator(start_zoo("plain", interface, workers=2, settings=settings), socket)

    return start


def begun_on_killed(operator: Operator, failed: list[Outcome]) -> None:
    """What failed is what the gateway counts as begun in workers that died, and nothing else."""
    assert metric(operator.zoo.server, 'pyspeed_failures_total{kind="worker_died"}') == len(failed)
    for outcome in failed:
        assert outcome.status == 502 or outcome.was_cut, outcome


@pytest.mark.limit(600 if FULL else 120)
def test_nothing_is_lost(operate: Callable[..., Operator], interface: str, nonce: str) -> None:
    operator = operate(interface)
    zoo, server = operator.zoo, operator.zoo.server
    with Load(zoo.address, "settle") as load:
        eventually(lambda: load.done > 300, "some load")
    before = vitals(server)

    with Load(zoo.address, nonce) as load:
        for _ in range(RELOADS):
            mark, old = load.done, operator.pids()
            operator.ctl("reload")
            eventually(lambda old=old: not old & operator.pids(), "the old generation is gone")  # type: ignore[misc]
            eventually(lambda mark=mark: load.done > mark, "load goes on")  # type: ignore[misc]
        assert not load.failed(), "lost in a reload"

        for _ in range(RECYCLINGS):
            mark = load.done
            worker = operator.ctl("workers")[0]
            operator.ctl("drain", worker["id"])
            eventually(lambda pid=worker["pid"]: pid not in operator.pids(), "it is replaced")  # type: ignore[misc]
            eventually(lambda mark=mark: load.done > mark, "load goes on")  # type: ignore[misc]
        assert not load.failed(), "lost in a recycling"

        for _ in range(KILLS):
            mark = load.done
            victim = min(operator.pids())
            os.kill(victim, signal.SIGKILL)
            zoo.wait_for_workers(without={victim})
            eventually(lambda: operator.ready() == 2, "both serve")
            eventually(lambda mark=mark: load.done > mark + 20, "load goes on")  # type: ignore[misc]
        begun_on_killed(operator, load.failed())
        lost = len(load.failed())

        for count in (*range(3, MOST_WORKERS + 1), *range(MOST_WORKERS - 1, 0, -1), 2):
            operator.signal(signal.SIGTTIN if count > operator.ready() else signal.SIGTTOU)
            eventually(lambda count=count: operator.ready() == count, f"{count} workers")  # type: ignore[misc]
            mark = load.done
            eventually(lambda mark=mark: load.done > mark + 20, "load goes on")  # type: ignore[misc]
        assert len(load.failed()) == lost, "lost in scaling"

    assert_none_ran_twice(load.outcomes, zoo.runs(nonce))
    eventually(lambda: len(operator.pids()) == 2, "two workers")
    assert_recovers(server, before)


@pytest.mark.limit(600 if FULL else 120)
def test_everything_at_once(operate: Callable[..., Operator], interface: str, nonce: str) -> None:
    """Reloads, recyclings by max_requests, kills and scaling on top of each other."""
    operator = operate(interface, max_requests=200, max_requests_jitter=50)
    zoo, server = operator.zoo, operator.zoo.server
    before = vitals(server)
    with Load(zoo.address, nonce, clients=24) as load:
        for turn in range(KILLS):
            operator.signal(signal.SIGHUP)
            operator.signal(signal.SIGTTIN if turn % 2 else signal.SIGTTOU)
            pids = operator.pids()
            if pids:
                # One that has ended by itself meanwhile is as good.
                try:
                    os.kill(max(pids), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            mark = load.done
            eventually(lambda mark=mark: load.done > mark + 200, "load goes on")  # type: ignore[misc]
    begun_on_killed(operator, load.failed())
    assert_none_ran_twice(load.outcomes, zoo.runs(nonce))
    eventually(lambda: zoo.get("/ok").status == 200, "serves on")
    eventually(lambda: vitals(server).goroutines <= before.goroutines + 20, "nothing piles up")
