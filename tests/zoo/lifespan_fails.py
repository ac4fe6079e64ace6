"""ASGI applications whose start-up fails, in the ways there are."""

from __future__ import annotations

import asyncio
from typing import Any

from keeper import Receive, Send, note, reply


async def says_so(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database here"})
        return
    await reply(send, b"never")


async def raises(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        raise RuntimeError("no database here")
    await reply(send, b"raised")


async def waits(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    note("waits")
    await asyncio.Event().wait()
