"""Requests that never end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

from keeper import Receive, Send, StartResponse, asgi_app, note, wsgi_app


def hang(_environ: dict[str, Any], _start_response: StartResponse) -> Iterable[bytes]:
    note("hang")
    threading.Event().wait()
    return [b"never"]


async def hang_async(_scope: dict[str, Any], _receive: Receive, _send: Send) -> None:
    note("hang")
    await asyncio.Event().wait()


async def block(_scope: dict[str, Any], _receive: Receive, _send: Send) -> None:
    note("hang")
    threading.Event().wait()


wsgi = wsgi_app({"/hang": hang, "/block": hang})
asgi = asgi_app({"/hang": hang_async, "/block": block})
