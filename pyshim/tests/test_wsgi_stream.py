"""Bodies and answers larger than their windows, and clients that leave."""

from __future__ import annotations

import hashlib
import json
import marshal
import random
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from gateway import Worker, environ

from pyspeed import records, wsgi
from pyspeed.connection import ClientDisconnected, Connection

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module", params=[0, 1], ids=["auto", "one thread"])
def reader(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker("wsgi_apps:reading", HERE, threads=request.param) as started:
        yield started


LINES = b"first line\nsecond\n\nwith\x00nul\nlast without end"


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("read", [LINES, b""]),
        ("sizes", [LINES]),
        ("lines", [b"first line\n", b"sec", b"ond\n", b"\n", b"with\x00nul\n", b"last without end"]),
        ("readlines", LINES.splitlines(keepends=True)),
        ("none", []),
    ],
)
@pytest.mark.parametrize("pieces", [0, 1, 3, 1000])
def test_ways_to_read(reader: Worker, way: str, expected: List[bytes], pieces: int) -> None:
    """Embedded in the request (0), or in STDIN records of that size."""
    head = environ("/" + way, "POST", CONTENT_LENGTH=str(len(LINES)))
    request = reader.request(head, None if pieces else LINES)
    if pieces:
        for start in range(0, len(LINES), pieces):
            reader.send(records.record(records.STDIN, request, LINES[start : start + pieces]))
        reader.send(records.record(records.STDIN, request))
    answer = reader.answer(request)
    assert answer.app_status is None, reader.log()
    assert json.loads(answer.body) == [line.decode("latin-1") for line in expected]


@pytest.mark.parametrize("way", ["read", "sizes", "readlines"])
@pytest.mark.parametrize("size", [262144, 262145, 2000000])
def test_a_body_longer_than_its_window(reader: Worker, way: str, size: int) -> None:
    body = random.Random(size).randbytes(size)
    request = reader.request(environ("/" + way, "POST", "digest"), None)
    reader.stdin(request, body)
    reader.stdin(request, b"")
    assert reader.answer(request).body == hashlib.sha256(body).hexdigest().encode()


def test_a_body_that_is_not_read_does_no_harm(reader: Worker) -> None:
    request = reader.request(environ("/none", "POST"), None)
    assert reader.answer(request).body == b"[]"
    reader.send(records.record(records.STDIN, request, b"late"))
    reader.send(records.record(records.STDIN, request))
    assert reader.get("/read").body == b'["", ""]'


def test_no_body_reads_as_empty(reader: Worker) -> None:
    for way, expected in (("read", ["", ""]), ("sizes", []), ("lines", ["", ""]), ("readlines", [])):
        assert json.loads(reader.get("/" + way).body) == expected


def test_input_raises_when_the_client_leaves(reader: Worker) -> None:
    request = reader.request(environ("/error", "POST"), None)
    reader.send(records.record(records.STDIN, request, b"some"))
    reader.until(lambda: bool(reader.marks[request]), "the request to run")
    reader.abort(request)
    answer = reader.answer(request)
    assert answer.app_status == records.APP_ABORTED
    log = reader.wait_log("input raised ClientDisconnected")
    assert "failed" not in log  # a client that leaves is no failure of the application


def test_others_are_served_while_one_waits_for_its_body() -> None:
    with Worker("wsgi_apps:reading", HERE) as worker:
        slow = worker.request(environ("/read", "POST"), None)
        for _ in range(3):
            assert worker.get("/read").body == b'["", ""]'
        assert not worker.peek(slow).ended
        worker.stdin(slow, b"done")
        worker.stdin(slow, b"")
        assert json.loads(worker.answer(slow).body) == ["done", ""]


