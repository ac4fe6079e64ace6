"""What cpu_wsgi.py does, on the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cpu_wsgi import work

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"8")]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"this application does not speak {scope['type']}")
    body = b"%08d" % work()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": body})
