"""The list of json_wsgi.py, encoded again for every request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from json_wsgi import RECORDS


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"this application does not speak {scope['type']}")
    body = json.dumps(RECORDS).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
