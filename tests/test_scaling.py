"""The number of workers: it follows the load, within bounds; from none and back to none."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.client import Connection, Response, chunked, fetch, request
from harness.server import Server, Spec
from harness.waiting import eventually
from harness.wire import Data, Head

pytestmark = pytest.mark.pyspeed

# Which run is noted as it begins; what waits for the gate goes on when there is a file of that name.
APP = """
import asyncio, os, time
from urllib.parse import parse_qs

HERE = os.path.dirname(os.path.abspath(__file__))
BALLAST = b"x" * (int(os.environ.get("BALLAST_MIB", "0")) << 20)
exec(os.environ.get("AT_IMPORT", ""))

def note(query):
    for nonce in query.get("nonce", ()):
        with open(os.path.join(HERE, "runs"), "ab", buffering=0) as runs:
            runs.write(nonce.encode() + b"\\n")

def is_open():
    return os.path.exists(os.path.join(HERE, "gate"))

def block(query):
    note(query)
    time.sleep(float(query.get("ms", ["0"])[0]) / 1000)

def wsgi(environ, start_response):
    block(parse_qs(environ["QUERY_STRING"]))
    body = str(os.getpid()).encode()
    if environ["PATH_INFO"] == "/length":
        read = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        body = b"%d %s" % (len(read), environ["CONTENT_LENGTH"].encode())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            what = (await receive())["type"]
            await send({"type": what + ".complete"})
            if what == "lifespan.shutdown":
                return
    block(parse_qs(scope["query_string"].decode()))
    path = scope["path"]
    body, more = str(os.getpid()).encode(), path != "/"
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    if path == "/talk":  # answers before it has the body
        await send(head)
        await send({"type": "http.response.body", "body": b"tell me more", "more_body": True})
    if path in ("/talk", "/length"):
        got = 0
        while more:
            message = await receive()
            got += len(message["body"])
            more = message["more_body"]
        body = str(got).encode()
    if path != "/talk":
        await send(head)
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        while not is_open():
            await asyncio.sleep(0.01)
        body = b"ended"
    await send({"type": "http.response.body", "body": body})
"""

FLASK = """
import os, time
from flask import Flask, request

application = Flask(__name__)

@application.get("/")
def sleep():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "runs"), "ab", buffering=0) as runs:
        runs.write(request.args["nonce"].encode() + b"\\n")
    time.sleep(int(request.args["ms"]) / 1000)
    return str(os.getpid())
"""


class Crew:
    """A server whose number of workers changes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.answers: list[tuple[str, int]] = []  # nonce, status
        self._nonces = iter(range(1_000_000))

    def get(self, target: str) -> Response:
        return fetch(self.server.address, "GET", target)

    def ask(self, connection: Connection, ms: int) -> None:
        nonce = f"n{next(self._nonces)}"
        self.answers.append((nonce, connection.request("GET", f"/?nonce={nonce}&ms={ms}").status))

    @contextmanager
    def load(self, clients: int, ms: int) -> Iterator[None]:
        """Clients that ask again and again until the block ends; what they raise, this raises."""
        stop = threading.Event()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                with Connection(self.server.address) as connection:
                    while not stop.is_set():
                        self.ask(connection, ms)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]

    def assert_each_ran_once(self) -> None:
        assert {status for _, status in self.answers} == {200}
        runs = Counter((self.folder / "runs").read_text().split())
        assert runs == Counter(nonce for nonce, _ in self.answers)

    def metrics(self) -> dict[str, float]:
        assert self.server.admin
        text = fetch(self.server.admin, "GET", "/metrics").body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def events(self, direction: str, reason: str) -> float:
        return self.metrics().get(f'pyspeed_scale_events_total{{direction="{direction}",reason="{reason}"}}', 0)

    def wait_for(self, count: int) -> set[int]:
        """Waits until so many workers are there, and none besides."""

        def there() -> bool:
            ready = self.metrics()["pyspeed_workers_ready"]
            return len(self.server.workers()) == count == ready

        eventually(there, f"{count} workers")
        assert self.metrics()["pyspeed_workers_wanted"] == count
        return set(self.server.workers())

    def open_gate(self) -> None:
        (self.folder / "gate").touch()


Open = Callable[..., Crew]


@pytest.fixture
def crew(start: Callable[..., Server], tmp_path: Path) -> Open:
    """A server: crew("1-4", "asgi", env={…}, idle_timeout="1s", …)."""

    def start_one(
        count: str, target: str = "wsgi", *, env: dict[str, str] | None = None, reload: bool = False, **workers: Any
    ) -> Crew:
        (tmp_path / "app.py").write_text(APP)
        (tmp_path / "flask_app.py").write_text(FLASK)
        target = target if ":" in target else f"app:{target}"
        number = int(count) if count.isdigit() else count
        settings = {
            "workers": {"count": number, "idle_timeout": "1s", **workers},
            "reload": {"enabled": reload, "browser": False},
        }
        return Crew(start(Spec(target, tmp_path, settings=settings, env=env or {})), tmp_path)

    return start_one


