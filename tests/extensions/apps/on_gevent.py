"""A WSGI application for the model gevent: every way in which a greenlet waits, and one that does not."""

from __future__ import annotations

import contextvars
import json
import os
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gevent
import requests

PATCHED_BEFORE = time.sleep.__module__  # as it was when this module was imported

local = threading.local()
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
gates: dict[str, gevent.event.Event] = {}
inside = most = 0
left: list[str] = []


def gate(name: str) -> Any:
    return gates.setdefault(name, threading.Event())


def application(environ: dict[str, Any], start_response: Any) -> Any:
    global inside, most
    inside += 1
    most = max(most, inside)
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    try:
        answer = ROUTES[environ["PATH_INFO"]](environ, query)
    finally:
        inside -= 1
    if isinstance(answer, str):
        answer = [answer.encode()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return answer


def hello(environ: dict[str, Any], query: dict[str, str]) -> str:
    return "hello"


def about(environ: dict[str, Any], query: dict[str, str]) -> str:
    return json.dumps(
        {
            "patched_before": PATCHED_BEFORE,
            "main": threading.current_thread() is threading.main_thread(),
            "multithread": environ["wsgi.multithread"],
            "most": most,
            "left": left,
            "pid": os.getpid(),
        }
    )


def waits(environ: dict[str, Any], query: dict[str, str]) -> str:
    """Until /opens, holding what is the request's own."""
    local.value = query["n"]
    token = variable.set(query["n"])
    gate(query["gate"]).wait()
    seen = f"{local.value} {variable.get()}"
    variable.reset(token)
    return seen


def fresh(environ: dict[str, Any], query: dict[str, str]) -> str:
    return repr([getattr(local, "value", ""), variable.get()])


def opens(environ: dict[str, Any], query: dict[str, str]) -> str:
    gate(query["gate"]).set()
    return "opened"


def holding(environ: dict[str, Any], query: dict[str, str]) -> str:
    return str(inside)


def calls(environ: dict[str, Any], query: dict[str, str]) -> str:
    """Another request to this very worker, so it must go on meanwhile."""
    url = f"http://{environ['HTTP_HOST']}/hello"
    with urllib.request.urlopen(url, timeout=20) as answer:
        first: bytes = answer.read()
    return first.decode() + requests.get(url, timeout=20).text


def body(environ: dict[str, Any], query: dict[str, str]) -> str:
    size = 0
    for piece in iter(lambda: environ["wsgi.input"].read(50_000), b""):
        size += len(piece)
    return str(size)


def streams(environ: dict[str, Any], query: dict[str, str]) -> Any:
    yield b"first\n"
    gate(query["gate"]).wait()
    yield b"second\n"


def floods(environ: dict[str, Any], query: dict[str, str]) -> Any:
    """More than any window: goes on only as the client reads."""
    try:
        while True:
            yield b"x" * 65536
    finally:
        left.append("floods")


def hogs(environ: dict[str, Any], query: dict[str, str]) -> str:
    """Does not give up the thread until the gate's file is there."""
    Path(os.environ["HOGS"]).touch()
    while not os.path.exists(os.environ["HOGS"] + ".gate"):
        pass
    return "hogged"


def fails(environ: dict[str, Any], query: dict[str, str]) -> str:
    raise LookupError("on purpose")


def times_out(environ: dict[str, Any], query: dict[str, str]) -> str:
    with gevent.Timeout(0.01):
        gate("never").wait()
    return "not reached"


ROUTES = {
    "/hello": hello,
    "/about": about,
    "/waits": waits,
    "/fresh": fresh,
    "/opens": opens,
    "/holding": holding,
    "/calls": calls,
    "/body": body,
    "/streams": streams,
    "/floods": floods,
    "/hogs": hogs,
    "/fails": fails,
    "/times-out": times_out,
}
