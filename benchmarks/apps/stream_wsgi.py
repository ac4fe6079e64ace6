"""Streamed answers of unknown length: / in 32 chunks of 1 KiB, /events as 20 server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

CHUNK = bytes(range(48, 112)) * 16


def chunks() -> Iterator[bytes]:
    for _ in range(32):
        yield CHUNK


def events() -> Iterator[bytes]:
    for number in range(20):
        yield b'id: %d\ndata: {"price": %d, "symbol": "ABC"}\n\n' % (number, number * 7)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
        return events()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return chunks()
