"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import asyncio
import json
import re
from http.cookies import SimpleCookie

from . import db
from .http import Refused, Request, Send, send_json, send_whole

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def echo(request: Request, send: Send) -> None:
    await send_whole(send, 200, request.header("content-type", "application/octet-stream"), await request.body())


async def info(request: Request, send: Send) -> None:
    client = request.scope.get("client")
    await send_json(
        send,
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "remote_addr": client[0] if client else None,
            "scheme": request.scope["scheme"],
            "host": request.header("host"),
        },
    )


def count(nonce: str) -> int:
    with db.session() as database:
        # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
        database.execute("INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (nonce,))
        runs: int = database.execute("SELECT runs FROM nonces WHERE nonce = ?", (nonce,)).fetchone()[0]
        return runs


def counted(prefix: str) -> dict[str, int]:
    with db.session() as database:
        rows = database.execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
        return {row["nonce"]: row["runs"] for row in rows}


async def nonce(request: Request, send: Send) -> None:
    # The body is read whole first: a request that never arrived whole never counts.
    body = await request.body()
    value = request.header("x-nonce") or request.params.get("nonce")
    if not value and body:
        value = json.loads(body)["nonce"]
    if not value:
        raise Refused(400, "no nonce in header, query or body")
    runs = await asyncio.to_thread(count, value)
    await send_json(send, {"nonce": value, "runs": runs, "pad": "x" * request.number("pad", 0)})


async def nonces(request: Request, send: Send) -> None:
    """How often each nonce with this prefix ran."""
    await send_json(send, await asyncio.to_thread(counted, request.params.get("prefix", "")))


async def set_cookies(request: Request, send: Send) -> None:
    jar = SimpleCookie(request.params)
    for morsel in jar.values():
        morsel.update({"path": "/", "httponly": True, "samesite": "lax"})
    # A field of its own for each (RFC 6265 §3).
    fields = [("set-cookie", morsel.OutputString()) for morsel in jar.values()]
    await send_json(send, {"set": list(request.params)}, 200, fields)


async def cookies(request: Request, send: Send) -> None:
    await send_json(send, request.cookies)


async def slow(request: Request, send: Send) -> None:
    ms = request.number("ms", 100)
    await asyncio.sleep(ms / 1000)
    await send_json(send, {"slept_ms": ms})


async def large_header(request: Request, send: Send) -> None:
    await send_json(send, {"ok": True}, 200, [("x-large", "h" * request.number("bytes", 4096))])


async def empty(request: Request, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def error(request: Request, send: Send) -> None:
    raise RuntimeError("the till is broken")


ROUTES = [
    (["POST"], re.compile("/echo"), echo),
    (METHODS, re.compile("/info(/.*)?", re.DOTALL), info),
    (["GET", "POST"], re.compile("/nonce"), nonce),
    (["GET"], re.compile("/nonces"), nonces),
    (["GET"], re.compile("/cookies/set"), set_cookies),
    (["GET"], re.compile("/cookies"), cookies),
    (["GET"], re.compile("/slow"), slow),
    (["GET"], re.compile("/large-header"), large_header),
    (["GET"], re.compile("/empty"), empty),
    (["GET"], re.compile("/error"), error),
]
