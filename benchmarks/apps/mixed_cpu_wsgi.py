"""Answers / at once, and /slow after half a second of computing, as an application with one heavy report does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def work(seconds: float) -> int:
    """Compute for so much CPU time of this thread, however many others compute beside it."""
    end = time.thread_time() + seconds
    total = 0
    while time.thread_time() < end:
        for n in range(2_000):
            total = (total + n * n) & 0xFFFFFF
    return total


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/slow":
        work(0.500)
    start_response("200 OK", HEADERS)
    return [b"Hello, World!"]