@pytest.mark.limit(180)
def test_grows_with_the_load_and_shrinks_after_it(crew: Open) -> None:
    one = crew("1-4", "flask_app:application", threads=2)
    one.wait_for(1)
    with one.load(clients=24, ms=50):
        one.wait_for(4)
    with one.load(clients=1, ms=1):
        one.wait_for(1)
    one.assert_each_ran_once()
    assert one.events("up", "queue") + one.events("up", "busy") >= 1
    assert one.events("down", "idle") >= 3
    assert one.server.log.wait_for(r"fewer workers: .* workers=1 .*reason=idle")


@pytest.mark.limit(120)
def test_a_held_event_loop_is_not_enough(crew: Open) -> None:
    one = crew("1-3", "asgi", idle_timeout="2s")
    with one.load(clients=12, ms=100):  # which hold the loop one after the other
        one.wait_for(3)
    one.wait_for(1)
    one.assert_each_ran_once()
    assert one.events("up", "queue") >= 1


@pytest.mark.limit(120)
def test_a_computing_event_loop_is_not_enough(crew: Open) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU is busy with one worker")
    compute = (
        "def work(s):\n    end = time.thread_time() + s\n    while time.thread_time() < end: pass\ntime.sleep = work"
    )
    one = crew("1-2", "asgi", env={"AT_IMPORT": compute})
    with one.load(clients=8, ms=20):
        one.wait_for(2)
    one.assert_each_ran_once()


@pytest.mark.limit(120)
def test_memory_bounds_the_growth(crew: Open) -> None:
    one = crew("1-4", threads=1, max_memory="300MiB", env={"BALLAST_MIB": "100"})
    with one.load(clients=12, ms=50):
        one.server.log.wait_for("more workers are wanted, but there is no memory for another")
        one.wait_for(2)
    one.assert_each_ran_once()


@pytest.mark.limit(120)
def test_auto_looks_at_the_memory_before_it_starts_all(crew: Open) -> None:
    cpus = min(3, len(os.sched_getaffinity(0)))
    if cpus < 2:
        pytest.skip("one worker is all that auto starts")
    small = crew("auto", max_memory="200MiB", env={"BALLAST_MIB": "100"})
    small.wait_for(1)
    small.server.log.wait_for("more workers are wanted, but there is no memory for another")
    large = crew("auto", max_memory=f"{cpus * 150}MiB", env={"BALLAST_MIB": "100"})
    large.server.log.wait_for("more workers: there is memory for them .*reason=auto")
    eventually(lambda: large.metrics()["pyspeed_workers_ready"] >= 2, "the others are ready")


@pytest.mark.limit(120)
def test_what_is_in_use_stays_open(crew: Open) -> None:
    one = crew("1-2", "asgi")
    with one.load(clients=8, ms=100):
        before = one.wait_for(2)
        streams = [
            Connection(one.server.address) for _ in range(16)
        ]  # more than there are clients: some on each worker
        for stream in streams:
            stream.send(request("GET", "/stream"))
    readers = [stream.events() for stream in streams]
    for reader in readers:
        assert isinstance(next(reader), Head)
        assert next(reader) == Data(b"begun ")
    eventually(lambda: one.metrics()["pyspeed_workers_wanted"] == 1, "one suffices")
    one.server.log.wait_for("fewer workers: fewer suffice")
    eventually(lambda: one.metrics()["pyspeed_workers_ready"] == 1, "one takes requests")
    assert set(one.server.workers()) == before, "a worker with open streams is gone"
    one.open_gate()
    for stream, reader in zip(streams, readers):
        assert next(reader) == Data(b"ended")
        stream.close()
    one.wait_for(1)
    one.assert_each_ran_once()


@pytest.mark.limit(300)
def test_from_1_to_8_to_1_by_signals(crew: Open, interface: str) -> None:
    one = crew("1", interface)
    with one.load(clients=16, ms=2):
        for count in range(2, 9):
            os.kill(one.server.pid, signal.SIGTTIN)
            one.wait_for(count)
        for count in range(7, 0, -1):
            os.kill(one.server.pid, signal.SIGTTOU)
            one.wait_for(count)
        os.kill(one.server.pid, signal.SIGTTOU)
        asked = len(one.answers)
        eventually(lambda: len(one.answers) > asked + 100, "the last worker answers on")
    one.wait_for(1)
    one.assert_each_ran_once()


