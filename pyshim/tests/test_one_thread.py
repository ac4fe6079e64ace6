"""``threads = 1``: no part of two requests ever overlaps, whatever the requests and their clients do."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import List, Tuple

import pytest
from gateway import Worker, environ

HERE = Path(__file__).resolve().parent


def overlap(worker: Worker) -> Tuple[int, int, int, int]:
    """Most requests at once, threads, requests, requests open now."""
    most, threads, count, left = json.loads(worker.get("/most").body)
    return most, threads, count, left


@pytest.mark.parametrize("seed", range(3))
def test_nothing_overlaps(seed: int) -> None:
    """Streams longer than a tick, bodies that come late, credit that comes late, failures, aborts at any time."""
    rng = random.Random(seed)
    with Worker("one_thread_app:app", HERE, threads=1, auto_credit=False) as worker:
        assert worker.ready["threads"] == 1
        ids: List[int] = []
        for _ in range(40):
            query = "%d,%s" % (rng.choice([0, 1, 3]), rng.choice(["0", "0", "0.001", "0.007"]))
            path = rng.choice(["/", "/", "/", "/fails"])
            streamed = rng.random() < 0.3
            window = rng.choice([0, 2, 6])  # 4 KiB is less than one piece
            ids.append(worker.request(environ(path, "POST", query), None if streamed else b"body", window))
            if streamed:
                worker.stdin(ids[-1], b"y" * rng.randrange(1, 100000))
                worker.stdin(ids[-1], b"")
            if rng.random() < 0.2:
                worker.abort(rng.choice(ids))
            if rng.random() < 0.1:
                worker.release(set(worker.ask("reclaim", "reclaimed")["ids"]))
        for request in ids:
            answer = worker.peek(request)
            while not answer.ended:
                worker.wait(lambda answer=answer: answer.ended or answer.credit <= 0, "an end, or no credit")  # type: ignore[misc]
                if not answer.ended:
                    worker.credit(request, 20000)
        most, threads, count, left = overlap(worker)
        assert (most, threads, left) == (1, 1, 0)
        assert 0 < count <= 40
        assert worker.stop() == 0


def test_a_stalled_stream_is_not_overtaken() -> None:
    """While one answer waits for its client, with one thread, the next request waits too: that is the promise."""
    with Worker("one_thread_app:app", HERE, threads=1, auto_credit=False) as worker:
        stalled = worker.request(environ(query="3,0"), window=0)
        worker.wait(lambda: worker.peek(stalled).credit == 0, "the window to be used up")
        behind = worker.request(environ(query="0,0"))
        # Three looks at it, each after the watcher has had the lead.
        # Nor does that count as a stall, for which the worker would be killed: it is the client's.
        worker.until(lambda: worker.ask("ping", "pong", n=0)["loop_ms"] == 0, "it to wait for the client")
        for n in range(3):
            assert worker.ask("ping", "pong", n=n)["loop_ms"] == 0
            assert not worker.marks[behind]
        worker.credit(stalled, 1000000)
        assert len(worker.answer(stalled).body) == 30002
        assert worker.answer(behind).body == b"0 "
        assert overlap(worker)[:2] == (1, 1)


def test_with_two_threads_they_do_overlap() -> None:
    """That the application notices at all."""
    with Worker("one_thread_app:app", HERE, threads=2, auto_credit=False) as worker:
        stalled = worker.request(environ(query="3,0"), window=0)
        worker.wait(lambda: worker.peek(stalled).credit == 0, "the window to be used up")
        worker.answer(worker.request(environ(query="0,0")))
        assert overlap(worker)[0] == 2
        worker.credit(stalled, 1000000)
        worker.answer(stalled)
