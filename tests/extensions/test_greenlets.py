"""The model gevent at the worker's own sockets: what the gateway asks while a greenlet holds the thread."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "pyshim"))
sys.path.append(str(HERE.parents[1] / "pyshim" / "tests"))

from gateway import Worker, environ  # noqa: E402


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    # Not -W error: gevent itself may warn.
    env = {"HOGS": str(tmp_path / "hogs")}
    with Worker("on_gevent:application", HERE / "apps", arguments=[], env=env, model="gevent") as one:
        yield one


def let_go(tmp_path: Path) -> None:
    (tmp_path / "hogs.gate").touch()


def test_the_worker_says_what_it_is(worker: Worker) -> None:
    assert worker.ready["loop"] == "gevent"
    assert worker.ready["threads"] == 0
    assert worker.get("/hello").body == b"hello"
    stats = worker.ask("stats", "stats")
    assert stats["active"] == 0
    assert stats["rss_kib"] > 1000


def test_while_a_greenlet_holds_the_thread(worker: Worker, tmp_path: Path) -> None:
    """Of one batch, the answer before the hog goes out; what is behind it, or not even read, is given back."""
    before, hog, behind = worker.batch([environ("/hello"), environ("/hogs"), environ("/hello")])
    worker.until((tmp_path / "hogs").exists, "the hog")
    streamed = worker.request(environ("/body", "POST"), None)
    unread = worker.batch([environ("/hello")] * 3)
    split = worker.request(environ("/hello", HTTP_X="y" * 5000), split=1000)
    worker.stdin(streamed, b"12345")
    assert worker.ask("ping", "pong", n=1)["loop_ms"] > 0
    assert worker.answer(before).body == b"hello"
    stalled = worker.ask("ping", "pong", n=2)["loop_ms"]
    assert stalled >= 20
    worker.until(lambda: worker.ask("ping", "pong", n=3)["loop_ms"] > stalled, "a longer stall")
    given_back = set(worker.ask("reclaim", "reclaimed")["ids"])
    assert given_back == {behind, *unread}
    worker.release(given_back)
    assert not any(worker.marks[i] for i in given_back)
    worker.ask("dump", "dumped")
    assert "on_gevent.py" in worker.log()
    assert "in hogs" in worker.log()
    let_go(tmp_path)
    assert worker.answer(hog).body == b"hogged"
    worker.stdin(streamed, b"")
    assert worker.answer(streamed).body == b"5"
    assert worker.answer(split).body == b"hello"
    worker.until(lambda: worker.ask("ping", "pong", n=4)["loop_ms"] < 20, "an end of the stall")
    assert worker.stop() == 0


def test_stacks_of_greenlets_that_wait(worker: Worker) -> None:
    request = worker.request(environ("/waits", query="gate=d&n=1"))
    worker.until(lambda: bool(worker.marks[request]), "the request to begin")
    worker.until(lambda: worker.ask("stats", "stats")["active"] == 1, "it counts")
    worker.ask("dump", "dumped")
    assert "in waits" in worker.log()
    worker.get("/opens", query="gate=d")
    assert worker.answer(request).body == b"1 1"


def test_what_was_aborted_before_it_began(worker: Worker, tmp_path: Path) -> None:
    hog, behind = worker.batch([environ("/hogs"), environ("/hello")])
    worker.until((tmp_path / "hogs").exists, "the hog")
    worker.abort(behind)
    let_go(tmp_path)
    assert worker.answer(hog).body == b"hogged"
    worker.answer(behind)
    assert worker.get("/hello").body == b"hello"


def test_a_second_stop_ends_what_runs(worker: Worker) -> None:
    request = worker.request(environ("/waits", query="gate=never&n=1"))
    worker.until(lambda: worker.ask("stats", "stats")["active"] == 1, "the request to begin")
    worker.command({"cmd": "stop"})
    worker.ask("ping", "pong", n=1)
    worker.command({"cmd": "stop"})
    assert worker.join() == 0
    assert worker.peek(request).app_status == 1


def test_the_gateway_is_gone(worker: Worker) -> None:
    """The worker ends also while a greenlet waits for ever."""
    worker.request(environ("/waits", query="gate=never&n=1"))
    worker.until(lambda: worker.ask("stats", "stats")["active"] == 1, "the request to begin")
    worker.control.shutdown(socket.SHUT_RDWR)
    assert worker.join() == 1


def test_garbage_ends_the_worker(worker: Worker) -> None:
    assert worker.get("/hello").body == b"hello"
    worker.send(b"\x07" * 64)
    assert worker.join() == 1
    assert "cannot read a record" in worker.log()


def test_big_answers_stop_at_the_window(tmp_path: Path) -> None:
    env = {"HOGS": str(tmp_path / "hogs")}
    with Worker(
        "on_gevent:application", HERE / "apps", arguments=[], env=env, model="gevent", auto_credit=False
    ) as one:
        request = one.request(environ("/floods"), window=2)
        one.wait(lambda: one.peek(request).credit == 0, "the window to be used up")
        assert one.get("/hello").body == b"hello"
        assert one.peek(request).overrun == 0
        one.credit(request, 100_000)
        one.wait(lambda: one.peek(request).credit == 0, "the credit to be used up")
        one.abort(request)
        assert one.answer(request).app_status == 2
