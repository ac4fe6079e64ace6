"""The answers of stream_wsgi.py, each part sent by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from stream_wsgi import chunks, events

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"this application does not speak {scope['type']}")
    sse = scope["path"] == "/events"
    kind = b"text/event-stream" if sse else b"application/octet-stream"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for part in events() if sse else chunks():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})
