"""Flow control, streamed bodies and clients that leave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgi_gateway import LOOPS, Worker

from pyspeed import records


@pytest.fixture(scope="module", params=LOOPS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker(loop=request.param) as worker:
        yield worker


@pytest.fixture(params=LOOPS)
def fresh(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker with an empty log."""
    with Worker(loop=request.param) as worker:
        yield worker


def expected(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", [65400, 65535, 65536, 200000, 262144])
def test_large_answer_within_the_window(worker: Worker, size: int) -> None:
    answer = worker.get("/big", b"%d" % size)
    assert answer.body == expected(size)
    assert answer.end == 0


def test_answer_stops_at_the_window(worker: Worker) -> None:
    request_id = worker.send("/big", b"20000", window=0)
    answer = worker.read_body(request_id, 4096)
    # What the worker answers afterwards proves that it sent no more before.
    worker.get("/echo")
    assert (len(answer.body), answer.end) == (4096, None)
    worker.credit(request_id, 10000)
    worker.read_body(request_id, 14096)
    worker.get("/echo")
    assert (len(answer.body), answer.end) == (14096, None)
    worker.credit(request_id, 1)
    worker.credit(request_id, 100000)
    assert worker.finish(request_id).body == expected(20000)
    assert answer.end == 0


def test_slow_reader_delays_nobody_else(worker: Worker) -> None:
    slow = [worker.send("/big", b"500000", window=1) for _ in range(20)]
    for request_id in slow:
        worker.read_body(request_id, 8192)
    for number in range(20):
        assert worker.get("/echo", body=b"%d" % number).body == b"%d" % number
    for request_id in slow:
        assert len(worker.answers[request_id].body) == 8192
        worker.credit(request_id, 1000000)
    for request_id in slow:
        assert worker.finish(request_id).body == expected(500000)


def test_gateway_that_does_not_read(worker: Worker) -> None:
    """More answers than the socket holds: nothing is lost or mixed up once it reads again."""
    ids = [worker.send("/big", b"%d" % (200000 + number)) for number in range(30)]
    worker.ask("stats")
    for number, request_id in enumerate(ids):
        assert worker.finish(request_id).body == expected(200000 + number)
    assert worker.get("/echo", body=b"and on").body == b"and on"
    # It went on reading from inside an answer's write, but not in that request's context.
    assert worker.get("/context").body == b"unset"


def test_empty_answer_behind_a_large_one(worker: Worker) -> None:
    """Both in one write; the empty body is a piece of no bytes at its end."""
    first = worker.send("/big", b"100000")
    second = worker.send("/echo")
    assert worker.finish(second).end == 0
    assert worker.finish(first).body == expected(100000)


def test_cancelled_send_does_not_hide_a_gap(worker: Worker) -> None:
    answer = worker.get("/cancelled_send", window=0)
    assert answer.body == b"x" * 4096
    assert answer.end == records.APP_FAILED
    worker.wait_log("an earlier send() was cancelled in the middle of its body")


def test_each_piece_leaves_before_the_next_is_made(worker: Worker) -> None:
    request_id = worker.send("/stream", b"one,two,three")
    answer = worker.read_body(request_id, 3)
    assert answer.body == b"one"
    worker.get("/set_event", b"stream")
    assert worker.read_body(request_id, 6).body == b"onetwo"
    worker.get("/set_event", b"stream")
    assert worker.finish(request_id).body == b"onetwothree"


def test_streamed_request_body(worker: Worker) -> None:
    request_id = worker.send("/echo", body=None)
    pieces = [bytes([number]) * 20000 for number in range(10)]
    for piece in pieces:
        worker.stdin(request_id, piece)
    worker.stdin(request_id, b"")
    answer = worker.finish(request_id)
    assert answer.body == b"".join(pieces)
    assert answer.credit <= 200000


def test_credit_for_what_the_application_received(worker: Worker) -> None:
    request_id = worker.send("/echo", body=None)
    answer = worker.answers[request_id]
    sent = 0
    # Far more than a window in all, and never more than the worker allowed.
    for number in range(40):
        while sent + 50000 > records.INPUT_WINDOW + answer.credit:
            worker.read()
        worker.stdin(request_id, bytes([number]) * 50000)
        sent += 50000
    worker.stdin(request_id, b"")
    while answer.end is None:
        worker.read()
        worker.credit(request_id, 300000)
    assert answer.body == b"".join(bytes([number]) * 50000 for number in range(40))


def test_no_credit_for_a_body_that_nobody_reads(worker: Worker) -> None:
    request_id = worker.send("/wait_event", b"unread", body=None)
    for _ in range(4):
        worker.stdin(request_id, b"x" * 65535)
    worker.get("/set_event", b"unread")
    answer = worker.finish(request_id)
    assert (answer.body, answer.credit) == (b"waited", 0)
    # The rest of the body may come after the answer: it is nobody's.
    worker.stdin(request_id, b"late")
    worker.stdin(request_id, b"")
    worker.credit(request_id, 10)
    worker.abort(request_id)
    assert worker.get("/echo", body=b"x", request_id=request_id).body == b"x"


def test_client_leaves(fresh: Worker) -> None:
    request_id = fresh.send("/disconnect")
    fresh.wait_log("disconnect: waiting")
    fresh.abort(request_id)
    answer = fresh.finish(request_id)
    assert (answer.status, answer.end) == (None, records.APP_ABORTED)
    log = fresh.wait_log("disconnect: ClientDisconnected")
    assert log.count("disconnect: http.disconnect") == 2
    assert "Traceback" not in log, "a client that leaves is no error"


def test_client_leaves_and_the_framework_wraps_the_error(fresh: Worker) -> None:
    request_id = fresh.send("/disconnect_wrapped")
    fresh.abort(request_id)
    assert fresh.finish(request_id).end == records.APP_ABORTED
    assert fresh.stop() == 0
    assert fresh.log == b""


def test_who_listens_hears_of_it_before_send_raises(worker: Worker) -> None:
    request_id = worker.send("/disconnect_beside", window=0)
    worker.read_body(request_id, 4096)
    worker.abort(request_id)
    assert worker.finish(request_id).end == records.APP_ABORTED
    worker.wait_log("beside: cancelled")


def test_client_of_server_sent_events_leaves(worker: Worker) -> None:
    request_id = worker.send("/events_forever")
    worker.read_body(request_id, 1000)
    worker.abort(request_id)
    answer = worker.finish(request_id)
    assert answer.end == records.APP_ABORTED
    worker.wait_log("events: ended by OSError")


def test_client_leaves_while_send_waits_for_the_window(worker: Worker) -> None:
    request_id = worker.send("/big", b"100000", window=0)
    worker.read_body(request_id, 4096)
    worker.abort(request_id)
    answer = worker.finish(request_id)
    assert (len(answer.body), answer.end) == (4096, records.APP_ABORTED)


def test_client_leaves_in_the_middle_of_its_body(worker: Worker) -> None:
    request_id = worker.send("/disconnect", body=None)
    worker.stdin(request_id, b"part")
    worker.abort(request_id)
    assert worker.finish(request_id).end == records.APP_ABORTED


def test_abort_that_arrives_with_its_request(worker: Worker) -> None:
    before = worker.get("/show_runs").body
    request_id = worker._next_id + 1
    worker.send("/echo", b"aborted", more=records.record(records.ABORT_REQUEST, request_id))
    answer = worker.finish(request_id)
    assert (answer.status, answer.end) == (None, records.APP_ABORTED)
    assert worker.marks[request_id] == 0
    assert b"aborted" not in worker.get("/show_runs").body
    assert before is not None


def test_receive_after_the_answer(worker: Worker) -> None:
    assert worker.get("/after_answer").body == b"answered"
    worker.wait_log("after: http.disconnect http.disconnect")
