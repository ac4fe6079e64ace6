"""Applications with breakpoints, for ``--reload`` on a terminal."""

from __future__ import annotations

import pdb
import time
from collections.abc import Iterable
from typing import Any

from keeper import Receive, Send, StartResponse, asgi_app, note, wsgi_app


def sleep_long() -> None:
    note("asleep")
    time.sleep(3600)


def work(path: str) -> bytes:
    """What a request does, in both interfaces."""
    secret = "se" + "cret"
    if path == "/break":
        breakpoint()
        secret += "."
        secret += "."
    elif path == "/trace":
        pdb.set_trace()
    elif path == "/dead":
        try:
            raise ValueError(secret)
        except ValueError:
            pdb.post_mortem()
    elif path == "/long":
        breakpoint()
        sleep_long()
    return secret.encode()


def handler(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    answer = work(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]


async def async_handler(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    answer = work(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})


PATHS = ("/break", "/trace", "/dead", "/long")
wsgi = wsgi_app(dict.fromkeys(PATHS, handler))
asgi = asgi_app(dict.fromkeys(PATHS, async_handler))
