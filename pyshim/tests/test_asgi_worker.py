"""Many requests at once, and what the control socket asks for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgi_gateway import LOOPS, Worker

from pyspeed import records


@pytest.fixture(params=LOOPS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker(loop=request.param) as worker:
        yield worker


def test_each_of_many_gets_its_own_answer(worker: Worker) -> None:
    for round_number in range(5):
        ids = {worker.send("/nonce", b"%d" % (round_number * 1000 + number)): number for number in range(200)}
        for request_id, number in ids.items():
            mine = b"%d" % (round_number * 1000 + number)
            answer = worker.finish(request_id)
            assert answer.headers == [(b"x-nonce", mine)]
            assert answer.body == b"".join(b"%s.%d " % (mine, turn) for turn in range(int(mine) % 5)) + mine
            assert answer.end == 0
    assert worker.ask("stats")["active"] == 0


def test_random_mix_with_aborts(worker: Worker) -> None:
    """Whatever happens at the same time: every request gets one end, and its own body."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    running: dict[int, tuple[str, bytes]] = {}
    for number in range(1, 600):
        query = b"%d" % dice.randrange(1, 60000)
        path = dice.choice(["/nonce", "/big", "/echo", "/after_answer", "/raise_after", "/events_forever"])
        body = query if path == "/echo" else b""
        # Few ids, so that each is used again and again.
        request_id = number % 50 + 1
        if request_id in running:
            finish(worker, request_id, *running.pop(request_id))
        worker.send(path, query, body=body, window=dice.choice([0, 2, 6]), request_id=request_id)
        running[request_id] = (path, query)
        if path == "/events_forever" or dice.random() < 0.1:
            worker.abort(request_id)
    for request_id, (path, query) in running.items():
        finish(worker, request_id, path, query)
    assert worker.get("/echo", body=b"fine").body == b"fine"
    assert worker.ask("stats")["active"] == 0


def finish(worker: Worker, request_id: int, path: str, query: bytes) -> None:
    answer = worker.answers[request_id]
    credited = 0
    while answer.end is None:
        if len(answer.body) > credited:
            worker.credit(request_id, len(answer.body) - credited)
            credited = len(answer.body)
        worker.read()
    if answer.end == records.APP_ABORTED:
        return
    bodies = {
        "/big": (bytes(range(251)) * 240)[: int(query)],
        "/echo": query,
        "/after_answer": b"answered",
        "/raise_after": b"some",
        "/nonce": b"".join(b"%s.%d " % (query, turn) for turn in range(int(query) % 5)) + query,
    }
    assert answer.body == bodies[path]
    assert answer.end == (records.APP_FAILED if path == "/raise_after" else 0)


def test_requests_in_pieces_of_any_size(worker: Worker) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    # Let the tests' gateway make the bytes, and send them in pieces.
    sent = bytearray()
    data, worker.data = worker.data, Recorder(sent)  # type: ignore[assignment]
    # Less in all than the worker holds for a gateway that does not read.
    bodies = [dice.randbytes(size) for size in [0, 10, 1000] * 18 + [70000] * 6]
    dice.shuffle(bodies)
    ids = [worker.send("/echo", body=body, window=8) for body in bodies]
    worker.data = data
    at = 0
    while at < len(sent):
        size = dice.choice([1, 2, 7, 8, 9, 100, 5000, 65536])
        worker.data.sendall(sent[at : at + size])
        at += size
    for request_id, body in zip(ids, bodies):
        assert worker.finish(request_id).body == body


class Recorder:
    def __init__(self, sent: bytearray) -> None:
        self._sent = sent

    def sendall(self, data: bytes) -> None:
        self._sent += data


def test_management_records(worker: Worker) -> None:
    asked = records.pack_pairs(
        {"FCGI_MAX_CONNS": "", "FCGI_MAX_REQS": "", "FCGI_MPXS_CONNS": "", "PYSPEED_PROFILE": ""}
    )
    worker.data.sendall(records.record(records.GET_VALUES, 0, asked) + records.record(99, 0, b"?"))
    parser = records.Parser()
    found: list[records.Record] = []
    while len(found) < 2:
        found += parser.feed(worker.data.recv(4096))
    assert found[0][0] == records.GET_VALUES_RESULT
    assert records.parse_pairs(found[0][3]) == {
        "FCGI_MAX_CONNS": "1",
        "FCGI_MAX_REQS": "65535",
        "FCGI_MPXS_CONNS": "1",
        "PYSPEED_PROFILE": "1",
    }
    assert (found[1][0], found[1][3][0]) == (records.UNKNOWN_TYPE, 99)


@pytest.mark.parametrize("head", [b"", b"?", b"N", b"(\x01\x00\x00\x00N", b"u\x01\x00\x00\x00\xff"])
def test_head_that_cannot_be_read_fails_one_request(worker: Worker, head: bytes) -> None:
    """Those before and behind it in the same read go on."""
    sent = bytearray()
    data, worker.data = worker.data, Recorder(sent)  # type: ignore[assignment]
    before = worker.send("/echo", body=b"before")
    spoiled = worker.send("/echo", request_id=1000)
    behind = worker.send("/echo", body=b"behind")
    worker.data = data
    at = sent.index(records.HEADER.pack(1, records.REQUEST, spoiled, 0, 0, 0)[:4])
    length = records.HEADER_LENGTH + int.from_bytes(sent[at + 4 : at + 6], "big")
    sent[at : at + length] = records.record(records.REQUEST, spoiled, head, 6 << 4)
    worker.data.sendall(sent)
    assert worker.finish(before).body == b"before"
    assert worker.finish(behind).body == b"behind"
    answer = worker.finish(spoiled)
    assert (answer.status, answer.end) == (None, records.APP_FAILED)
    worker.wait_log("cannot read the head of request 1000")


