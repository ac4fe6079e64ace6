"""Adaptive threads: nothing is lost, run twice or kept waiting, whatever requests do."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from gateway import Answer, Worker, environ

from pyspeed import records

HERE = Path(__file__).resolve().parent


def most_at_once(worker: Worker) -> Any:
    """[most requests at once, threads used, requests]"""
    return json.loads(worker.get("/most").body)


def test_a_blocked_request_does_not_hold_the_others_of_its_batch() -> None:
    """The answers before it go out, and the requests behind it run, while it blocks."""
    with Worker("wsgi_apps:blocking", HERE) as worker:
        before, blocked, behind, opener = worker.batch(
            [
                environ("/echo", query="1"),
                environ("/wait", query="g"),
                environ("/echo", query="2"),
                environ("/open", query="g"),
            ]
        )
        # The opener is behind the blocked one: this ends only if another thread took over.
        for request, body in ((before, b"1"), (behind, b"2"), (opener, b"g"), (blocked, b"g")):
            assert worker.answer(request).body == body


def test_finished_answers_are_flushed_when_the_leader_stalls() -> None:
    """With one thread nothing else can run, but what is finished goes out."""
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        ids = worker.batch([environ("/echo", query="1"), environ("/wait", query="g"), environ("/echo", query="2")])
        assert worker.answer(ids[0]).body == b"1"
        assert not worker.peek(ids[1]).ended
        assert worker.marks[ids[1]] == 1
        assert worker.marks[ids[2]] == 0


@pytest.mark.parametrize(("threads", "expected"), [(0, 20), (3, 3), (2, 2)])
def test_blocking_requests_run_side_by_side(threads: int, expected: int) -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=threads) as worker:
        ids = worker.batch([environ("/wait", query="g%d" % i) for i in range(20)])
        for round_start in range(0, 20, expected):
            # Exactly `expected` at a time begin; which ones is the order of arrival.
            part = range(round_start, min(20, round_start + expected))
            for i in part:
                worker.wait_log("waiting g%d\n" % i)
            if threads:
                assert not any(worker.marks[i] for i in ids[round_start + expected :])
                break
        worker.kill()


@pytest.mark.parametrize("threads", [0, 2, 5])
def test_no_more_threads_than_allowed(threads: int) -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=threads, max_threads=8) as worker:
        limit = threads or 8
        ids = worker.batch([environ("/sleep", query="0.01") for _ in range(60)])
        for request in ids:
            assert worker.answer(request).status == "200 OK"
        most, used, count = most_at_once(worker)
        assert 1 <= most <= limit
        assert used <= limit
        assert count == 61
        assert worker.ask("stats", "stats")["threads"] <= limit


def test_one_thread_is_always_the_same_and_never_two_at_once() -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        rng = random.Random(5)
        ids: List[int] = []
        for _ in range(6):
            ways = [rng.choice(["/echo", "/echo", "/sleep", "/busy"]) for _ in range(8)]
            ids += worker.batch([environ(way, query="0.006") for way in ways])
            # One that waits for its body, so that the lead is passed on by the application's thread too.
            request = worker.request(environ("/echo", "POST", query="b"), None)
            worker.stdin(request, b"")
            ids.append(request)
        for request in ids:
            worker.answer(request)
        assert most_at_once(worker) == [1, 1, len(ids) + 1]


def test_one_thread_still_gets_credit_and_bodies_while_it_waits() -> None:
    with Worker("wsgi_apps:reading", HERE, threads=1) as worker:
        request = worker.request(environ("/read", "POST", "digest"), None)
        later = worker.request(environ("/none"))
        worker.stdin(request, b"x" * 1000000)
        worker.stdin(request, b"")
        assert worker.answer(request).status == "200 OK"
        assert worker.answer(later).status == "200 OK"


def test_threads_are_used_last_in_first_out() -> None:
    """After many threads were needed, a trickle of blocking requests uses two: one runs, one reads."""
    with Worker("wsgi_apps:blocking", HERE) as worker:
        # All thirty at once, so there are thirty threads.
        ids = worker.batch([environ("/wait", query="all") for _ in range(30)])
        worker.until(lambda: all(worker.marks[i] for i in ids), "all of them to begin")
        worker.get("/open", query="all")
        for request in ids:
            worker.answer(request)
        assert worker.ask("stats", "stats")["threads"] >= 30
        worker.get("/reset")
        for i in range(30):
            assert worker.get("/sleep", query="0.001").body == b"0.001", i
        _, used, count = most_at_once(worker)
        assert count == 31
        assert used <= 4


def test_reclaim_gives_back_what_has_not_begun_and_only_that() -> None:
    with Worker("wsgi_apps:mixed", HERE, threads=1) as worker:
        heads = [environ("/busy", query="0")] + [environ("/", query=str(i)) for i in range(1, 200)]
        nonces: Dict[int, str] = {}
        given_back = set()
        for turn in range(10):
            batch = [{**head, "QUERY_STRING": "%d.%s" % (turn, head["QUERY_STRING"])} for head in heads]
            ids = worker.batch(batch)
            back = set(worker.ask("reclaim", "reclaimed")["ids"])
            assert back <= set(ids)
            assert not any(worker.marks[i] for i in back)
            worker.release(back)
            for request, head in zip(ids, batch):
                if request in back:
                    given_back.add(head["QUERY_STRING"])
                else:
                    nonces[request] = head["QUERY_STRING"]
                    assert worker.answer(request).body == head["QUERY_STRING"].encode() * 3
        runs = json.loads(worker.get("/runs").body)
        ran = {head for head in runs if head}
        assert not ran & given_back
        assert len(ran) + len(given_back) == 2000
        assert set(runs.values()) == {1}


def test_reclaim_leaves_requests_whose_body_is_under_way() -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        first = worker.request(environ("/wait", query="g"))
        worker.wait_log("waiting g")
        with_body = worker.request(environ("/echo", "POST", query="b"), None)
        plain = worker.request(environ("/echo", query="p"))
        back: List[int] = []
        worker.until(
            lambda: back.extend(worker.ask("reclaim", "reclaimed")["ids"]) or bool(back), "a request to come back"
        )  # type: ignore[func-returns-value]
        assert back == [plain]
        assert not worker.peek(first).ended
        assert worker.marks[with_body] == 0


@pytest.mark.parametrize(("threads", "switch"), [(0, 0.005), (0, 1e-6), (1, 0.005), (1, 1e-6), (2, 1e-6), (7, 0.005)])
def test_every_request_runs_once_and_gets_its_own_answer(threads: int, switch: float) -> None:
    """Random mixes of short, sleeping, computing, streaming and big requests, in random batches."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    ways = (
        ["/"] * 60
        + ["/stream"] * 10
        + ["/length"] * 10
        + ["/body"] * 8
        + ["/big"] * 4
        + ["/nap"] * 4
        + ["/sleep"] * 2
        + ["/busy"]
    )
    expected: Dict[int, str] = {}
    bodies: Dict[int, bytes] = {}
    with Worker("wsgi_apps:mixed", HERE, threads=threads, env={"PYSPEED_TEST_SWITCH": str(switch)}) as worker:

        def check(request: int) -> None:
            answer: Answer = worker.answer(request)
            nonce = expected.pop(request)
            assert answer.app_status in (None, records.APP_COMPLETE), worker.log()
            assert ("X-Nonce", nonce) in answer.headers
            body = nonce.encode() * 3 + bodies.pop(request, b"")
            assert answer.body in (body, body * 4000)
            assert answer.overrun == 0

        total = 0
        for _ in range(60):
            heads = []
            for _ in range(rng.choice([1, 1, 3, 20, 64])):
                total += 1
                heads.append(environ(rng.choice(ways), query="n%d-%d" % (total, rng.randrange(1000))))
            ids = worker.batch(heads)
            for request, head in zip(ids, heads):
                expected[request] = head["QUERY_STRING"]
            if rng.random() < 0.4:
                total += 1
                nonce = "b%d" % total
                request = worker.request(environ("/body", "POST", nonce), None)
                expected[request] = nonce
                bodies[request] = rng.randbytes(rng.choice([0, 10, 100000]))
                if bodies[request]:
                    worker.stdin(request, bodies[request])
                worker.stdin(request, b"")
            while len(expected) > 200:
                check(rng.choice(list(expected)))
        for request in list(expected):
            check(request)
        runs = json.loads(worker.get("/runs", query="end").body)
        assert set(runs.values()) == {1}
        assert len(runs) == total + 1
        if threads == 1:
            assert worker.ask("stats", "stats")["threads"] == 1


