"""More requests than the workers can answer: what they can answer they do, the rest is told at once, nobody hangs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Address, Connection, fetch, request
from harness.openloop import Arrival, closed_loop, open_loop
from harness.server import Server, Spec
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

# Computes for 4 ms of its thread's CPU time, or sleeps for 20 ms; notes each nonce that ran.
APPLICATION = """
import os, time
from flask import Flask, request

app = Flask(__name__)
runs = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
gate = os.environ["GATE"]

def note():
    os.write(runs, request.query_string + b"\\n")

@app.get("/compute")
def compute():
    note()
    end = time.thread_time() + 0.004
    while time.thread_time() < end:
        pass
    return "computed"

@app.get("/sleep")
def sleep():
    note()
    time.sleep(0.02)
    return "slept"

@app.get("/wait")
def wait():
    note()
    while not os.path.exists(gate):
        time.sleep(0.01)
    return "waited"

@app.get("/nonce")
def nonce():
    note()
    return request.query_string
"""


class Desk:
    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder

    @property
    def address(self) -> Address:
        return self.server.address

    def runs(self) -> list[str]:
        path = self._folder / "runs"
        return path.read_text().split() if path.exists() else []

    def metric(self, name: str) -> float:
        assert self.server.admin
        text = fetch(self.server.admin, "GET", "/metrics").body.decode()
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " "))

    def refused(self) -> float:
        kinds = ("overload", "queue_full", "queue_timeout")
        return sum(self.metric(f'pyspeed_failures_total{{kind="{kind}"}}') for kind in kinds)

    def open_gate(self) -> None:
        (self._folder / "gate").touch()


@pytest.fixture
def desk(start: Callable[[Spec], Server], tmp_path: Path) -> Callable[..., Desk]:
    def start_one(edge: str = "netpoll", **workers: object) -> Desk:
        (tmp_path / "overloaded.py").write_text(APPLICATION)
        env = {"RUNS": str(tmp_path / "runs"), "GATE": str(tmp_path / "gate")}
        spec = Spec("overloaded:app", tmp_path, "wsgi", edge, workers=1, env=env, settings={"workers": workers})
        return Desk(start(spec), tmp_path)

    return start_one


def answered(arrivals: list[Arrival]) -> list[Arrival]:
    """Those that were; the others must have been refused with 503 and Retry-After."""
    for arrival in arrivals:
        assert arrival.status in (200, 503), arrival
        assert arrival.status == 200 or int(arrival.retry_after) > 0, arrival
    return [arrival for arrival in arrivals if arrival.status == 200]


@pytest.mark.parametrize(
    ("path", "edge", "workers"),
    [("/compute", "netpoll", {}), ("/sleep", "conn", {"threads": 4}), ("/compute", "conn", {"queue": 100})],
    ids=["computes", "sleeps", "short queue"],
)
@pytest.mark.limit(180)
def test_three_times_the_capacity(desk: Callable[..., Desk], path: str, edge: str, workers: dict[str, object]) -> None:
    """Open-loop clients. The capacity is that of the same server a moment before.

    Of several rounds the best counts, as the machine may have other things to do. The goal, 95 %, is for the benchmarks
    to judge, whose clients have a core of their own.
    """
    one = desk(edge, queue_timeout="1s", **workers)
    asked = 0
    best = 0.0
    for _ in range(5):
        before = closed_loop(one.address, f"{path}?", asked, 16, 1)
        asked += len(before)
        capacity = len(answered(before))
        arrivals = open_loop(one.address, f"{path}?", asked, 3 * capacity, 3)
        asked += len(arrivals)
        good = answered(arrivals)
        if len(good) == len(arrivals):
            continue  # the machine was busy before, and is not now: there was no overload
        waited = sorted(arrival.seconds for arrival in good)
        p99 = waited[len(waited) * 99 // 100]
        goodput = sum(1 <= arrival.at < 3 for arrival in good) / 2 / capacity
        print(f"capacity {capacity:.0f}/s, goodput {100 * goodput:.0f} %, p99 {p99:.2f} s, {len(arrivals)} asked")
        best = max(best, goodput if p99 < 3 else 0.0)
        if best >= 0.8:
            break
    assert best >= 0.8
    # Nothing ran for nobody, and nothing twice: every run was answered.
    runs = one.runs()
    assert len(runs) == len(set(runs)) == asked - one.refused()
    assert fetch(one.address, "GET", "/nonce?after").body == b"after"


@pytest.mark.parametrize("edge", ["netpoll", "conn"])
@pytest.mark.parametrize("in_flight", [1, "auto"])
def test_requests_whose_client_left_never_run(desk: Callable[..., Desk], edge: str, in_flight: object) -> None:
    """In the queue, and in the worker but not begun; by FIN and by reset; those beside them run once."""
    one = desk(edge, threads=1, in_flight=in_flight)
    waiting: list[Connection] = []
    try:
        busy = Connection(one.address)
        waiting.append(busy)
        busy.send(request("GET", "/wait?busy"))
        eventually(lambda: one.runs() == ["busy"], "begun")
        for number in range(150):
            connection = Connection(one.address)
            waiting.append(connection)
            connection.send(request("GET", f"/nonce?{number}"))

        def held() -> float:
            return one.metric("pyspeed_queue_length") + one.metric('pyspeed_worker_in_flight{worker="1"}')

        eventually(lambda: held() == 151, "all are queued or sent")
        for number, connection in enumerate(waiting[1:]):
            if number % 3 == 0:
                connection.sock.shutdown(socket.SHUT_RDWR)
            elif number % 3 == 1:
                connection.vanish()
        # One that was given to the worker already stays there until its turn comes, and is not run then.
        eventually(lambda: one.metric("pyspeed_queue_length") == 50, "those who left are forgotten")
        one.open_gate()
        assert busy.read_response().body == b"waited"
        for number, connection in enumerate(waiting[1:]):
            if number % 3 == 2:
                assert connection.read_response().body == b"%d" % number
    finally:
        for connection in waiting:
            connection.close()
    assert sorted(one.runs()[1:]) == sorted(str(number) for number in range(150) if number % 3 == 2)