def test_stop_finishes_what_was_received(worker: Worker) -> None:
    waiting = worker.send("/wait_event", b"stop")
    worker.get("/echo")
    last = worker.send("/set_event", b"stop")
    worker.command({"cmd": "stop"})
    assert worker.finish(waiting).body == b"waited"
    assert worker.finish(last).end == 0
    assert worker.exit_code() == 0


def test_stop_waits_for_background_tasks(worker: Worker) -> None:
    worker.get("/background")
    worker.send("/set_event", b"background")
    worker.command({"cmd": "stop"})
    assert worker.exit_code() == 0
    assert b"background: done" in worker.log


def test_second_stop_cancels(worker: Worker) -> None:
    request_id = worker.send("/wait_event", b"never")
    worker.get("/echo")
    worker.command({"cmd": "stop"})
    worker.command({"cmd": "stop"})
    assert worker.finish(request_id).end == records.APP_FAILED
    assert worker.exit_code() == 0
    assert b"GET /wait_event: the request's task was cancelled" in worker.log


def test_gateway_closes_the_data_socket(worker: Worker) -> None:
    worker.send("/disconnect")
    worker.wait_log("disconnect: waiting")
    worker.data.close()
    assert worker.exit_code() == 0
    assert worker.log.count(b"disconnect: http.disconnect") == 2


def test_reclaim_while_the_loop_is_blocked(worker: Worker, tmp_path: Path) -> None:
    release = tmp_path / "release"
    # In one write, so that the worker has read all of it before the first blocks the loop.
    sent = bytearray()
    data, worker.data = worker.data, Recorder(sent)  # type: ignore[assignment]
    blocker = worker.send("/block", str(release).encode())
    others = [worker.send("/echo", b"other", body=b"%d" % number) for number in range(20)]
    streamed = worker.send("/echo", body=None)
    worker.data = data
    worker.data.sendall(sent)
    worker.wait_log("block: holds the loop")
    assert sorted(worker.ask("reclaim")["ids"]) == others
    assert worker.ask("reclaim")["ids"] == []
    assert worker.marks[blocker] == 1
    assert [worker.marks[request_id] for request_id in others] == [0] * 20
    # Ids that were given back are free at once.
    again = worker.send("/echo", body=b"again", request_id=others[0])
    release.touch()
    assert worker.finish(blocker).body == b"released"
    assert worker.finish(again).body == b"again"
    worker.stdin(streamed, b"")
    assert worker.finish(streamed).end == 0
    assert b"other" not in worker.get("/show_runs").body
    assert worker.stop() == 0


def test_reclaim_of_what_a_held_loop_has_not_read(worker: Worker, tmp_path: Path) -> None:
    """Requests in the socket are given back; what else is there stays, in order."""
    release = tmp_path / "release"
    blocker = worker.send("/block", str(release).encode())
    worker.wait_log("block: holds the loop")
    others = [worker.send("/echo", b"other", body=b"%d" % number) for number in range(20)]
    streamed = worker.send("/echo", body=None)
    more = [worker.send("/echo", b"other", body=b"x" * 2000) for _ in range(3)]
    worker.stdin(streamed, b"part")
    assert sorted(worker.ask("reclaim")["ids"]) == sorted(others + more)
    assert worker.ask("reclaim")["ids"] == []
    again = worker.send("/echo", body=b"again", request_id=others[0])
    worker.stdin(streamed, b"s")
    worker.stdin(streamed, b"")
    release.touch()
    assert worker.finish(blocker).body == b"released"
    assert worker.finish(again).body == b"again"
    assert worker.finish(streamed).body == b"parts"
    assert b"other" not in worker.get("/show_runs").body
    assert worker.stop() == 0


def test_reclaim_races_with_starts(worker: Worker) -> None:
    """Every request is either given back or answered, never both, never neither."""
    for _ in range(20):
        sent = bytearray()
        data, worker.data = worker.data, Recorder(sent)  # type: ignore[assignment]
        ids = [worker.send("/nonce", b"%d" % number) for number in range(100)]
        worker.data = data
        worker.data.sendall(sent)
        given_back = worker.ask("reclaim")["ids"]
        for request_id in ids:
            if request_id in given_back:
                assert worker.marks[request_id] == 0
                assert worker.answers[request_id].records == []
            else:
                assert worker.finish(request_id).end == 0
        worker.get("/echo")
        assert all(worker.answers[request_id].records == [] for request_id in given_back)


def test_ping_tells_how_long_the_loop_has_not_turned(worker: Worker, tmp_path: Path) -> None:
    release = tmp_path / "release"
    worker.send("/block", str(release).encode())
    worker.wait_log("block: holds the loop")
    ages = [worker.ask("ping", n=number) for number in range(5)]
    assert [pong["n"] for pong in ages] == list(range(5))
    times = [pong["loop_ms"] for pong in ages]
    assert times == sorted(times)
    assert times[-1] > times[0] > 0
    release.touch()
    # Once it turns again, a ping says so.
    while worker.ask("ping", n=0)["loop_ms"] >= times[-1]:
        pass


def test_dump_shows_threads_and_tasks(worker: Worker) -> None:
    worker.send("/wait_event", b"never")
    worker.get("/echo")
    assert worker.ask("dump") == {"event": "dumped"}
    log = worker.wait_log("in wait_event")
    assert "(GET /wait_event)" in log
    assert "in serve" in log
    assert "most recent call first" in log


def test_stats(worker: Worker) -> None:
    worker.send("/wait_event", b"never")
    worker.get("/echo")
    stats = worker.ask("stats")
    assert stats["active"] == 1
    assert 1 << 10 < stats["rss_kib"] < 1 << 31
