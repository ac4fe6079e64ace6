"""What one request was given does nothing to another. The whole of it under load is in ``tests/test_isolation.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Optional

import pytest
from gateway import Worker, environ

from pyspeed import records

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker("isolation_apps:app", HERE, threads=1) as started:
        yield started


def test_a_header_list_that_is_used_again(worker: Worker) -> None:
    """PEP 3333 lets the server keep the list; this one does not trust it to stay."""
    answer = worker.answer(worker.request(environ("/reuse", query="mine")))
    assert answer.headers == [("X-Own", "mine")]


@pytest.mark.parametrize("path", ["/keep", "/keep-length"])
@pytest.mark.parametrize("body", [b"", b"embedded", None], ids=["none", "embedded", "streamed"])
def test_what_was_kept_reaches_nobody(worker: Worker, path: str, body: Optional[bytes]) -> None:
    """write() and the input of a request that is over: its id may be another request's by now."""
    first = worker.request(environ(path, "POST", query="first"), body)
    if body is None:
        # 100,000 bytes are enough for credit to be due, and it is not all.
        worker.send(b"".join(records.record(records.STDIN, first, b"x" * 50_000) for _ in range(2)))
    assert worker.answer(first).body == b"kept"
    # The worker's records for an id that is not open fail the test, here and at the end.
    second = worker.answer(worker.request(environ("/misuse", query="second")))
    assert second.headers == [("X-Own", "second")]
    start, write, read = second.body.decode().split("\n")
    assert start.startswith("AssertionError: cannot start the answer twice")
    assert write.startswith("ValueError: cannot send 5 more bytes") or write == "None", write
    if body is None:
        assert read.startswith("ClientDisconnected: cannot read the request's body"), read
    else:
        assert read == repr(body)
    assert worker.get("/").body == b"kept"
