"""Hides and searches in ASGI: bare (``asgi``) and in Starlette (``starlette``).

Paths say how the request is answered; ``in_reach`` of what came in goes back as JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from stash import VARIABLE, hide, hide_in_shim, in_reach, others

Scope = dict[str, Any]

KEPT: list[Any] = []  # send() and receive() of requests that are over
TEMPLATE: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}  # one for all


class Visit:
    """One request, from its first look around to its last."""

    def __init__(self, scope: Scope) -> None:
        self.own: str = dict(scope["headers"])[b"x-secret"].decode()
        self.scope = scope
        # What hangs on the lifespan's state is shared, its names are not (ASGI, lifespan state).
        scope["state"]["shared"].append(self.own)
        state = {key: value for key, value in scope["state"].items() if key != "shared"}
        self.found = in_reach(
            self.own, {**{k: v for k, v in scope.items() if k not in ("app", "router")}, "state": state}
        )
        if state.get("plain") != "nothing":
            self.found.append(f"state: {state}")
        if VARIABLE.get(""):
            self.found.append(f"context variable: {VARIABLE.get()}")
        VARIABLE.set(self.own)
        scope["state"]["plain"] = scope["state"]["new"] = self.own
        for key in ("asgi", "extensions", "headers"):
            hide(self.own, scope[key])
        scope["stash"] = scope["root_path"] = scope["raw_path"] = self.own
        hide_in_shim(self.own)

    def report(self) -> bytes:
        """A look at what was hidden: it must be there still, and nothing else."""
        for key in ("asgi", "extensions", "headers", "stash", "root_path", "raw_path"):
            self.found += others(self.own, f"own scope, later, {key}", self.scope[key])
        if VARIABLE.get("") != self.own or self.scope["state"]["plain"] != self.own:
            self.found.append(f"lost: {VARIABLE.get('')}, {self.scope['state']['plain']}")
        return json.dumps({"own": self.own, "found": self.found}).encode()


async def refused(send: Any, message: dict[str, Any]) -> bool:
    try:
        await send(message)
    except (RuntimeError, OSError):
        return True
    return False


async def misuse_what_was_kept(own: str) -> None:
    """Those requests are over: what the server gave them must not reach anybody now."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-own", own.encode())]}
    for send, receive in KEPT[-4:]:
        if not (await refused(send, start) and await refused(send, {"type": "http.response.body", "body": b"x"})):
            raise AssertionError("a send() of a request that is over was taken")
        message = await receive()
        if message["type"] != "http.disconnect":
            raise AssertionError(f"a request that is over received {message}")
    del KEPT[:-4]


async def lifespan(scope: Scope, receive: Any, send: Any) -> None:
    scope["state"].update(shared=[], plain="nothing")
    VARIABLE.set("secret-0-0-0.")  # of the lifespan's task alone
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def later(own: str) -> None:
    """Goes on after the answer, in a copy of its request's context."""
    await asyncio.sleep(0.001)
    assert VARIABLE.get() == own
    VARIABLE.set(own + " later")


async def asgi(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    path = scope["path"]
    visit = Visit(scope)
    own = visit.own
    await misuse_what_was_kept(own)
    task = asyncio.ensure_future(later(own))
    if path == "/raise":
        await task
        raise RuntimeError(own)
    await asyncio.sleep(0 if path == "/quick" else 0.002)
    if path == "/body":
        message = await receive()  # the first piece of it
        visit.found += others(own, "body", message["body"])
        if own.encode() not in message["body"]:
            visit.found.append("body without the own secret")
        hide(own, message)
    # One message for all requests, changed again as soon as send() has taken it.
    fields = TEMPLATE["headers"] if path == "/shared" else []
    fields[:] = [(b"content-type", b"application/json"), (b"x-own", own.encode())]
    await send(TEMPLATE if path == "/shared" else {**TEMPLATE, "headers": fields})
    fields.append((b"x-late", own.encode()))
    answer = bytearray(visit.report())
    if path == "/chunks":
        await send({"type": "http.response.body", "body": bytearray(b" " * 10), "more_body": True})
        await asyncio.sleep(0.002)
        answer[:] = visit.report()
    await send({"type": "http.response.body", "body": answer})
    answer[:] = b"?" * len(answer)
    await task
    KEPT.append((send, receive))
    return None


@asynccontextmanager
async def state(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"shared": [], "plain": "nothing"}


async def page(request: Request) -> Response:
    visit = Visit(request.scope)
    request.state.mine = visit.own
    await asyncio.sleep(0.002)
    if request.state.mine != visit.own:
        visit.found.append(f"request.state: {request.state.mine}")
    kind = request.path_params["kind"]
    if kind == "raise":
        raise RuntimeError(visit.own)
    if kind == "body" and visit.own.encode() not in await request.body():
        visit.found.append("body without the own secret")
    fields = {"X-Own": visit.own}
    if kind == "chunks":

        async def chunks() -> AsyncIterator[bytes]:
            yield b" " * 10
            await asyncio.sleep(0.002)
            yield visit.report()

        return StreamingResponse(chunks(), headers=fields, background=BackgroundTask(later, visit.own))
    return Response(visit.report(), headers=fields, background=BackgroundTask(later, visit.own))


starlette = Starlette(routes=[Route("/{kind:path}", page, methods=["GET", "POST"])], lifespan=state)
