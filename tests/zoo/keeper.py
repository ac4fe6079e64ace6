"""What the animals share.

An animal is a dict from paths to handlers, for WSGI or for ASGI; the keeper adds
``/ok``, ``/pid`` and ``/nonce``, and makes an application of it. ``/nonce`` notes
each run in the file that ZOO_RUNS names.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

StartResponse = Callable[..., Any]
WSGIApp = Callable[[dict[str, Any], StartResponse], Iterable[Any]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGIApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

PLAIN = [("Content-Type", "text/plain")]
PLAIN_BYTES = [(b"content-type", b"text/plain")]


def note(nonce: str) -> None:
    # One short write in append mode: the lines of several processes do not mix.
    with open(os.environ["ZOO_RUNS"], "ab", buffering=0) as runs:
        runs.write(nonce.encode() + b"\n")


def ordinary(path: str, query: str, header: str, body: bytes) -> bytes | None:
    """The answer of a well-behaved path; None for one that it does not know."""
    if path == "/ok":
        return b"ok"
    if path == "/pid":
        return str(os.getpid()).encode()
    if path == "/nonce":
        asked = parse_qs(query)
        nonce: str = header or asked.get("nonce", [""])[0] or json.loads(body)["nonce"]
        note(nonce)
        pad = "x" * int(asked.get("pad", ["0"])[0])
        return json.dumps({"nonce": nonce, "pad": pad}).encode()
    return None


def wait_for_gate(name: str = "gate") -> None:
    """Waits until the test lets it go on, by making the file ZOO_GATE.name."""
    gate, pause = f"{os.environ['ZOO_GATE']}.{name}", threading.Event()
    deadline = time.monotonic() + 60
    while not os.path.exists(gate) and time.monotonic() < deadline:
        pause.wait(0.01)


def wsgi_app(handlers: dict[str, WSGIApp]) -> WSGIApp:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[Any]:
        path = environ["PATH_INFO"]
        if path in handlers:
            return handlers[path](environ, start_response)
        body = environ["wsgi.input"].read()
        answer = ordinary(path, environ.get("QUERY_STRING", ""), environ.get("HTTP_X_NONCE", ""), body)
        start_response("404 Not Found" if answer is None else "200 OK", PLAIN)
        return [answer or b""]

    return app


async def read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def reply(send: Send, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": PLAIN_BYTES})
    await send({"type": "http.response.body", "body": body})


def asgi_app(handlers: dict[str, ASGIApp]) -> ASGIApp:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("the zoo speaks HTTP only")
        path = scope["path"]
        if path in handlers:
            await handlers[path](scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"x-nonce", b"").decode("latin-1")
        answer = ordinary(path, scope["query_string"].decode("latin-1"), header, await read_body(receive))
        await reply(send, answer or b"", 404 if answer is None else 200)

    return app