@pytest.fixture(scope="module", params=[0, 1], ids=["auto", "one thread"])
def endless(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker("wsgi_apps:endless", HERE, threads=request.param, auto_credit=False) as started:
        yield started


@pytest.mark.parametrize("path", ["/write", "/chunks"])
@pytest.mark.parametrize("size", [1000, 70000, 300000])
@pytest.mark.parametrize("window", [0, 3])
def test_an_answer_stops_at_its_window_and_ends_with_its_client(
    endless: Worker, path: str, size: int, window: int
) -> None:
    request = endless.request(environ(path, query=str(size)), window=window)
    answer = endless.peek(request)
    endless.wait(lambda: answer.credit == 0, "the window to be used up")
    for count in (1, 5000, 200000):
        received = len(answer.body)
        endless.credit(request, count)
        endless.wait(lambda: answer.credit == 0, "the credit to be used up")
        assert len(answer.body) == received + count
    assert not answer.ended
    endless.abort(request)
    endless.answer(request)
    assert answer.app_status == records.APP_ABORTED
    assert answer.overrun == 0
    assert set(answer.body) in ({ord("c")}, {ord("w")})


def test_the_application_notices_that_the_client_left(endless: Worker) -> None:
    for path, text in (("/write", "write raised ClientDisconnected"), ("/chunks", "endless closed")):
        request = endless.request(environ(path))
        endless.abort(request)
        assert endless.answer(request).app_status == records.APP_ABORTED
        if endless.marks[request]:
            endless.wait_log(text)
    assert "failed" not in endless.log()


def test_slow_clients_do_not_stop_others() -> None:
    with Worker("wsgi_apps:endless", HERE, auto_credit=False) as worker:
        slow = [worker.request(environ("/chunks"), window=0) for _ in range(5)]
        for request in slow:
            worker.wait(lambda request=request: worker.peek(request).credit == 0, "the window to be used up")  # type: ignore[misc]
        worker.credit(slow[0], 4096)
        worker.wait(lambda: len(worker.peek(slow[0]).body) == 8192, "more of the first")
        for request in slow:
            worker.abort(request)
        for request in slow:
            assert worker.answer(request).app_status == records.APP_ABORTED


def test_an_aborted_request_that_was_queued_is_ended_and_not_run() -> None:
    with Worker("wsgi_apps:mixed", HERE, threads=1) as worker:
        ids = worker.batch([environ("/busy", query="first")] + [environ("/", query="n%d" % i) for i in range(20)])
        worker.send(b"".join(records.record(records.ABORT_REQUEST, i) for i in ids[1:]))
        assert worker.answer(ids[0]).status == "200 OK"
        done = [worker.answer(i) for i in ids[1:]]
        runs = json.loads(worker.get("/runs").body)
        for i, answer in enumerate(done):
            if answer.app_status == records.APP_ABORTED:
                assert "n%d" % i not in runs
            else:
                assert answer.last and runs["n%d" % i] == 1


def test_an_id_can_be_used_again_after_an_abort_that_came_too_late() -> None:
    with Worker("wsgi_apps:mixed", HERE) as worker:
        request = worker.request(environ("/", query="a"))
        worker.answer(request)
        worker.abort(request)
        with worker._changed:
            worker._free.remove(request)
            worker._free.appendleft(request)
        again = worker.request(environ("/", query="b"))
        assert again == request
        assert worker.answer(again).body == b"bbb"


def test_credit_and_aborts_for_ids_that_are_not_open_are_ignored() -> None:
    with Worker("wsgi_apps:mixed", HERE) as worker:
        worker.send(
            records.window(77, 100)
            + records.record(records.ABORT_REQUEST, 78)
            + records.record(records.STDIN, 79, b"x")
        )
        assert worker.get("/", query="a").body == b"aaa"


@pytest.mark.parametrize("threads", [0, 8])
def test_a_stream_goes_out_while_the_application_waits(threads: int) -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=threads) as worker:
        request = worker.request(environ("/stream", query="s"))
        worker.wait(lambda: worker.peek(request).body == b"first and more ", "what came before the wait")
        worker.get("/open", query="s")
        assert worker.answer(request).body == b"first and more second"
        worker.wait_log("generator closed s")