def test_a_long_batch_does_not_keep_the_socket_unread() -> None:
    """Its requests are short enough to run inline, one after the other; in between the leader reads."""
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        ids = worker.batch([environ("/busy", query="0.003") for _ in range(200)])
        worker.answer(ids[3])
        worker.abort(ids[-1])
        assert worker.answer(ids[-1]).app_status == records.APP_ABORTED
        assert worker.marks[ids[-1]] == 0


@pytest.mark.parametrize("threads", [0, 1])
def test_stop_finishes_what_was_received(threads: int) -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=threads) as worker:
        running = worker.request(environ("/wait", query="g"))
        worker.wait_log("waiting g")
        rest = worker.batch([environ("/echo", query=str(i)) for i in range(30)])
        worker.command({"cmd": "stop"})
        if threads == 0:
            worker.request(environ("/open", query="g"))
        else:
            # It answers while it stops, and does not end before the application does.
            assert worker.ask("stats", "stats")["active"] == 1
            assert not worker.peek(running).ended
            return
        for i, request in enumerate(rest):
            assert worker.answer(request).body == str(i).encode()
        assert worker.answer(running).body == b"g"
        assert worker.join() == 0


def test_stop_of_an_idle_worker_with_many_threads() -> None:
    with Worker("wsgi_apps:blocking", HERE) as worker:
        ids = worker.batch([environ("/sleep", query="0.02") for _ in range(20)])
        for request in ids:
            worker.answer(request)
        assert worker.stop() == 0


