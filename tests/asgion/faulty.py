"""What asgion must find fault with, for the test to mean anything."""

from __future__ import annotations

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [("content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"twice", "more_body": False})
    try:
        await send({"type": "http.response.body", "body": b"twice", "more_body": False})
    except RuntimeError:
        pass  # the server says no, and asgion has seen it
