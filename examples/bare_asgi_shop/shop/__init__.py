"""A small shop over SQLite, in ASGI 3.0 alone.

What asks the database runs in a thread (``asyncio.to_thread``), so that the event loop goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from . import catalog, db, files, lab, orders
from .http import Receive, Refused, Request, Scope, Send, send_json

ROUTES = [*catalog.ROUTES, *files.ROUTES, *lab.ROUTES, *orders.ROUTES]


def find(request: Request) -> Callable[[Request, Send], Awaitable[None]]:
    """The handler of the request; the groups of its path's pattern go into ``request.args``."""
    allowed = set()
    for methods, pattern, handler in ROUTES:
        match = pattern.fullmatch(request.path)
        if match is None:
            continue
        # RFC 9110 §9.3.2: HEAD is GET without the content, which the server leaves out.
        if request.method in methods or (request.method == "HEAD" and "GET" in methods):
            request.args = match.groupdict()
            return handler
        allowed.update(methods)
    if allowed:
        raise Refused(405, "this page does not take that method", [("allow", ", ".join(sorted(allowed)))])
    raise Refused(404, "nothing is sold here")


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    try:
        await find(request)(request, send)
    except Refused as refused:
        # Handlers raise it before they send anything.
        await send_json(send, {"error": refused.reason, "path": request.path}, refused.status, refused.headers)


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            db.prepare()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)
    else:
        raise NotImplementedError(f"the shop does not speak {scope['type']}")
