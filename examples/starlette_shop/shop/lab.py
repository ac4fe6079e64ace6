"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import asyncio
import json

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import db
from .query import number

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def echo(request: Request) -> Response:
    media_type = request.headers.get("content-type", "application/octet-stream")
    return Response(await request.body(), media_type=media_type)


async def info(request: Request) -> JSONResponse:
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["path"],
            "query": request.scope["query_string"].decode("latin-1"),
            "headers": [[name, value] for name, value in request.headers.items()],
            "remote_addr": request.client.host if request.client else None,
            "scheme": request.url.scheme,
            "host": request.headers.get("host"),
        }
    )


def count(nonce: str) -> int:
    with db.session() as database:
        # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
        database.execute("INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (nonce,))
        runs: int = database.execute("SELECT runs FROM nonces WHERE nonce = ?", (nonce,)).fetchone()[0]
        return runs


async def nonce(request: Request) -> JSONResponse:
    # The body is read whole first: a request that never arrived whole never counts.
    body = await request.body()
    value = request.headers.get("x-nonce") or request.query_params.get("nonce")
    if not value and body:
        value = json.loads(body)["nonce"]
    if not value:
        raise HTTPException(400, "no nonce in header, query or body")
    runs = await run_in_threadpool(count, value)
    return JSONResponse({"nonce": value, "runs": runs, "pad": "x" * number(request, "pad", 0)})


def nonces(request: Request) -> JSONResponse:
    """How often each nonce with this prefix ran."""
    prefix = request.query_params.get("prefix", "")
    with db.session() as database:
        rows = database.execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
        return JSONResponse({row["nonce"]: row["runs"] for row in rows})


async def set_cookies(request: Request) -> JSONResponse:
    answer = JSONResponse({"set": list(request.query_params)})
    for name, value in request.query_params.items():
        answer.set_cookie(name, value, httponly=True, samesite="lax")
    return answer


async def cookies(request: Request) -> JSONResponse:
    return JSONResponse(request.cookies)


async def slow(request: Request) -> JSONResponse:
    ms = number(request, "ms", 100)
    await asyncio.sleep(ms / 1000)
    return JSONResponse({"slept_ms": ms})


async def large_header(request: Request) -> JSONResponse:
    return JSONResponse({"ok": True}, headers={"X-Large": "h" * number(request, "bytes", 4096)})


async def empty(request: Request) -> Response:
    return Response(status_code=204)


async def error(request: Request) -> Response:
    raise RuntimeError("the till is broken")


routes = [
    Route("/echo", echo, methods=["POST"]),
    Route("/info", info, methods=METHODS),
    Route("/info/{rest:path}", info, methods=METHODS),
    Route("/nonce", nonce, methods=["GET", "POST"]),
    Route("/nonces", nonces),
    Route("/cookies/set", set_cookies),
    Route("/cookies", cookies),
    Route("/slow", slow),
    Route("/large-header", large_header),
    Route("/empty", empty),
    Route("/error", error),
]
