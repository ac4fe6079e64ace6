"""Workers that die, hang, or spoil their connection to the gateway (row 46 of the bad-input table).

In each case: the right answer, a line in the log that names the cause, a new worker,
and nobody else's request harmed without need or run twice.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable

import pytest
from conftest import ONE_ON_EACH_EDGE, Shop
from harness import processes
from harness.client import Connection, request
from harness.crowd import assert_none_ran_twice, crowd
from harness.waiting import eventually
from harness.wire import Data, FramingError, Head
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

StartZoo = Callable[..., Zoo]
# How the gateway may say that a process ended: with its exit code or its signal.
EXITED = "(?i)worker.*(exit|code|status).*7"


@pytest.mark.parametrize(
    ("path", "cause"),
    [("/before", EXITED), ("/crash", "(?i)worker.*(segmentation|SIGSEGV|signal.*11)")],
    ids=["exit", "crash"],
)
def test_exit_before_the_head_is_502(start_zoo: StartZoo, interface: str, path: str, cause: str) -> None:
    zoo = start_zoo("exits", interface)
    old = set(zoo.server.workers())
    with zoo.connect() as connection:
        answer = connection.request("GET", path)
        assert answer.status == 502
    zoo.server.log.wait_for(cause)
    zoo.wait_for_workers(without=old)
    assert zoo.runs() == {path[1:]: 1}


def test_exit_inside_an_answer_cuts_it(start_zoo: StartZoo, interface: str) -> None:
    zoo = start_zoo("exits", interface)
    old = set(zoo.server.workers())
    with zoo.connect() as connection:
        connection.send(request("GET", "/inside"))
        events = connection.events()
        assert isinstance(next(events), Head)
        first = next(events)
        assert isinstance(first, Data) and first.data == b"first\n"
        zoo.open_gate()
        with pytest.raises(FramingError):
            list(events)
    zoo.server.log.wait_for(EXITED)
    zoo.wait_for_workers(without=old)
    assert zoo.runs() == {"inside": 1}


def test_exits_beside_other_requests(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    """A worker dies again and again while 50 clients ask: 502 only where a request had begun."""
    zoo = start_zoo("exits", interface, workers=2)
    stop = threading.Event()
    statuses: list[int] = []

    def killer() -> None:
        while not stop.is_set() and len(statuses) < 5:
            with zoo.connect() as connection:
                statuses.append(connection.request("GET", "/before").status)
            stop.wait(0.1)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        outcomes = crowd(zoo.address, nonce, 50, 10)
    finally:
        stop.set()
        thread.join()
    # What asks for its own death ends with 502, or 503 when no worker came back in time.
    assert statuses and set(statuses) <= {502, 503}
    assert zoo.runs()["before"] <= len(statuses)
    assert_none_ran_twice(outcomes, zoo.runs(nonce))
    zoo.wait_for_workers()


@pytest.mark.parametrize(("name", "edge"), ONE_ON_EACH_EDGE)
@pytest.mark.limit(120)
def test_kill_9_under_load(start_shop: Callable[..., Shop], name: str, edge: str, nonce: str) -> None:
    shop = start_shop(name, edge, workers=2)
    stop = threading.Event()
    killed: list[int] = []

    def killer() -> None:
        while not stop.wait(0.3) and len(killed) < 4:
            alive = [pid for pid in shop.server.workers() if pid not in killed]
            if len(alive) == 2:
                os.kill(alive[0], signal.SIGKILL)
                killed.append(alive[0])

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        outcomes = crowd(shop.address, nonce, 100, 20)
    finally:
        stop.set()
        thread.join()
    assert killed
    assert_none_ran_twice(outcomes, shop.runs(nonce))
    failed = [outcome for outcome in outcomes if outcome.status != 200]
    # A dead worker can have begun as many as ran in it at once, and not the queue behind them.
    assert len(failed) <= len(killed) * 100
    shop.server.log.wait_for("(?i)worker.*(killed|SIGKILL|signal.*9)", count=len(killed))
    eventually(lambda: len(shop.server.workers()) == 2 and not set(killed) & set(shop.server.workers()), "respawned")
    assert shop.get("/items/1").status == 200


def test_killed_while_idle(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    """No request had been given to it: nobody notices."""
    zoo = start_zoo("plain", interface, workers=2)
    old = set(zoo.server.workers())
    with zoo.connect() as connection:
        assert connection.request("GET", "/ok").status == 200
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        for number in range(20):
            answer = connection.request("GET", f"/nonce?nonce={nonce}-{number}")
            assert answer.status in (200, 502)
    zoo.wait_for_workers(without=old)
    assert all(count == 1 for count in zoo.runs(nonce).values())


@pytest.mark.parametrize("path", ["/garbage", "/http", "/unknown-id", "/control", "/truncated"])
def test_garbage_on_the_worker_connection(start_zoo: StartZoo, interface: str, path: str, nonce: str) -> None:
    """No byte of it reaches any client; the worker is replaced or goes on, but answers are right."""
    zoo = start_zoo("garbage", interface, workers=2)
    stop = threading.Event()
    seen: list[bytes] = []

    def spoiler() -> None:
        while not stop.is_set() and len(seen) < 3:
            with zoo.connect() as connection:
                answer = connection.request("GET", path)
                seen.append(answer.body)
                assert answer.status in (200, 502, 503)
                assert answer.status != 200 or answer.body == b"spoilt"
            stop.wait(0.1)

    thread = threading.Thread(target=spoiler)
    thread.start()
    try:
        outcomes = crowd(zoo.address, nonce, 20, 10)
    finally:
        stop.set()
        thread.join()
    assert seen
    assert_none_ran_twice(outcomes, zoo.runs(nonce))
    zoo.wait_for_workers()
    assert zoo.runs(path)[path] <= len(seen)
    if path != "/unknown-id":
        zoo.server.log.wait_for(
            "(?i)worker.*(protocol|record|version|marshal|invalid|exit|closed|garbage|malformed|EOF|unexpected)"
        )


@pytest.mark.parametrize("path", ["/hang", "/block"])
def test_hanging_request_harms_nobody(start_zoo: StartZoo, interface: str, path: str, nonce: str) -> None:
    """Its client leaves; the others are served meanwhile and after (by the other worker, where a loop is blocked)."""
    zoo = start_zoo("hangs", interface, workers=2, settings={"server.timeouts": {"shutdown": "1s"}})
    with zoo.connect() as hanging:
        hanging.send(request("GET", path))
        zoo.wait_for_run("hang")
        outcomes = crowd(zoo.address, nonce, 20, 5)
        assert [outcome.status for outcome in outcomes] == [200] * 100
        hanging.vanish()
    outcomes += crowd(zoo.address, nonce + "b", 20, 2)
    assert_none_ran_twice(outcomes, zoo.runs(nonce))
    assert zoo.runs()["hang"] == 1
    # The worker cannot finish what it has: stopping must not take its word for it.
    zoo.server.stop()


def test_worker_that_does_not_want_to_end(start_zoo: StartZoo, interface: str) -> None:
    """Signals ignored, a thread and an exit hook that never end: killed, and said so."""
    zoo = start_zoo("stubborn", interface, settings={"server.timeouts": {"shutdown": "1s"}})
    workers = zoo.server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    assert zoo.get("/ok").body == b"ok"
    zoo.server.stop()
    assert not [pid for pid in workers if processes.alive(pid)]
    zoo.server.log.wait_for("(?i)kill")


def test_gateway_killed_takes_its_workers_along(start_zoo: StartZoo, interface: str) -> None:
    zoo = start_zoo("stubborn", interface, workers=2)
    workers = zoo.server.workers()
    assert len(workers) == 2
    zoo.server.kill()
    eventually(lambda: not [pid for pid in workers if processes.alive(pid)], "the workers are gone")


def test_prints_a_lot(start_zoo: StartZoo, interface: str) -> None:
    """4 MB on each stream: answered, all lines in the log, none torn, no escape passed on."""
    zoo = start_zoo("prints", interface)
    mark = zoo.server.log.mark()
    assert zoo.get("/loud").body == b"ok"
    zoo.server.log.wait_for("shouted", since=mark)
    text = zoo.server.log.since(mark)
    for stream, letter in ((b"out", b"o"), (b"err", b"e")):
        numbers = re.findall(rb"%b (\d+) %b(?!%b)" % (stream, letter * 60, letter), text)
        assert numbers == [b"%d" % number for number in range(20_000)]
    assert b"\x1b" not in text and b"\x00" not in text
    assert zoo.get("/ok").body == b"ok"


def test_leaks_until_memory_is_out(start_zoo: StartZoo, interface: str) -> None:
    """Its own limit: 500s or a new worker, and never the gateway's memory."""
    zoo = start_zoo("leaks", interface)
    before, workers = processes.rss(zoo.server.pid), zoo.server.workers()
    statuses = [zoo.get("/leak").status for _ in range(8)]
    assert statuses[0] == 200
    assert set(statuses) <= {200, 500, 502}
    assert len(set(statuses)) > 1 or zoo.server.workers() != workers, "the limit was never reached"
    assert processes.rss(zoo.server.pid) - before < 32 * 1024 * 1024
    zoo.wait_for_workers()


def test_requests_that_had_not_begun_move(start_zoo: StartZoo, nonce: str) -> None:
    """One thread, busy: what waits behind it in the same worker is answered by the next worker, once."""
    zoo = start_zoo("hangs", "wsgi", settings={"workers": {"threads": 1}})
    (worker,) = zoo.server.workers()
    waiting: list[Connection] = []
    try:
        hanging = zoo.connect()
        waiting.append(hanging)
        hanging.send(request("GET", "/hang"))
        zoo.wait_for_run("hang")
        for number in range(20):
            connection = zoo.connect()
            waiting.append(connection)
            connection.send(request("GET", f"/nonce?nonce={nonce}-{number}"))
        assert zoo.runs(nonce) == {}
        os.kill(worker, signal.SIGKILL)
        assert hanging.read_response().status == 502
        for number, connection in enumerate(waiting[1:]):
            answer = connection.read_response()
            assert (answer.status, answer.json()["nonce"]) == (200, f"{nonce}-{number}")
    finally:
        for connection in waiting:
            connection.close()
    assert zoo.runs(nonce) == {f"{nonce}-{number}": 1 for number in range(20)}
