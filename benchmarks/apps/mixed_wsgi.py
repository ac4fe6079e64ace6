"""Answers / at once, and /slow after half a second, as an application with one slow report does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.500)
    start_response("200 OK", HEADERS)
    return [b"Hello, World!"]
