"""Requests of every character, whose answers follow from what is asked alone: they can be compared with a plain call's.

``/any/path?nonce=N&kind=K&n=NUMBER``; the kinds are the functions below. Each run is noted, and so is that two
run at once in one process. ``/connections`` tells how many database connections its threads have open.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs

from keeper import PLAIN, StartResponse, note

# What asks the server itself: (target) -> body. A test that calls the application plainly sets another.
Ask = Callable[[str], bytes]

_mine: ContextVar[str] = ContextVar("mine", default="")
_local = threading.local()
_lock = threading.Lock()
_running = 0
_connections = 0


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).hexdigest().encode()


def short(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    return [digest("short", nonce)]


def sleep(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    time.sleep(n / 1000)
    return [digest("sleep", nonce)]


def compute(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    total = n
    for step in range(n * 1000):
        total = (total * 1103515245 + step) & 0x7FFFFFFF
    return [digest("compute", nonce, total)]


def upload(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    return [digest("upload", nonce, body)]


def big(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    return [digest("big", nonce) * (n * 100)]


def stream(nonce: str, n: int, body: bytes, ask: Ask) -> Iterator[bytes]:
    for number in range(n):
        if number % 3 == 1:
            time.sleep(0.001)
        yield digest("stream", nonce, number) * 20


def context(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    """Each request has a context of its own, from its first line to its last chunk."""
    before = _mine.get()
    _mine.set(nonce)
    time.sleep(n / 5000)
    yield digest("context", nonce, before, _mine.get())
    time.sleep(n / 5000)
    yield digest("context", nonce, _mine.get())


def ask(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    """Asks the server itself, through its front door."""
    kind = ("short", "sleep", "stream", "compute")[n % 4]
    return [digest("ask", nonce), ask(f"/inner/{kind}?nonce={nonce}.inner&kind={kind}&n={n}")]


def fail(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    raise ValueError(f"on purpose: {nonce}")


def database(nonce: str, n: int, body: bytes, ask: Ask) -> Iterable[bytes]:
    """One connection per thread, as ORMs have it."""
    global _connections
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = sqlite3.connect(":memory:")
        with _lock:
            _connections += 1
    (found,) = connection.execute("select ? || '!'", (nonce,)).fetchone()
    time.sleep(n / 1000)
    return [digest("database", found)]


KINDS = {
    function.__name__: function
    for function in (short, sleep, compute, upload, big, stream, context, ask, fail, database)
}


def by_http(environ: dict[str, Any]) -> Ask:
    """Asks the server that the request came through."""

    def fetch(target: str) -> bytes:
        host, _, port = environ["HTTP_HOST"].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"asked {target}: {answer.status}")
            return answer.read()
        finally:
            connection.close()

    return fetch


class Mixture:
    """The WSGI application. ``asks`` makes of an environ what asks the server itself."""

    def __init__(self, asks: Callable[[dict[str, Any]], Ask]) -> None:
        self._asks = asks

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        global _running
        with _lock:
            _running += 1
            if _running > 1:
                note(f"overlap-{os.getpid()}")
        try:
            yield from self._run(environ, start_response)
        finally:
            with _lock:
                _running -= 1

    def _run(self, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/connections":
            start_response("200 OK", PLAIN)
            yield json.dumps(_connections).encode()
            return
        asked = parse_qs(environ["QUERY_STRING"])
        nonce, kind, n = asked["nonce"][0], asked["kind"][0], int(asked["n"][0])
        note(nonce)
        body = environ["wsgi.input"].read()
        chunks = KINDS[kind](nonce, n, body, self._asks(environ))
        start_response("200 OK", [*PLAIN, ("X-Nonce", nonce)])
        yield from chunks


wsgi = Mixture(by_http)
