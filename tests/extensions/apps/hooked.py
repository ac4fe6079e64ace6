"""Lifecycle hooks of every shape. What they saw goes to standard output, and so to the log."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from hooked_elsewhere import post_worker_init as imported_hook  # noqa: F401 - not a hook of this module

print("hook: import", flush=True)


def say(*words: object) -> None:
    main = threading.current_thread() is threading.main_thread()
    print("hook:", *words, "main" if main else "other", flush=True)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    say("request")
    start_response("200 OK", [])
    return [b"hooked"]


def create_app() -> Any:
    say("factory")
    return application


def post_fork(server: Any, worker: Any) -> None:
    server.log.info("hook: through the log")
    say("post_fork", server.pid == os.getppid(), worker.id, worker.age, worker.pid == os.getpid(), worker.app)


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


@logged
def post_worker_init(worker: Any) -> None:
    say("post_worker_init", worker.app is application)


def worker_exit() -> None:
    say("worker_exit")
    if os.environ.get("HOOK") == "exit":
        raise LookupError("on purpose, at the end")
