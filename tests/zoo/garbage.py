"""Writes to descriptors that are not its own: the worker's connections to the gateway."""

from __future__ import annotations

import os
import select
from typing import Any

from keeper import PLAIN, Receive, Send, StartResponse, asgi_app, note, reply, wsgi_app

DATA, CONTROL = 3, 4
# Version 1, type STDOUT, id 1, 1000 bytes announced; and fewer sent.
TRUNCATED = bytes([1, 6, 0, 1, 0x03, 0xE8, 0, 0]) + b"only these"
WRITES = {
    "/garbage": (DATA, b"\xff" * 4096),
    "/http": (DATA, b"HTTP/1.1 200 OK\r\n\r\n" * 10),
    "/unknown-id": (DATA, bytes([1, 6, 0xFF, 0xFF, 0, 2, 0, 0]) + b"hi"),
    "/control": (CONTROL, b"\xff" * 4096),
}


def spoil(path: str) -> None:
    note(path)
    select.select([], [DATA], [])  # the gateway may have answers to take first
    if path == "/truncated":
        os.write(DATA, TRUNCATED)
        os._exit(0)
    descriptor, junk = WRITES[path]
    os.write(descriptor, junk)


def wsgi_handler(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    spoil(environ["PATH_INFO"])
    start_response("200 OK", PLAIN)
    return [b"spoilt"]


async def asgi_handler(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    spoil(scope["path"])
    await reply(send, b"spoilt")


PATHS = (*WRITES, "/truncated")
wsgi = wsgi_app(dict.fromkeys(PATHS, wsgi_handler))
asgi = asgi_app(dict.fromkeys(PATHS, asgi_handler))
