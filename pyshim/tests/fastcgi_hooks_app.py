"""An application with lifecycle hooks, for the FastCGI responder."""

from __future__ import annotations

import sys
from typing import Any, List

called: List[str] = []


def post_fork() -> None:
    called.append("post_fork")


def post_worker_init(worker: Any) -> None:
    called.append("post_worker_init %s" % worker.app.__name__)


def worker_exit() -> None:
    sys.stderr.write("worker_exit after %s\n" % called[-1])


def app(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = ", ".join(called).encode()
    called.append("a request")
    return [body]