def test_the_end_of_the_data_socket_lets_what_was_received_finish() -> None:
    import socket

    with Worker("wsgi_apps:mixed", HERE) as worker:
        ids = worker.batch([environ("/nap", query=str(i)) for i in range(40)])
        worker.data.shutdown(socket.SHUT_WR)
        for i, request in enumerate(ids):
            assert worker.answer(request).body == str(i).encode() * 3
        assert worker.join() == 0


def test_stats_and_ping_while_busy() -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        assert worker.ask("ping", "pong", n=1) == {"event": "pong", "n": 1, "loop_ms": 0}
        worker.request(environ("/wait", query="g"))
        worker.wait_log("waiting g")
        stats = worker.ask("stats", "stats")
        assert (stats["active"], stats["threads"]) == (1, 1)
        assert 1000 < stats["rss_kib"] < 1 << 31
        # It grows for as long as the thread does not turn.
        worker.until(lambda: worker.ask("ping", "pong", n=2)["loop_ms"] > 20, "loop_ms to grow")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stall_is_seen_whoever_reads(threads: int) -> None:
    """All threads run requests, and so the watcher has the lead already when the last of them blocks."""
    with Worker("wsgi_apps:blocking", HERE, threads=threads) as worker:
        ids = worker.batch([environ("/sleep", query="0.05")] * threads + [environ("/wait", query="g")] * (threads + 1))
        for request in ids[:threads]:
            assert worker.answer(request).body == b"0.05"
        worker.until(lambda: worker.ask("ping", "pong", n=1)["loop_ms"] > 100, "loop_ms to grow")
        if threads > 1:
            worker.ask("reclaim", "reclaimed")
            assert worker.ask("ping", "pong", n=2)["loop_ms"] == 0, "nothing waits for the threads"
        worker.kill()


@pytest.mark.parametrize("threads", [1, 2])
def test_it_tells_that_requests_wait_behind_others(threads: int) -> None:
    """They can then be taken back; as long as a thread is free, or nothing waits, there is nothing to tell."""
    with Worker("wsgi_apps:blocking", HERE, threads=threads) as worker:
        running = worker.batch([environ("/wait", query="g%d" % i) for i in range(threads)])
        for i in range(threads):
            worker.wait_log("waiting g%d\n" % i)
        assert not [event for event in worker.events if event["event"] == "full"]
        behind = worker.request(environ("/echo", query="b"))
        worker.event("full")
        worker.event("full")  # again and again, as others may get time later
        assert worker.ask("reclaim", "reclaimed")["ids"] == [behind]
        worker.release({behind})
        for request in running:
            assert not worker.peek(request).ended
        worker.kill()


def test_concurrent_clients_of_one_worker_never_mix() -> None:
    with Worker("wsgi_apps:mixed", HERE) as worker:
        failures: List[BaseException] = []

        def client(number: int) -> None:
            rng = random.Random(number)
            try:
                for i in range(40):
                    nonce = "c%d-%d" % (number, i)
                    way = rng.choice(["/", "/stream", "/length", "/nap"])
                    assert worker.get(way, query=nonce).body == nonce.encode() * 3
            except BaseException as error:
                failures.append(error)

        clients = [threading.Thread(target=client, args=(i,)) for i in range(8)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert not failures
