"""An application that computes, about a millisecond of Python on one core of 2020."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "8")]


def work() -> int:
    total = 0
    for n in range(16_000):
        total = (total + n * n) & 0xFFFFFF
    return total


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = b"%08d" % work()
    start_response("200 OK", HEADERS)
    return [body]