def test_a_stream_goes_out_while_the_only_thread_waits() -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        request = worker.request(environ("/stream", query="s"))
        worker.wait(lambda: worker.peek(request).body == b"first and more ", "what came before the wait")
        worker.kill()


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class _Socket:
    """Takes all, and remembers what came with each call."""

    def __init__(self) -> None:
        self.sent: List[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def fileno(self) -> int:
        return 3


def test_chunks_in_quick_succession_travel_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first leaves at once; those within a millisecond of it together, with what comes next."""
    clock, sock = _Clock(), _Socket()
    monkeypatch.setattr(wsgi, "perf_counter", clock)
    connection = Connection(sock)  # type: ignore[arg-type]
    connection.corked = lambda: True
    answer = type("Answer", (wsgi.Answer,), {"connection": connection})()
    answer.item, answer.environ, answer.progress, answer.stream = (1, 0x60, b"", None), {}, 0, None
    answer.status, answer.headers = "200 OK", []
    answer.send(b"one")
    assert len(sock.sent) == 1
    answer.send(b"two")
    clock.now += 0.0005
    answer.send(b"three")
    assert len(sock.sent) == 1
    clock.now += 0.002
    answer.send(b"four")
    assert len(sock.sent) == 2
    assert [part in sock.sent[1] for part in (b"two", b"three", b"four")] == [True, True, True]
    connection.corked = lambda: False
    answer.send(b"five")
    assert len(sock.sent) == 3


def _handled(app: Any, prepare: Callable[[Connection], None] = lambda connection: None) -> Tuple[Connection, _Socket]:
    """Has one request, of the number 1, run."""
    sock = _Socket()
    connection = Connection(sock)  # type: ignore[arg-type]
    prepare(connection)
    handle = wsgi.handler(lambda *args: app(connection, *args), {}, connection, bytearray(16))  # type: ignore[arg-type]
    handle((1, 0x60, marshal.dumps(({"REQUEST_METHOD": "GET"}, b"")), None))
    connection.flush()
    return connection, sock


@pytest.mark.parametrize("written", [False, True])
def test_a_whole_answer_needs_no_stream(monkeypatch: pytest.MonkeyPatch, written: bool) -> None:
    def none(self: Connection, item: Any) -> Any:
        raise AssertionError("it has its length, and fits")

    def app(connection: Connection, environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Length", "5")])
        if written:
            write(b"12345")
            return iter(())
        return iter([b"12345"])

    monkeypatch.setattr(Connection, "stream", none)
    _, sock = _handled(app)
    assert b"".join(sock.sent).endswith(b"12345")
    assert sum(map(len, sock.sent)) < 100


def test_no_stream_is_left_for_the_next_request_of_that_number() -> None:
    """A client leaves, the application notices while it writes, and answers all the same."""

    def app(connection: Connection, environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        connection.aborted.add(1)  # as the reader does
        try:
            write(b"x")
        except ClientDisconnected:
            start_response("500 Oops", [], sys.exc_info())
        return [b"error"]

    connection, sock = _handled(app)
    assert b"".join(sock.sent).endswith(b"error")
    assert not connection._streams


def test_many_streams_with_tiny_credit_stay_apart() -> None:
    """Every byte of every answer belongs to it, and no window is overrun."""
    with Worker("wsgi_apps:semantics", HERE, interface="wsgi", auto_credit=False) as worker:
        ids = [worker.request(environ("/big", query=str(20000 + i)), window=0) for i in range(40)]
        rng = random.Random(1)

        def feed() -> None:
            open_ids = list(ids)
            while open_ids:
                request = rng.choice(open_ids)
                if worker.peek(request).ended:
                    open_ids.remove(request)
                elif worker.peek(request).credit < 4000:
                    worker.credit(request, rng.randint(1, 4096))

        feeder = threading.Thread(target=feed)
        feeder.start()
        for i, request in enumerate(ids):
            answer = worker.answer(request)
            size = 20000 + i
            assert answer.body == (b"0123456789abcdef" * (size // 16 + 1))[:size]
            assert answer.overrun == 0
        feeder.join()


class Watched(bytes):
    """A piece of a body, and what is to happen while its reader counts it."""

    counted: Callable[[], None] = staticmethod(lambda: None)

    def __len__(self) -> int:
        self.counted()
        return bytes.__len__(self)


def test_no_credit_for_a_body_once_its_request_is_over() -> None:
    """While one thread reads the body another may end the answer: the id's next request must not get the credit."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours)
        connection.feed(records.record(records.REQUEST, 9, marshal.dumps(({}, None), 2), records.BODY))
        stream = connection.queue[0][3]
        assert stream is not None
        piece = Watched(65536)
        stream.push(piece)
        piece.counted = lambda: connection.forget(9)  # type: ignore[misc]
        with pytest.raises(ClientDisconnected):
            stream.read_all()
        assert connection.out == []
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
