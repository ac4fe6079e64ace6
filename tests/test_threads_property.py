"""Adaptive threads never change an answer: random mixes of requests, compared with plain calls of the application.

The seed of a failed run is in its output; PYSPEED_TEST_SEED repeats it.
"""

from __future__ import annotations

import importlib.util
import io
import os
import random
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness import zoo
from harness.client import Address, Connection

pytestmark = pytest.mark.pyspeed

StartZoo = Callable[..., zoo.Zoo]


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    body: bytes
    asks: bool  # it asks the server itself


@dataclass
class Expected:
    status: int
    body: bytes


class PlainCalls:
    """The application in this process, called plainly: one request after the other, on one thread, without a server."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ZOO_RUNS", str(folder / "plain-runs"))
        monkeypatch.syspath_prepend(str(zoo.DIRECTORY))
        found = importlib.util.spec_from_file_location("mixture_called_plainly", zoo.DIRECTORY / "mixture.py")
        assert found is not None and found.loader is not None
        self.module = importlib.util.module_from_spec(found)
        found.loader.exec_module(self.module)
        self._app = self.module.Mixture(lambda environ: lambda target: self.call("GET", target, b"").body)

    def call(self, method: str, target: str, body: bytes) -> Expected:
        path, _, query = target.partition("?")
        statuses: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            statuses.append(status)

        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO(body)}
        try:
            whole = b"".join(copy_context().run(list, self._app(environ, start_response)))
        except ValueError:
            return Expected(500, b"")
        return Expected(int(statuses[0][:3]), whole)


def plan(rng: random.Random, nonce: str, *, asking: bool) -> Request:
    """One request. Its path may tell what kind it is, or not, or hold something of its own, as paths do."""
    kind = rng.choices(
        ["short", "sleep", "compute", "upload", "big", "stream", "context", "fail", "database", "ask"],
        [40, 6, 4, 8, 3, 8, 6, 2, 6, 5 if asking else 0],
    )[0]
    n = {"sleep": rng.choice([0, 1, 4, 12, 40]), "compute": rng.choice([1, 8, 40])}.get(kind, rng.randrange(1, 12))
    body = rng.randbytes(rng.choice([0, 10, 3000, 70000, 400000])) if kind == "upload" else b""
    path = rng.choice(
        ["/any", f"/{kind}", f"/{kind}/{rng.randrange(1000)}", f"/{chr(rng.randrange(97, 123)) * 3}/{nonce}"]
    )
    return Request(
        "POST" if kind == "upload" else "GET", f"{path}?nonce={nonce}&kind={kind}&n={n}", body, kind == "ask"
    )


class Client(threading.Thread):
    """Sends its requests one after the other, and compares each answer."""

    def __init__(
        self,
        address: Address,
        requests: list[tuple[Request, Expected]],
        asking: threading.Semaphore,
        over: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._address, self._requests, self._asking, self._over = address, requests, asking, over
        self.failure = ""

    def run(self) -> None:
        request = None
        try:
            with Connection(self._address) as connection:
                for request, expected in self._requests:
                    if self._over.is_set():
                        return
                    self._send(connection, request, expected)
        except Exception as error:
            self.failure = f"{request}: {error!r}"
            self._over.set()

    def _send(self, connection: Connection, request: Request, expected: Expected) -> None:
        if request.asks:
            self._asking.acquire()
        try:
            answer = connection.request(request.method, request.target, body=request.body)
        finally:
            if request.asks:
                self._asking.release()
        got = (answer.status, answer.body if answer.status == 200 else b"")
        assert got == (expected.status, expected.body), f"{got} instead of {expected}"


# With one thread each, one worker waits for the other: a worker alone would wait for itself, whoever serves it.
@pytest.mark.parametrize(
    ("threads", "workers"), [("auto", 1), ("auto", 3), (4, 1), (4, 2), (1, 1), (1, 2)], ids=lambda value: str(value)
)
@pytest.mark.limit(240)
def test_every_answer_is_that_of_a_plain_call(
    start_zoo: StartZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int | str, workers: int
) -> None:
    seed = int(os.environ.get("PYSPEED_TEST_SEED") or random.randrange(1 << 32))
    print(f"PYSPEED_TEST_SEED={seed}")
    rng = random.Random(seed)
    plain = PlainCalls(tmp_path, monkeypatch)
    animal = start_zoo("mixture", "wsgi", workers=workers, settings={"workers": {"threads": threads, "timeout": "20s"}})

    # Of those that ask the server itself as many at once as leave one thread somewhere for what they ask.
    places = workers * (64 if threads == "auto" else int(threads))
    asking = threading.Semaphore(max(1, places - 1))
    over = threading.Event()
    requests: list[Request] = []
    clients = []
    for client in range(rng.choice([2, 9, 24])):
        mine = [plan(rng, f"n{client}-{number}", asking=places > 1) for number in range(rng.randrange(10, 60))]
        requests += mine
        expected = [(request, plain.call(request.method, request.target, request.body)) for request in mine]
        clients.append(Client(animal.address, expected, asking, over))
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert not [one.failure for one in clients if one.failure], f"seed {seed}"

    runs = animal.runs("n")
    wanted = {request.target.partition("nonce=")[2].partition("&")[0] for request in requests}
    wanted |= {
        f"{nonce}.inner" for nonce in {r.target.partition("nonce=")[2].partition("&")[0] for r in requests if r.asks}
    }
    assert set(runs) == wanted
    assert set(runs.values()) == {1}, "each ran once"
    if threads == 1:
        assert not animal.runs("overlap"), "one thread never runs two at once"


@pytest.mark.parametrize("path", ["/database", "/any"], ids=["told by the path", "not told"])
def test_connections_stay_near_the_real_concurrency(start_zoo: StartZoo, path: str) -> None:
    """Many threads were needed once; of four clients' requests nearly all are run by the same few threads."""
    animal = start_zoo("mixture", "wsgi", workers=1)

    def load(name: str, clients: int, each: int, kind: str, n: int) -> None:
        def client(number: int) -> None:
            with Connection(animal.address) as connection:
                for turn in range(each):
                    target = f"{path}?nonce={name}-{number}-{turn}&kind={kind}&n={n}"
                    assert connection.request("GET", target).status == 200
                done.append(number)

        done: list[int] = []
        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == clients

    load("crowd", 40, 2, "sleep", 200)
    load("few", 4, 60, "database", 4)
    connections: Any = animal.get("/connections").json()
    assert 1 <= connections <= 4 + 3
    assert set((animal.runs("crowd") + animal.runs("few")).values()) == {1}