def test_signals_move_the_minimum_of_a_range(crew: Open) -> None:
    one = crew("1-3")
    os.kill(one.server.pid, signal.SIGTTIN)
    one.wait_for(2)
    assert one.events("up", "minimum") == 1
    os.kill(one.server.pid, signal.SIGTTOU)
    one.wait_for(1)
    assert one.events("down", "idle") == 1


def test_the_first_request_starts_a_worker(crew: Open, interface: str) -> None:
    one = crew("0-2", interface)
    answers = []
    for _ in range(2):
        one.wait_for(0)
        assert one.server.admin and fetch(one.server.admin, "GET", "/ready").status == 200
        answers.append(one.get("/"))
    one.wait_for(0)
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body != answers[1].body
    assert (one.events("up", "demand"), one.events("down", "idle")) == (2, 2)


def test_the_first_request_has_a_chunked_body(crew: Open, interface: str) -> None:
    one = crew("0-1", interface, idle_timeout="30s")
    for _ in range(2):  # before anybody knows what reads it, and after
        with Connection(one.server.address) as connection:
            connection.send(request("POST", "/length", [("Transfer-Encoding", "chunked")]))
            for piece in (b"3\r\none\r\n", chunked([b"two"])):
                connection.send(piece)
            answer = connection.read_response("POST")
        assert (answer.status, answer.body) == (200, b"6 6" if interface == "wsgi" else b"6")
    assert one.events("up", "demand") == 1


def test_the_first_request_is_answered_while_its_body_arrives(crew: Open) -> None:
    one = crew("0-1", "asgi", idle_timeout="30s")
    with Connection(one.server.address) as connection:
        connection.send(request("POST", "/talk", [("Transfer-Encoding", "chunked")]) + b"3\r\none\r\n")
        events = connection.events("POST")
        assert isinstance(next(events), Head)
        assert next(events) == Data(b"tell me more")
        connection.send(chunked([b"two"]))
        assert next(events) == Data(b"6")


def test_the_first_worker_is_forked_where_the_application_is_imported_already(crew: Open) -> None:
    one = crew("0-1", preload=True)
    for _ in range(2):
        assert one.get("/").status == 200
        eventually(lambda: one.metrics()["pyspeed_workers_ready"] == 0, "no worker")
    assert one.events("up", "demand") == 2
    assert len(re.findall(rb"application imported", one.server.log.since())) == 1


def test_many_first_requests_start_one_worker(crew: Open) -> None:
    slow = "time.sleep(1)"  # at import: longer than a request may wait for a worker
    one = crew("0-1", queue_timeout="200ms", env={"AT_IMPORT": slow})
    connections = [Connection(one.server.address) for _ in range(50)]
    for connection in connections:
        connection.send(request("GET", "/"))
    assert {connection.read_response().status for connection in connections} == {200}
    for connection in connections:
        connection.close()
    assert one.events("up", "demand") == 1


def test_what_cannot_be_imported_is_tried_again(crew: Open, interface: str) -> None:
    one = crew("0-2", interface)
    (one.folder / "app.py").write_text("import nothing_of_that_name\n")
    for _ in range(2):
        answer = one.get("/")
        assert (answer.status, answer.get("retry-after") != "") == (503, True)
    log = one.server.log
    log.wait_for("ModuleNotFoundError: No module named 'nothing_of_that_name'")
    log.wait_for("cannot import the application: .*next_try_in=")
    log.wait_for(re.escape('File "') + ".*app.py")
    assert one.metrics()['pyspeed_failures_total{kind="no_worker"}'] == 2
    assert one.server.workers() == []
    (one.folder / "app.py").write_text(APP)
    assert one.get("/").status == 200


def test_broken_code_has_its_page_also_without_a_worker(crew: Open) -> None:
    one = crew("0-1", reload=True, idle_timeout="30s")
    (one.folder / "app.py").write_text("import nothing_of_that_name\n")
    for _ in range(2):  # the second one does not even start a worker
        answer = one.get("/")
        assert answer.status == 500
        assert b"No module named 'nothing_of_that_name'" in answer.body
    (one.folder / "app.py").write_text(APP)
    eventually(lambda: one.get("/").status == 200, "it has healed")
    assert one.server.log.wait_for("reloaded in")


def test_what_is_never_ready_is_given_up(crew: Open) -> None:
    one = crew("0-1", startup_timeout="1s", env={"AT_IMPORT": "time.sleep(600)"})
    assert one.get("/").status == 503
    one.server.log.wait_for("did not become ready within 1s")
    eventually(lambda: one.server.workers() == [], "it is gone")


def test_the_only_worker_dies(crew: Open) -> None:
    one = crew("0-1", idle_timeout="30s")
    first = one.get("/").body
    os.kill(int(first), 9)
    second = one.get("/")
    assert second.status == 200
    assert second.body != first
