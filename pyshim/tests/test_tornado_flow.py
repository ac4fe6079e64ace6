"""Tornado: flow control, streamed bodies, clients that leave, and the end of the worker."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgi_gateway import LOOPS, Worker

from pyspeed import records


@pytest.fixture(scope="module", params=LOOPS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker("tornado_apps:app", loop=request.param, interface="tornado") as worker:
        yield worker


@pytest.fixture
def fresh() -> Iterator[Worker]:
    """A worker with an empty log."""
    with Worker("tornado_apps:app", interface="tornado") as worker:
        yield worker


# The answer.


def test_each_flush_arrives(worker: Worker) -> None:
    request_id = worker.send("/pieces", b"one,two,three")
    answer = worker.read_body(request_id, 3)
    for body in (b"onetwo", b"onetwothree"):
        assert answer.end is None
        worker.get("/set_event", b"pieces")
        worker.read_body(request_id, len(body))
        assert answer.body == body
    assert worker.finish(request_id).end == 0


def test_flush_waits_for_credit(fresh: Worker) -> None:
    """Of 100 flushes of 10,000 bytes only those are done that are within the window."""
    request_id = fresh.send("/big", b"100", window=2)
    answer = fresh.read_body(request_id, 16384)
    fresh.get("/")
    assert (len(answer.body), answer.end) == (16384, None)
    fresh.credit(request_id, 3616)
    fresh.read_body(request_id, 20000)
    fresh.abort(request_id)
    assert fresh.finish(request_id).end == records.APP_ABORTED
    assert "big: closed after 2" in fresh.wait_log("big: closed")


def test_all_of_a_streamed_answer(fresh: Worker) -> None:
    request_id = fresh.send("/big", b"100", window=0)
    answer = fresh.answers[request_id]
    credited = 0
    while answer.end is None:
        fresh.read()
        fresh.credit(request_id, len(answer.body) - credited)
        credited = len(answer.body)
    assert (answer.body, answer.end) == (b"x" * 1000000, 0)
    fresh.wait_log("big: all 100")


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 65000, 65535, 65536, 200000, 1000000])
def test_answer_of_any_size(worker: Worker, size: int) -> None:
    for window in (0, 6):
        request_id = worker.send("/whole", b"%d" % size, window=window)
        answer = worker.answers[request_id]
        credited = 0
        while answer.end is None:
            worker.read()
            if len(answer.body) > credited:
                assert len(answer.body) - credited <= 4096 << window
                worker.credit(request_id, len(answer.body) - credited)
                credited = len(answer.body)
        assert answer.body == (bytes(range(251)) * (size // 251 + 1))[:size]


def test_writes_that_nobody_awaits_stay_in_order(worker: Worker) -> None:
    request_id = worker.send("/unawaited", window=0)
    answer = worker.answers[request_id]
    credited = 0
    while answer.end is None:
        worker.read()
        worker.credit(request_id, len(answer.body) - credited)
        credited = len(answer.body)
    assert answer.body == b"".join(b"%05d" % number * 1000 for number in range(100))


def test_gateway_that_does_not_read(fresh: Worker) -> None:
    """More than sockets hold, and nobody reads: the flushes wait, and nothing is lost."""
    ids = [fresh.send("/big", b"200", window=9) for _ in range(4)]
    fresh.wait_log("big: begins")
    for number in range(500):
        fresh.ask("ping", n=number)  # the loop turns
    fresh.ask("dump")
    assert "big: all" not in fresh.wait_log("most recent call first")
    for request_id in ids:
        assert fresh.finish(request_id).body == b"x" * 2000000


# The request's body.


def test_streamed_body_credit_follows_what_was_taken(fresh: Worker) -> None:
    request_id = fresh.send("/streamed", b"paced", method="POST", body=None)
    for _ in range(4):
        fresh.stdin(request_id, b"x" * 50000)
    fresh.wait_log("streamed: 50000")
    fresh.get("/")
    assert fresh.answers[request_id].credit == 0
    fresh.get("/set_event", b"paced")
    answer = fresh.answers[request_id]
    while answer.credit < 200000:
        fresh.read()
    fresh.stdin(request_id, b"y")
    fresh.stdin(request_id, b"")
    assert fresh.finish(request_id).body == b"200001 50000"
    assert b"on_connection_close" not in fresh.log


def test_streamed_handler_with_a_body_that_is_there(worker: Worker) -> None:
    assert worker.get("/streamed", method="POST", body=b"x" * 200000).body == b"200000 65536"
    assert worker.get("/streamed", method="POST").body == b"0 0"


def test_large_upload_into_a_handler_without_streaming(worker: Worker) -> None:
    request_id = worker.send("/", method="POST", body=None, window=9)
    answer = worker.answers[request_id]
    sent = 0
    for number in range(40):
        while sent + 50000 > records.INPUT_WINDOW + answer.credit:
            worker.read()
        worker.stdin(request_id, bytes([number]) * 50000)
        sent += 50000
    worker.stdin(request_id, b"")
    assert worker.finish(request_id).body == b"".join(bytes([number]) * 50000 for number in range(40))


@pytest.mark.parametrize(("query", "status", "body"), [(b"refuse", 403, b"refused"), (b"early", 200, b"early")])
def test_answer_before_the_body_is_there(fresh: Worker, query: bytes, status: int, body: bytes) -> None:
    request_id = fresh.send("/streamed", query, method="POST", body=None)
    fresh.stdin(request_id, b"part")
    answer = fresh.finish(request_id)
    assert (answer.status, answer.body, answer.end) == (status, body, 0)
    # The handler hears that there will be no more, so that it does not wait for the rest.
    fresh.wait_log("streamed: on_connection_close")
    fresh.stdin(request_id, b"late")
    fresh.stdin(request_id, b"")
    assert fresh.get("/").body == b"Hello"
    assert fresh.ask("stats")["active"] == 0
    assert fresh.stop() == 0
    assert b"Traceback" not in fresh.log


def test_raise_inside_data_received(fresh: Worker) -> None:
    request_id = fresh.send("/streamed", b"raise", method="POST", body=None)
    fresh.stdin(request_id, b"part")
    answer = fresh.finish(request_id)
    assert (answer.status, answer.end) == (None, records.APP_FAILED)
    assert "cannot take this" in fresh.wait_log("streamed: on_connection_close")
    assert fresh.stop() == 0


@pytest.mark.parametrize("length", [b"11", None])
def test_max_body_size(worker: Worker, length: bytes | None) -> None:
    headers = [(b"host", b"test"), *([(b"content-length", length)] if length else [])]
    request_id = worker.send("/streamed", b"limit", method="POST", body=None, headers=headers)
    worker.stdin(request_id, b"x" * 11)
    answer = worker.finish(request_id)
    assert (answer.status, answer.end) == (413, 0)
    assert worker.get("/streamed", b"limit", method="POST", body=b"x" * 10).body == b"10 10"


def test_body_timeout(fresh: Worker) -> None:
    request_id = fresh.send("/streamed", b"hurry", method="POST", body=None)
    fresh.stdin(request_id, b"part")
    answer = fresh.finish(request_id)
    assert (answer.status, answer.end) == (408, 0)
    fresh.wait_log("streamed: on_connection_close")


# Clients that leave.


def test_client_leaves_while_the_handler_works(fresh: Worker) -> None:
    request_id = fresh.send("/leaves")
    fresh.wait_log("leaves: waiting")
    fresh.abort(request_id)
    answer = fresh.finish(request_id)
    assert (answer.status, answer.end) == (None, records.APP_ABORTED)
    fresh.wait_log("leaves: StreamClosedError")
    assert fresh.stop() == 0
    assert fresh.log.count(b"on_connection_close") == 1
    assert b"Traceback" not in fresh.log


def test_client_leaves_in_the_middle_of_its_body(fresh: Worker) -> None:
    request_id = fresh.send("/streamed", method="POST", body=None)
    fresh.stdin(request_id, b"part")
    fresh.wait_log("streamed: 4")
    fresh.abort(request_id)
    assert fresh.finish(request_id).end == records.APP_ABORTED
    fresh.wait_log("streamed: on_connection_close")
    assert fresh.stop() == 0
    assert fresh.log.count(b"on_connection_close") == 1


def test_id_is_free_after_an_abort(fresh: Worker) -> None:
    request_id = fresh.send("/wait_event", b"never")
    fresh.get("/")
    fresh.abort(request_id)
    assert fresh.finish(request_id).end == records.APP_ABORTED
    assert fresh.get("/", method="POST", body=b"again", request_id=request_id).body == b"again"
    fresh.get("/set_event", b"never")
    assert fresh.get("/").body == b"Hello"


def test_gateway_closes_the_data_socket(fresh: Worker) -> None:
    fresh.send("/leaves")
    fresh.wait_log("leaves: waiting")
    fresh.data.close()
    assert fresh.exit_code() == 0
    assert b"leaves: StreamClosedError" in fresh.log


# The worker.


def test_stop_finishes_what_was_received(fresh: Worker) -> None:
    waiting = fresh.send("/wait_event", b"stop")
    fresh.get("/")
    last = fresh.send("/set_event", b"stop")
    fresh.command({"cmd": "stop"})
    assert fresh.finish(waiting).body == b"waited"
    assert fresh.finish(last).end == 0
    assert fresh.exit_code() == 0


def test_stop_waits_for_handlers_that_have_answered(fresh: Worker) -> None:
    assert fresh.get("/background").body == b"finished"
    fresh.command({"cmd": "stop"})
    for number in range(200):
        fresh.ask("ping", n=number)  # the loop turns, and the worker does not end
    fresh.send("/set_event", b"background")
    assert fresh.exit_code() == 0
    assert b"background: done" in fresh.log


def test_second_stop_does_not_wait(fresh: Worker) -> None:
    waiting = fresh.send("/wait_event", b"never")
    reading = fresh.send("/streamed", method="POST", body=None)
    assert fresh.get("/background").body == b"finished"
    fresh.command({"cmd": "stop"})
    fresh.command({"cmd": "stop"})
    assert fresh.finish(waiting).end == records.APP_FAILED
    assert fresh.finish(reading).end == records.APP_FAILED
    assert fresh.exit_code() == 0
    assert b"GET /wait_event: the request was cancelled" in fresh.log


def test_reclaim_while_the_loop_is_blocked(fresh: Worker, tmp_path: Path) -> None:
    release = tmp_path / "release"
    blocker = fresh.send("/block", str(release).encode())
    fresh.wait_log("block: holds the loop")
    others = [fresh.send("/", method="POST", body=b"%d" % number) for number in range(20)]
    assert sorted(fresh.ask("reclaim")["ids"]) == others
    assert [fresh.marks[request_id] for request_id in (blocker, *others)] == [1] + [0] * 20
    release.touch()
    assert fresh.finish(blocker).body == b"released"


def test_dump_shows_handlers(fresh: Worker) -> None:
    fresh.send("/wait_event", b"never")
    fresh.get("/")
    assert fresh.ask("dump") == {"event": "dumped"}
    assert "in get" in fresh.wait_log("in wait")


def test_random_mix_with_aborts(worker: Worker) -> None:
    """Whatever happens at the same time: every request gets one end, and its own body."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    running: dict[int, bytes] = {}
    for number in range(1, 500):
        # Few ids, so that each is used again and again.
        request_id = number % 40 + 1
        if request_id in running:
            finish(worker, request_id, running.pop(request_id))
        kind = dice.choice(["whole", "body", "streamed", "big", "leaks"])
        window = dice.choice([0, 2, 6])
        query = b"%d" % dice.randrange(1, 60000)
        if kind == "whole":
            worker.send("/whole", query, request_id=request_id, window=window)
            expected = (bytes(range(251)) * 240)[: int(query)]
        elif kind == "body":
            expected = query * 3000
            worker.send("/", method="POST", body=expected, request_id=request_id, window=window)
        elif kind == "streamed":
            worker.send("/streamed", method="POST", body=None, request_id=request_id)
            worker.stdin(request_id, query)
            worker.stdin(request_id, b"")
            expected = b"%d %d" % (len(query), len(query))
        elif kind == "big":
            worker.send("/big", b"5", request_id=request_id, window=window)
            expected = b"x" * 50000
        else:
            worker.send("/leaks", query, request_id=request_id)
            expected = b"unset,of " + query
        if dice.random() < 0.15:
            worker.abort(request_id)
        running[request_id] = expected
    for request_id, expected in running.items():
        finish(worker, request_id, expected)
    assert worker.get("/").body == b"Hello"
    assert worker.ask("stats")["active"] == 0


def finish(worker: Worker, request_id: int, expected: bytes) -> None:
    answer = worker.answers[request_id]
    credited = 0
    while answer.end is None:
        if len(answer.body) > credited:
            worker.credit(request_id, len(answer.body) - credited)
            credited = len(answer.body)
        worker.read()
    if answer.end != records.APP_ABORTED:
        assert (answer.body, answer.end) == (expected, 0)
