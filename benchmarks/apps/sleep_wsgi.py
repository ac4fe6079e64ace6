"""A WSGI application that waits 10 ms, as one that asks a database does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "5")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.010)
    start_response("200 OK", HEADERS)
    return [b"slept"]
