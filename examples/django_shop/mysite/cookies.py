"""ASGI middleware for Django before 6.0, which takes a comma between the Cookie fields of one request.

HTTP/2 clients send several (RFC 9113 §8.2.3), and so may others; they are one list, joined by "; ".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Application = Callable[..., Awaitable[None]]


def joined(app: Application) -> Application:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = scope.get("headers", ())
        cookies = [value for name, value in headers if name == b"cookie"]
        if len(cookies) > 1:
            rest = [(name, value) for name, value in headers if name != b"cookie"]
            scope = {**scope, "headers": [*rest, (b"cookie", b"; ".join(cookies))]}
        await app(scope, receive, send)

    return application
