"""An application with lifecycle hooks, for ``run_app`` by name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def post_fork() -> None:
    say("post_fork")


def post_worker_init() -> None:
    say("post_worker_init")


def worker_exit() -> None:
    say("worker_exit")


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
