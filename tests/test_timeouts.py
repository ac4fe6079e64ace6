"""Requests that take too long: stacks in the log, 504, another worker; what becomes of streams when one stops."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness.client import Connection, fetch, request
from harness.crowd import assert_none_ran_twice, crowd
from harness.waiting import eventually
from harness.wire import Data, End, Head
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

StartZoo = Callable[..., Zoo]


@pytest.fixture
def sleepers(start_zoo: StartZoo, interface: str) -> Callable[..., Zoo]:
    """Sleepers with these request timeouts: sleepers(soft, hard, timeouts={…}); each interface on another edge.

    The soft one is long enough for a slow machine to be asleep by then.
    """

    def start_one(soft: str, hard: str, **tables: Any) -> Zoo:
        timeouts = {"request_soft": soft, "request": hard, **tables.pop("timeouts", {})}
        return start_zoo("sleepers", interface, settings={"server.timeouts": timeouts, **tables})

    return start_one


def metric(zoo: Zoo, name: str) -> float:
    assert zoo.server.admin
    text = fetch(zoo.server.admin, "GET", "/metrics").body.decode()
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " ")), 0)


def sleep(zoo: Zoo, name: str) -> Connection:
    """A request that the application has."""
    connection = zoo.connect()
    connection.send(request("GET", f"/sleep?{name}"))
    zoo.wait_for_run(name)
    return connection


def test_soft_the_stacks_are_logged_once(sleepers: Callable[..., Zoo]) -> None:
    zoo = sleepers("1s", "0s")
    log = zoo.server.log
    line = r"WARNING a request takes long.* method=GET target=\"?/sleep\?{}\"? for=\d\S* client_left=false worker=1$"
    with sleep(zoo, "one") as one:
        log.wait_for(line.format("one"))
        log.wait_for(r"in sound_asleep(_async)?\b")
        mark = log.mark()
        # A second one is named, and shown, too; the first not again.
        with sleep(zoo, "two") as two:
            log.wait_for(line.format("two"), since=mark)
            log.wait_for(r"in sound_asleep(_async)?\b", since=mark)
            zoo.open_gate()
            assert [c.read_response().body for c in (one, two)] == [b"late", b"late"]
    assert zoo.get("/ok").body == b"ok"
    assert len(re.findall(rb"a request takes long.*sleep\?one", log.since())) == 1
    assert len(re.findall(rb"a request takes long", log.since())) == 2
    assert metric(zoo, 'pyspeed_failures_total{kind="request_timeout"}') == 0


def test_hard_504_and_the_worker_is_replaced(sleepers: Callable[..., Zoo], nonce: str) -> None:
    """Its other requests end well, a long answer too; what the application answers in the end reaches nobody."""
    zoo = sleepers("0s", "1s", timeouts={"shutdown": "20s"})
    log = zoo.server.log
    before = set(zoo.server.workers())
    with zoo.connect() as streaming:
        streaming.send(request("GET", "/stream"))
        events = streaming.events()
        head, first = next(events), next(events)
        assert isinstance(head, Head) and isinstance(first, Data)
        with sleep(zoo, "late") as late:
            answer = late.read_response()
            assert (answer.status, answer.get("Connection")) == (504, "")
            log.wait_for(r"ERROR a request took too long \(server.timeouts.request\).* target=\"?/sleep\?late\"?")
            log.wait_for(r"replacing a worker: a request took too long .*reason=request_timeout")
            # The connection lives, and its next requests get their own answers, also once the late one is there.
            for number in range(5):
                body = late.request("GET", f"/nonce?nonce={nonce}-{number}").json()
                assert body["nonce"] == f"{nonce}-{number}"
            eventually(
                lambda: late.request("GET", "/pid").body.decode() not in map(str, before), "another worker answers"
            )
            zoo.open_gate()
            zoo.wait_for_run("woke")
            for number in range(5, 10):
                body = late.request("GET", f"/nonce?nonce={nonce}-{number}").json()
                assert body["nonce"] == f"{nonce}-{number}"
        # The stream is older than the timeout, and its worker waits for it.
        assert set(zoo.server.workers()) > before
        zoo.open_gate("stream")
        rest = list(events)
        assert isinstance(rest[-1], End)
        assert b"".join(e.data for e in rest if isinstance(e, Data)) == b"data: last\n\n"
    log.wait_for(r"worker 1 \(pid \d+\) stopped as asked: a request took too long \(server.timeouts.request\)")
    zoo.wait_for_workers(without=before)
    assert metric(zoo, 'pyspeed_failures_total{kind="request_timeout"}') == 1
    ends = 'pyspeed_worker_ends_total{reason="request_timeout"}'
    eventually(lambda: metric(zoo, ends) == 1, "the worker's end is counted")
    assert all(count == 1 for count in zoo.runs(nonce).values())


def test_hard_many_of_one_worker(sleepers: Callable[..., Zoo]) -> None:
    """Each gets its 504, and the worker is replaced once."""
    zoo = sleepers("200ms", "1s", timeouts={"shutdown": "2s"})
    before = set(zoo.server.workers())
    sleeping = [sleep(zoo, f"s{number}") for number in range(5)]
    for connection in sleeping:
        assert connection.read_response().status == 504
        connection.close()
    zoo.wait_for_workers(without=before)
    assert metric(zoo, 'pyspeed_failures_total{kind="request_timeout"}') == 5
    assert len(re.findall(rb"replacing a worker", zoo.server.log.since())) == 1
    assert sum(zoo.runs("s").values()) == 5


def test_hard_all_threads_are_stuck(start_zoo: StartZoo, nonce: str) -> None:
    """What waits behind them in the same worker is answered by the other one, and runs once."""
    settings = {
        "server.timeouts": {"request_soft": "0s", "request": "3s", "shutdown": "2s"},
        "workers": {"threads": 2, "in_flight": 8},
    }
    zoo = start_zoo("sleepers", "wsgi", workers=2, settings=settings)
    before = zoo.wait_for_workers()
    stuck: list[Connection] = []
    try:
        # They go to the worker that has the fewest: both threads of one, one of the other.
        stuck.extend(sleep(zoo, f"s{number}") for number in range(3))
        outcomes = crowd(zoo.address, nonce, 12, 3)
        assert [outcome.status for outcome in outcomes] == [200] * 36
        assert [connection.read_response().status for connection in stuck] == [504, 504, 504]
    finally:
        for connection in stuck:
            connection.close()
    zoo.wait_for_workers(without=before)
    assert_none_ran_twice(outcomes, zoo.runs(nonce))
    assert sum(zoo.runs("s").values()) == 3


def test_a_limit_that_is_set_later(sleepers: Callable[..., Zoo]) -> None:
    """It counts for what the workers have too."""
    zoo = sleepers("0s", "0s")
    with sleep(zoo, "one") as one:
        zoo.server.configure(**{"server.timeouts": {"request_soft": "0s", "request": "1s", "shutdown": "2s"}})
        zoo.server.process.send_signal(signal.SIGHUP)
        assert one.read_response().status == 504
    zoo.server.log.wait_for(r"the configuration has changed.*server\.timeouts\.request")
    zoo.open_gate()  # the old worker has the 30 s of its own generation to end


def test_a_client_that_left_still_counts(sleepers: Callable[..., Zoo]) -> None:
    """Its request holds the worker as any other does."""
    zoo = sleepers("300ms", "1s", timeouts={"shutdown": "2s"})
    before = set(zoo.server.workers())
    sleep(zoo, "left").vanish()
    zoo.server.log.wait_for(r"a request took too long.* client_left=true")
    zoo.wait_for_workers(without=before)
    assert metric(zoo, 'pyspeed_failures_total{kind="request_timeout"}') == 0


def test_the_body_is_not_counted(start_zoo: StartZoo) -> None:
    """A client that sends slowly is not the application's fault."""
    settings = {"server.timeouts": {"request_soft": "1s", "request": "1500ms"}}
    zoo = start_zoo("sleepers", "asgi", workers=1, settings=settings)
    with zoo.connect() as connection:
        connection.send(b"POST /nonce HTTP/1.1\r\nHost: a\r\nX-Nonce: slow\r\nContent-Length: 200000\r\n\r\n")
        end = time.monotonic() + 2.5
        left = 200_000
        while time.monotonic() < end and left > 1000:
            connection.send(b"x" * 1000)
            left -= 1000
            time.sleep(0.05)
        assert not zoo.runs("slow")
        connection.send(b"x" * left)
        assert connection.read_response().json()["nonce"] == "slow"
    assert b"takes long" not in zoo.server.log.since()
    assert metric(zoo, 'pyspeed_failures_total{kind="request_timeout"}') == 0


def test_event_streams_end_whole_when_the_server_stops(sleepers: Callable[..., Zoo]) -> None:
    """And any other answer is cut, so that its client notices."""
    zoo = sleepers("0s", "0s", timeouts={"shutdown": "2s"})
    with zoo.connect() as events, zoo.connect() as stream:
        parts = []
        for connection, path in ((events, "/events"), (stream, "/stream")):
            connection.send(request("GET", path))
            parts.append(connection.events())
            assert isinstance(next(parts[-1]), Head) and isinstance(next(parts[-1]), Data)
        zoo.server.process.send_signal(signal.SIGTERM)
        assert isinstance(list(parts[0])[-1], End)
        with pytest.raises(AssertionError, match="closed"):
            list(parts[1])
    assert zoo.server.wait_exit() == 0
    zoo.server.log.wait_for("ended event streams.* streams=1")
