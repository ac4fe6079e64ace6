"""Hides and searches in WSGI: bare (``wsgi``) and in Flask (``flask``).

Paths say how the request is answered; ``in_reach`` of what came in goes back as JSON.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, g, request
from stash import VARIABLE, hide, hide_in_shim, in_reach, others

Environ = dict[str, Any]

LOCAL = threading.local()
LOCK = threading.Lock()
SHARED: list[tuple[str, str]] = []  # one list of header fields for all requests


class Visit:
    """One request, from its first look around to its last."""

    def __init__(self, environ: Environ) -> None:
        self.own: str = environ["HTTP_X_SECRET"]
        self.environ = environ
        self.found = in_reach(self.own, environ)
        if VARIABLE.get(""):
            self.found.append(f"context variable: {VARIABLE.get()}")
        if getattr(LOCAL, "running", None):
            self.found.append(f"{LOCAL.running} runs on this thread")
        LOCAL.running = self.own
        VARIABLE.set(self.own)
        hide(self.own, environ)
        for key in list(environ):
            if isinstance(environ[key], (str, tuple)) and key not in ("REQUEST_METHOD", "wsgi.url_scheme"):
                environ[key] = self.own
        hide_in_shim(self.own)

    def report(self) -> bytes:
        """A look at what was hidden: it must be there still, and nothing else."""
        self.found += others(self.own, "own environ, later", self.environ)
        if self.environ["stash"] != self.own or VARIABLE.get("") != self.own or LOCAL.running != self.own:
            self.found.append(f"lost: {self.environ['stash']}, {VARIABLE.get('')}, {LOCAL.running}")
        return json.dumps({"own": self.own, "found": self.found}).encode()

    def end(self) -> None:
        LOCAL.running = None

    def fields(self) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json"), ("X-Own", self.own)]


class Chunks:
    """An answer in pieces, with waits between them."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b" " * 10
        time.sleep(0.002)
        yield self.visit.report()

    def close(self) -> None:
        if VARIABLE.get("") != self.visit.own or LOCAL.running != self.visit.own:
            raise AssertionError(f"closed elsewhere: {VARIABLE.get('')}, {LOCAL.running}")
        self.visit.end()


def attempt(function: Any, *arguments: Any) -> None:
    try:
        function(*arguments)
    except (AssertionError, ValueError, OSError):
        pass  # it says that the answer is complete


def misuse_what_was_kept(own: str, environ: Environ, start_response: Any, write: Any) -> None:
    """Earlier requests of this thread are over: what the server gave them must not reach anybody now."""
    kept = getattr(LOCAL, "kept", None)
    if kept is None:
        kept = LOCAL.kept = []
    for old_environ, old_start, old_write, old_input in kept:
        hide(own, old_environ)
        attempt(old_start, "200 OK", [("X-Own", own)])
        attempt(old_write, own.encode())
        attempt(old_input.read)
    kept.append((environ, start_response, write, environ["wsgi.input"]))
    del kept[:-4]


def wsgi(environ: Environ, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    visit = Visit(environ)
    own = visit.own
    if path == "/shared":
        with LOCK:
            SHARED[:] = visit.fields()
            write = start_response("200 OK", SHARED)
    else:
        fields = visit.fields()
        write = start_response("200 OK", fields)
        fields.append(("X-Late", own))
    misuse_what_was_kept(own, environ, start_response, write)
    time.sleep(0.002 if path != "/quick" else 0)
    if path == "/chunks":
        return Chunks(visit)
    if path == "/raise":
        visit.end()
        raise RuntimeError(own)
    if path == "/body":
        body = environ["wsgi.input"].read(50_000)  # and leaves the rest
        visit.found += others(own, "body", body)
        if own.encode() not in body:
            visit.found.append("body without the own secret")
    answer = visit.report()
    visit.end()
    if path == "/write":
        write(answer)
        return []
    if path == "/file":
        return environ["wsgi.file_wrapper"](io.BytesIO(answer))
    return [answer]


flask = Flask(__name__)


@flask.route("/<path:kind>", methods=["GET", "POST"])
def page(kind: str) -> Response:
    visit = Visit(request.environ)
    if hasattr(g, "own"):
        visit.found.append(f"g: {g.own}")
    g.own = visit.own
    time.sleep(0.002)
    if g.own != visit.own:
        visit.found.append(f"g, later: {g.own}")
    if kind == "raise":
        visit.end()
        raise RuntimeError(visit.own)
    if kind == "body" and visit.own.encode() not in request.get_data():
        visit.found.append("body without the own secret")
    answer = Response(Chunks(visit) if kind == "chunks" else visit.report())
    answer.call_on_close(visit.end)
    answer.headers["X-Own"] = g.own
    return answer
